"""The agents that a call may go to next are ready when it gets there, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runtime.conversation.state import CallState, Known
from runtime.errors import ProviderMissing
from runtime.voice.live_call import LiveCall
from runtime.voice.speech_files import SpeechFiles
from runtime.voice.spoken import SpokenCache
from runtime.voice.static_lines import REHEARSED
from runtime.voice.warming import FEW, likely
from runtime.voice.watchdog import Limits
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Agent, Workflow, compile_workflow
from tests.fakes.voice_providers import Call, Standins, Throat
from tests.runtime.voice.stage import Stage, on_stage
from tests.runtime.voice.test_no_dead_air import Tools

Json = Any
GREETING, NEXT, HANDOFF = "Hello there.", "Billing here.", "One moment. Billing here."


def workflow(targets: int, *, required: tuple[str, ...] = ()) -> dict[str, Json]:
    """Return a desk with paths to so many agents; `required` are the variables of each path."""
    desk = {
        "id": "desk",
        "name": "Desk",
        "instructions": "Help.",
        "greeting": {"mode": "say", "text": GREETING},
        "llm": {"provider": "local"},
        "paths": [
            {
                "id": f"p{number}",
                "name": f"To {number}",
                "description": "d",
                "say": "One moment.",
                "target_agent_id": f"a{number}",
                "required_variables": [{"name": name} for name in required],
            }
            for number in range(targets)
        ],
    }
    others = [
        {
            "id": f"a{number}",
            "name": f"Agent {number}",
            "instructions": "Help.",
            "greeting": {"mode": "say", "text": NEXT},
            "llm": {"provider": "local"},
        }
        for number in range(targets)
    ]
    variables = [{"name": name, "data_type": "string"} for name in ("topic", "place")]
    return {"variables": variables, "session": {"silence": {"after_s": 60}}, "agents": [desk, *others]}


def compiled(targets: int, **more: Any) -> Workflow:
    return compile_workflow(WorkflowConfig.model_validate(workflow(targets, **more)))


def state(known: Mapping[str, str]) -> CallState:
    held = {name: Known(value, "speech") for name, value in known.items()}
    return CallState(agent_id="desk", started=True, known=held)


@pytest.mark.parametrize(
    ("targets", "required", "known", "paths"),
    [
        (1, (), {}, 1),
        (FEW, ("topic",), {}, FEW),
        (FEW + 1, (), {}, 0),
        (FEW + 1, ("topic",), {}, 0),
        (FEW + 1, ("topic",), {"topic": "x"}, FEW + 1),
        (FEW + 1, ("topic", "place"), {"topic": "x"}, 0),
    ],
)
def test_a_path_is_likely_where_there_are_few_or_where_nothing_is_missing(
    targets: int, required: tuple[str, ...], known: Mapping[str, str], paths: int
) -> None:
    flow = compiled(targets, required=required)
    assert len(list(likely(flow, state(known)))) == paths
    assert not list(likely(flow, CallState()))


class Counted(Throat):
    """A voice that counts how often its connection was opened."""

    opened = 0

    def prewarm(self) -> None:
        self.opened += 1


class Missing(Throat):
    """A voice whose connection cannot be opened."""

    reachable = False

    def prewarm(self) -> None:
        if not self.reachable:
            raise RuntimeError("no route")


async def moved(stage: Stage) -> None:
    """Take the path to the next agent, whose greeting has been heard on return."""
    stage.speak("billing, please")
    await stage.until(lambda: len(stage.said) == 2)
    await stage.live.line.wait_idle()


async def test_the_next_agents_greeting_is_there_before_its_path_is_taken(tmp_path: Path) -> None:
    answer = [Call("to_0")]
    async with on_stage(tmp_path, workflow(1), lambda asked: answer, tools=Tools(None), limits=Limits()) as stage:
        await stage.greeted()
        await stage.until(lambda: len(stage.throat.spoken) == 2 + len(REHEARSED))
        assert stage.throat.spoken[:2] == [GREETING, HANDOFF]
        asked = list(stage.throat.spoken)
        await moved(stage)
        assert stage.said == [GREETING, HANDOFF]
        assert HANDOFF not in stage.throat.spoken[len(asked) :]


async def test_in_a_fresh_process_both_come_from_disk_and_the_voice_is_never_asked(tmp_path: Path) -> None:
    files = SpeechFiles(tmp_path / "speech", 2**24)
    answer = [Call("to_0")]

    async def call(folder: Path) -> Stage:
        spoken = SpokenCache(files=files)
        async with on_stage(
            folder, workflow(1), lambda asked: answer, tools=Tools(None), limits=Limits(), spoken=spoken, ready=True
        ) as stage:
            await stage.greeted()
            await stage.until(lambda: all(_remembered(stage.live, agent, text) for agent, text in SAID))
            await moved(stage)
            await spoken.saved()
        return stage

    first, second = await call(tmp_path / "one"), await call(tmp_path / "two")
    assert first.throat.spoken[:2] == [GREETING, HANDOFF]
    assert second.throat.spoken == []
    assert second.said == first.said == [GREETING, HANDOFF]
    assert second.sound == first.sound
    assert len(second.sound) > 0


SAID = (("desk", GREETING), ("a0", HANDOFF))


def _remembered(live: LiveCall, agent_id: str, text: str) -> bool:
    providers, node = live.plan.providers, live.plan.workflow.agents[agent_id]
    assert providers is not None
    return providers.spoken.find(providers.voice_key(node), text) is not None


async def test_connections_are_open_before_anybody_needs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Counted()
    made = Standins.tts
    monkeypatch.setattr(Standins, "tts", lambda self, agent: made(self, agent) if agent.id == "desk" else other)
    async with on_stage(
        tmp_path, workflow(2), lambda _asked: [Call("to_0")], tools=Tools(None), limits=Limits()
    ) as stage:
        await stage.greeted()
        await stage.until(lambda: other.opened == 1)
        assert other.spoken == [HANDOFF]
        await moved(stage)
        assert (other.opened, other.spoken) == (2, [HANDOFF])  # LiveKit opens what it is given, too


async def test_what_cannot_be_got_ready_is_left_for_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stage(
        tmp_path, workflow(1), lambda asked: [Call("to_0")], tools=Tools(None), limits=Limits()
    ) as stage:
        providers = stage.live.plan.providers
        assert providers is not None
        other = Missing(lambda _text: "fails")
        throat = stage.throat

        def voice(agent: Agent) -> Throat:
            return throat if agent.id == "desk" else other

        monkeypatch.setattr(providers, "tts", voice)
        await stage.greeted()
        await stage.until(lambda: HANDOFF in other.spoken)
        other.manner, other.reachable = lambda _text: "well", True
        await moved(stage)
        assert stage.said == [GREETING, HANDOFF]
        assert stage.faults == []


async def test_an_agent_whose_models_are_missing_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    async with on_stage(tmp_path, workflow(2), lambda _asked: ["Fine."], tools=Tools(None), limits=Limits()) as stage:
        providers = stage.live.plan.providers
        assert providers is not None
        throat = stage.throat

        def voice(agent: Agent) -> Throat:
            asked.append(agent.id)
            if agent.id == "a0":
                raise ProviderMissing("There is no voice.", remedy="Install it.")
            return throat

        monkeypatch.setattr(providers, "tts", voice)
        await stage.greeted()
        await stage.until(lambda: len(stage.throat.spoken) == 2 + len(REHEARSED))
        assert {"a0", "a1"} <= set(asked)
        assert stage.faults == []


async def test_a_call_that_ends_gives_up_what_it_was_getting_ready(tmp_path: Path) -> None:
    async with on_stage(tmp_path, workflow(1), lambda _asked: ["Fine."], tools=Tools(None), limits=Limits()) as stage:
        stage.throat.manner = lambda text: "stalls" if text == HANDOFF else "well"
        await stage.until(lambda: HANDOFF in stage.throat.spoken)
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert "warming" in names
    await asyncio.sleep(0)
    assert "warming" not in [task.get_name() for task in asyncio.all_tasks()]
