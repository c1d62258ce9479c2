"""Tools while the caller waits: interruptions, what is said meanwhile, and what runs before the greeting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from runtime.session.ports import ToolCall, ToolOutcome
from runtime.workflow.graph import CompiledTool
from tests.fakes.voice_providers import Answer, Asked, Call
from tests.runtime.voice.stage import Stage, config, on_stage

Json = Any
FILLER = "I am looking it up."
DONE = "Here you are."
OTHER = "What else?"
ANYTHING = {"type": "object", "properties": {}}
pytestmark = pytest.mark.live


class Slow:
    """Tools that take their time, and tell how they ended."""

    def __init__(
        self, takes_s: float = 0.0, *, functions: Sequence[str] = (), codes: Mapping[str, str] | None = None
    ) -> None:
        self.takes_s = takes_s
        self.functions = functions
        self.codes = dict(codes or {})
        self.ended: list[str] = []
        self.called: list[str] = []

    async def prepare(self, tools: Sequence[CompiledTool]) -> Sequence[tuple[CompiledTool, str]]:
        return [(tool, self.codes[tool.function_name]) for tool in tools if tool.function_name in self.codes]

    def schemas(self, tool: CompiledTool) -> Sequence[dict[str, Json]]:
        names = self.functions or (tool.function_name,)
        return [{"name": name, "description": "", "parameters": ANYTHING} for name in names]

    def is_mocked(self, tool: CompiledTool, function: str | None = None) -> bool:
        return False

    def is_repeatable(self, tool: CompiledTool, arguments: Mapping[str, Json]) -> bool:
        return False

    def faults(self, tool: CompiledTool, function: str, arguments: Mapping[str, Json]) -> str:
        return ""

    async def run(self, call: ToolCall) -> ToolOutcome:
        self.called.append(call.function)
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("done")
        return ToolOutcome("found", assigned={"customer_name": "Alice Miller"})


def looks_up(asked: Asked) -> Answer:
    if "anything else" in asked.said:
        return [OTHER]
    return [DONE] if asked.returned else [Call("look_up")]


def looking_up(**tool: Json) -> dict[str, Json]:
    return config(tools=[{"tool_type": "http_request", "display_name": "Look up", "timeout_s": 9} | tool])


async def interrupted(stage: Stage, tools: Slow) -> None:
    await stage.greeted()
    stage.speak("where is my order")
    await stage.until(lambda: bool(tools.called))
    stage.speak("is there anything else")
    await stage.until(lambda: any(OTHER in said for said in stage.said))


async def test_a_run_that_is_to_be_cancelled_when_the_caller_speaks(tmp_path: Path) -> None:
    tools = Slow(20.0)
    async with on_stage(tmp_path, looking_up(on_interruption="cancel"), looks_up, tools=tools) as stage:
        began = asyncio.get_running_loop().time()
        await interrupted(stage, tools)
        assert asyncio.get_running_loop().time() - began < 4.0, "LiveKit waits five seconds for a tool"
        assert tools.ended == ["cancelled"]
        assert [payload["text"] for payload in stage.payloads("user_turn")][1:] == ["is there anything else"]
        failed = stage.payloads("tool_failed")
        assert [payload["error_code"] for payload in failed] == ["interrupted"]


@pytest.mark.parametrize("takes_s", [1.0, 6.5])
async def test_a_run_that_goes_on_ends_as_it_would_have(tmp_path: Path, takes_s: float) -> None:
    tools = Slow(takes_s)
    async with on_stage(tmp_path, looking_up(), looks_up, tools=tools) as stage:
        await interrupted(stage, tools)
        await stage.until(lambda: bool(tools.ended))
        assert tools.ended == ["done"]
        assert [payload["text"] for payload in stage.payloads("user_turn")][1:] == ["is there anything else"]
        await stage.until(lambda: bool(stage.payloads("tool_succeeded")))


@pytest.mark.parametrize(("takes_s", "after_s", "told"), [(1.2, 0.3, True), (0.1, 0.6, False), (0.9, 30.0, False)])
async def test_a_tool_that_takes_its_time_is_talked_over(
    tmp_path: Path, takes_s: float, after_s: float, told: bool
) -> None:
    raw = looking_up(say_while_running=FILLER, say_after_s=after_s)
    async with on_stage(tmp_path, raw, looks_up, tools=Slow(takes_s)) as stage:
        await stage.greeted()
        stage.speak("where is my order")
        await stage.until(lambda: any(DONE in said for said in stage.said))
        assert any(FILLER in said for said in stage.said) == told


def on_start(**session: Json) -> dict[str, Json]:
    raw = config(greeting={"mode": "say", "text": "Hello {{ customer_name }}."})
    raw["variables"] = [{"name": "customer_name", "data_type": "person_name"}]
    raw["session"]["on_start"] = [{"tool_type": "http_request", "display_name": "Lookup", "config": {}}]
    raw["session"] |= session
    return raw


def silent(_asked: Asked) -> Answer:
    return [OTHER]


async def test_the_greeting_uses_what_was_found_before_it(tmp_path: Path) -> None:
    async with on_stage(tmp_path, on_start(), silent, tools=Slow(0.2)) as stage:
        await stage.greeted()
        assert stage.said == ["Hello Alice Miller."]
        types = [kind for kind, _ in stage.events]
        assert types[:4] == ["call_started", "tool_started", "tool_succeeded", "variable_collected"]


async def test_what_is_not_done_by_the_deadline_is_given_up(tmp_path: Path) -> None:
    tools = Slow(20.0)
    async with on_stage(tmp_path, on_start(on_start_timeout_s=0.3), silent, tools=tools) as stage:
        await stage.greeted()
        assert tools.ended == ["cancelled"]
        assert stage.said == ["Hello ."]
        assert [payload["error_code"] for payload in stage.payloads("tool_failed")] == ["timeout"]


async def test_a_tool_that_does_not_get_ready_is_a_fault_of_the_call(tmp_path: Path) -> None:
    async with on_stage(tmp_path, looking_up(), silent, tools=Slow(codes={"look_up": "unreachable"})) as stage:
        await stage.greeted()
        await stage.until(lambda: bool(stage.faults))
        assert stage.faults == [("unreachable", None)]


@pytest.mark.parametrize("pick", [lambda names: names[-1], lambda names: names[0]])
async def test_one_tool_may_be_several_functions(tmp_path: Path, pick: Callable[[Sequence[str]], str]) -> None:
    tools = Slow(functions=("find", "to_desk"))

    def calls(asked: Asked) -> Answer:
        return [DONE] if asked.returned else [Call(pick(offered))]

    offered = ("find", "look_up_to_desk")
    raw = looking_up()
    raw["agents"][0]["paths"] = [{"id": "p", "name": "To desk", "target_agent_id": "other"}]
    raw["agents"].append({"id": "other", "name": "Other", "instructions": "x"})
    async with on_stage(tmp_path, raw, calls, tools=tools) as stage:
        await stage.greeted()
        stage.speak("please")
        await stage.until(lambda: any(DONE in said for said in stage.said))
        assert tools.called == [pick(("find", "to_desk"))], "its own name, whatever it was offered as"
        assert [payload["name"] for payload in stage.payloads("tool_started")] == tools.called
