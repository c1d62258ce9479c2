"""Twenty things that go wrong in a call: each ends in speech within its limit, and in an event with its cause."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from livekit.agents import APIConnectionError

from runtime.session.ports import ToolCall, ToolOutcome
from runtime.voice.phrases import phrase
from runtime.workflow.graph import CompiledTool
from tests.fakes.voice_providers import Answer, Asked, Call, Fail, Stall
from tests.runtime.voice.stage import Stage, config, on_stage

pytestmark = pytest.mark.live  # whole calls in real time, with stand-ins for the providers

Json = Any
AGAIN, FILLER, NOT_HEARD = phrase("again", "en"), phrase("filler", "en"), phrase("not_heard", "en")
FINE = "All is well."


class Tools:
    """One tool that brings what `outcome` returns, or never returns."""

    def __init__(self, outcome: ToolOutcome | None) -> None:
        self.outcome = outcome

    async def prepare(self, tools: Sequence[CompiledTool]) -> Sequence[tuple[CompiledTool, str]]:
        return ()

    def schemas(self, tool: CompiledTool) -> Sequence[dict[str, Json]]:
        return [{"name": tool.function_name, "description": "", "parameters": {"type": "object", "properties": {}}}]

    def is_mocked(self, tool: CompiledTool, function: str | None = None) -> bool:
        return False

    def is_repeatable(self, tool: CompiledTool, arguments: Mapping[str, Json]) -> bool:
        return False

    def faults(self, tool: CompiledTool, function: str, arguments: Mapping[str, Json]) -> str:
        return ""

    async def run(self, call: ToolCall) -> ToolOutcome:
        if self.outcome is None:
            await asyncio.sleep(2.0)
            return ToolOutcome("It took too long.", error_code="timeout")
        return self.outcome


async def says_hello(stage: Stage) -> None:
    stage.speak("hello")


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that goes wrong: what is told of it, what is heard instead, and within how many seconds."""

    answer: Callable[[Asked], Answer] = lambda _asked: [FINE]
    code: str = ""
    heard: str = AGAIN
    by: str | None = "apology"
    within_s: float = 2.5
    event_type: str = "fault_raised"
    act: Callable[[Stage], Awaitable[None]] = says_hello
    agent: Mapping[str, Json] = field(default_factory=dict)
    more: Mapping[str, Json] = field(default_factory=dict)
    outcome: ToolOutcome | None = None


def always(*parts: str | Call | Stall | Fail) -> Callable[[Asked], Answer]:
    return lambda _asked: parts


def once(*parts: str | Call | Stall | Fail) -> Callable[[Asked], Answer]:
    return lambda asked: parts if asked.number == 0 else [FINE]


def voice_that(manner: Any, *, also_phrases: bool = False) -> Callable[[Stage], Awaitable[None]]:
    async def act(stage: Stage) -> None:
        await stage.until(lambda: len(stage.throat.spoken) >= 5)  # its phrases have been prepared
        stage.throat.manner = lambda text: manner if also_phrases or text == FINE else "well"
        if also_phrases:
            stage.live.plan.providers.spoken._kept.clear()  # type: ignore[union-attr]
        stage.speak("hello")

    return act


async def unheard(stage: Stage) -> None:
    stage.throb.begin()
    await stage.until(lambda: stage.live.session.user_state == "speaking")
    stage.throb.end(0.8)


async def broken_recogniser(stage: Stage, error: Exception | None) -> None:
    stage.ears.break_off(error)
    await stage.ears.opened.wait()
    stage.speak("hello")


async def store_away(stage: Stage) -> None:
    stage.store.away = True
    stage.speak("hello")
    heard = len(stage.heard)
    await stage.until(lambda: len(stage.heard) > heard)
    stage.store.away = False


async def blocked(stage: Stage) -> None:
    time.sleep(2.0)  # noqa: ASYNC251 - the point of it
    stage.speak("hello")


async def broken_detector(stage: Stage) -> None:
    stage.throb.fail()
    await asyncio.sleep(0)
    stage.ears.hear("hello")


async def lost_turn(stage: Stage) -> None:
    def fail(_message: object) -> bool:
        raise ValueError("secret detail")

    stage.live.bridge.turn_heard = fail  # type: ignore[method-assign]
    stage.speak("hello")


TOOL = {"tools": [{"tool_type": "look_up", "display_name": "Look up"}]}
BACK = {"id": "back", "name": "Back", "target_agent_id": "desk", "description": "back"}
OTHERS = [
    {"id": name, "name": name.title(), "instructions": "", "paths": [BACK | {"id": f"back-{name}"}]}
    | {"greeting": {"mode": "say", "text": f"This is {name}."}}
    for name in ("one", "two")
]
PATHS = [
    {"id": f"to-{name}", "name": f"To {name}", "description": name, "target_agent_id": name} for name in ("one", "two")
]
GUARDED = [PATHS[0] | {"guard_condition": "1 / attempts > 0"}, PATHS[1]]

CASES = {
    "the model fails at once": Case(always(Fail()), "llm_failed"),
    "the model fails and is asked again": Case(once(Fail(retryable=True), FINE), "llm_error", FINE, "retry"),
    "the model fails in mid-sentence": Case(always("Let me see. ", Fail()), "llm_failed"),
    "the answer is empty": Case(always(), "llm_empty"),
    "the answer is nothing but marks": Case(always("*** 👍"), "llm_empty"),
    "the stream opens and stalls": Case(always(Stall()), "llm_stalled"),
    "the stream stalls in mid-sentence": Case(always("Let me see. ", Stall()), "llm_stalled"),
    "a function that does not exist": Case(once(Call("fly")), "unknown_function", FINE, "retry"),
    "arguments that are no JSON": Case(
        once(Call("to_one", "{nope")), "bad_arguments", FINE, "retry", agent={"paths": PATHS}
    ),
    "a model that only ever calls": Case(
        always(Call("look_up")), "llm_empty", within_s=5.0, agent=TOOL, outcome=ToolOutcome("Nothing.")
    ),
    "a tool that never answers": Case(
        lambda asked: [FINE] if asked.returned else [Call("look_up")],
        *("timeout", FILLER, None, 2.0, "tool_failed"),
        agent=TOOL,
    ),
    "a tool that fails": Case(
        lambda asked: [FINE] if asked.returned else [Call("look_up")],
        *("broken", FINE, None, 2.0, "tool_failed"),
        agent=TOOL,
        outcome=ToolOutcome("It broke.", error_code="broken"),
    ),
    "the voice fails": Case(code="tts_failed", act=voice_that("fails")),
    "the voice makes no sound": Case(code="tts_failed", act=voice_that("silent")),
    "the voice stalls": Case(code="tts_stalled", act=voice_that("stalls")),
    "the voice stalls in mid-sentence": Case(code="tts_stalled", act=voice_that("breaks off")),
    "the voice fails for the apology too": Case(
        always(Fail()), "tts_failed", by="recording", act=voice_that("fails", also_phrases=True)
    ),
    "the recogniser hears nothing": Case(code="stt_silent", heard=NOT_HEARD, act=unheard),
    "the recogniser ends": Case(
        code="stt_ended", heard=FINE, by="reconnect", act=lambda stage: broken_recogniser(stage, None)
    ),
    "the recogniser fails": Case(
        *(always(FINE), "stt_error", FINE, "reconnect"),
        act=lambda stage: broken_recogniser(stage, APIConnectionError("secret detail", retryable=False)),
    ),
    "the recogniser raises": Case(
        *(always(FINE), "stt_error", FINE, "reconnect"),
        act=lambda stage: broken_recogniser(stage, ValueError("secret detail")),
    ),
    "a guard that errs": Case(
        once(Call("to_one")),
        *("guard_fault", FINE, None),
        agent={"paths": GUARDED},
        more={"agents": OTHERS},
    ),
    "two handoffs in one answer": Case(
        once(Call("to_one"), Call("to_two")),
        *("path_already_taken", "This is one.", None, 2.0, "path_refused"),
        agent={"paths": PATHS},
    ),
    "the store is away": Case(heard=FINE, by=None, event_type="user_turn", act=store_away),
    "the process stands still": Case(code="loop_blocked", heard=FINE, by="resumed", within_s=4.5, act=blocked),
    "the voice activity detection fails": Case(code="vad_silent", heard=FINE, by="stt", act=broken_detector),
    "the rules lose a turn": Case(code="turn_failed", act=lost_turn),
}


@pytest.mark.parametrize("name", CASES)
async def test_it_ends_in_speech_and_in_an_event(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    raw = config(**case.agent)
    if "paths" in case.agent:
        raw["agents"] += OTHERS
    async with on_stage(tmp_path, raw, case.answer, tools=Tools(case.outcome)) as stage:
        await stage.greeted()
        before = len(stage.heard)
        began = asyncio.get_running_loop().time()
        await case.act(stage)
        await stage.until(lambda: len(stage.heard) > before, case.within_s + 2.0)
        assert stage.heard[before] - began < case.within_s
        await stage.until(lambda: any(case.heard in said for said in stage.said[1:]), 6.0)
        await stage.until(lambda: bool(stage.payloads(case.event_type)))
        if case.event_type == "fault_raised":
            assert (case.code, case.by) in stage.faults
            assert [by for _, by in stage.faults].count("apology") <= 1
        else:
            assert any(case.code in str(payload) for payload in stage.payloads(case.event_type))
    assert "secret detail" not in str(stage.events)
