"""Answers that are begun before the caller's turn is over: heard sooner, and nothing of them is true before it is."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runtime.session.ports import ToolOutcome
from runtime.voice.early import MOST
from tests.fakes.voice_providers import Answer, Asked, Call, Stall
from tests.runtime.voice.early_calls import (
    ENDPOINT_S,
    FINE,
    ORDERS,
    VAD_LAG_S,
    Perform,
    answered,
    desk,
    discarded,
    now,
    performer,
    says,
    turns,
    waits,
)
from tests.runtime.voice.stage import Stage
from tests.runtime.voice.test_no_dead_air import Tools

Json = Any


@pytest.fixture
def perform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Perform:
    return performer(tmp_path, monkeypatch)


# ---------------------------------------------------------------- sooner


@pytest.mark.parametrize(
    ("model_s", "early_s", "late_s"),
    [
        (0.2, 0.0, 0.2),  # it is there by the end of the turn
        (1.5, 1.5 - 0.1 + VAD_LAG_S - ENDPOINT_S, 1.5),  # it was begun when the words were understood
    ],
)
def test_an_early_answer_is_heard_sooner(perform: Perform, model_s: float, early_s: float, late_s: float) -> None:
    waited: dict[bool, float] = {}

    async def play(preemptive: bool, stage: Stage) -> None:
        over, sound = await waits(stage, "hello")
        waited[preemptive] = sound - over

    for preemptive in (True, False):
        stage = perform(partial(play, preemptive), lambda _asked: [Stall(model_s), FINE], desk(preemptive=preemptive))
        assert len(stage.mind.asked) == 1
        assert (turns(stage), stage.said, discarded(stage)) == (["hello"], ["Hello there.", FINE], 0)
    assert waited == {True: pytest.approx(early_s, abs=1e-6), False: pytest.approx(late_s, abs=1e-6)}


def test_nothing_is_begun_before_words_are_understood_for_good(perform: Perform) -> None:
    async def play(stage: Stage) -> None:
        stage.throb.begin()
        stage.ears.hear("hello", final=False)
        await asyncio.sleep(1.0)
        assert not stage.mind.asked
        await says(stage, "hello")
        assert len(stage.mind.asked) == 1
        await answered(stage)

    assert perform(play, lambda _asked: [FINE]).said[1:] == [FINE]


def test_it_can_be_turned_off(perform: Perform) -> None:
    async def play(stage: Stage) -> None:
        await says(stage, "hello")
        assert not stage.mind.asked
        await answered(stage)

    assert len(perform(play, lambda _asked: [FINE], desk(preemptive=False)).mind.asked) == 1


# ---------------------------------------------------------------- in vain


def test_a_caller_who_goes_on_hears_nothing_of_it(perform: Perform) -> None:
    """Not in the events, the history or the voice; that it was asked for is counted."""

    def answer(asked: Asked) -> Answer:
        return ["You want to cancel."] if asked.said == "I want to cancel" else [FINE]

    async def play(stage: Stage) -> None:
        await says(stage, "I want to cancel", "my trip to Rome")
        await answered(stage)
        history = [item.text_content for item in stage.live.agent.chat_ctx.items if item.type == "message"]
        assert history[-3:] == ["Hello there.", "I want to cancel my trip to Rome", FINE]
        assert "You want" not in str(history)

    stage = perform(play, answer)
    assert [asked.said for asked in stage.mind.asked] == ["I want to cancel", "I want to cancel my trip to Rome"]
    assert (turns(stage), stage.said[1:]) == (["I want to cancel my trip to Rome"], [FINE])
    assert "You want" not in str((stage.throat.spoken, stage.events))
    assert (discarded(stage), stage.faults) == (1, [])


def test_a_caller_without_end_wastes_no_more_than_so_many(perform: Perform) -> None:
    said = [f"bit {number}" for number in range(MOST + 3)]

    async def play(stage: Stage) -> None:
        await says(stage, *said)
        await answered(stage)
        await says(stage, "again")
        assert len(stage.mind.asked) == MOST + 2  # the next turn has its own
        await answered(stage)

    stage = perform(play, lambda _asked: [FINE])
    assert [asked.said for asked in stage.mind.asked[MOST:]] == [" ".join(said), "again"]
    assert discarded(stage) == MOST


def test_a_cough_keeps_it(perform: Perform) -> None:
    async def play(stage: Stage) -> None:
        await says(stage, "hello")
        await asyncio.sleep(0.2)
        stage.throb.begin()
        await asyncio.sleep(0.2)
        stage.throb.end(0.2)
        await answered(stage)

    stage = perform(play, lambda _asked: [Stall(0.3), FINE])
    assert (len(stage.mind.asked), stage.said[1:], discarded(stage)) == (1, [FINE], 0)


def test_a_caller_who_hangs_up_leaves_nothing_of_it(perform: Perform) -> None:
    async def play(stage: Stage) -> None:
        await says(stage, "hello")
        stage.live.call.stop("caller_hangup")
        assert not stage.live.agent.early.under_way

    stage = perform(play, lambda _asked: [Call("to_billing"), FINE])
    assert (turns(stage), stage.payloads("path_requested"), FINE in stage.throat.spoken) == ([], [], False)
    assert (discarded(stage), stage.events[-1][0]) == (1, "call_ended")


# ---------------------------------------------------------------- what it does


def test_a_tool_runs_once_and_after_the_turn(perform: Perform) -> None:
    ran: list[float] = []
    overs: list[float] = []

    class Timed(Tools):
        async def run(self, call: Any) -> ToolOutcome:
            ran.append(now())
            return await super().run(call)

    async def play(stage: Stage) -> None:
        overs.append(await says(stage, "Where is my order?"))
        await asyncio.sleep(ENDPOINT_S / 2)
        assert (len(stage.mind.asked), ran, stage.live.call.state.tools) == (1, [], {})
        await answered(stage)

    def answer(asked: Asked) -> Answer:
        return ["It is shipped."] if asked.returned else [Call("check_order")]

    stage = perform(play, answer, desk(tools=[ORDERS]), Timed(ToolOutcome("shipped")))
    kinds = [kind for kind, _ in stage.events]
    assert ran == pytest.approx(overs)
    assert (kinds.count("tool_started"), kinds.count("tool_succeeded")) == (1, 1)
    assert kinds.index("user_turn") < kinds.index("tool_started")
    assert (stage.said[1:], len(stage.mind.asked)) == (["It is shipped."], 2)


def test_a_handoff_happens_after_the_turn(perform: Perform) -> None:
    async def play(stage: Stage) -> None:
        await says(stage, "It is about my invoice")
        await asyncio.sleep(ENDPOINT_S / 2)
        assert stage.live.call.state.agent_id == "desk"
        await answered(stage)
        assert stage.live.call.state.agent_id == "billing"
        await says(stage, "the one of May")
        await answered(stage)

    def answer(asked: Asked) -> Answer:
        return [Call("to_billing")] if "invoice" in asked.said else [FINE]

    stage = perform(play, answer)
    kinds = [kind for kind, _ in stage.events]
    assert kinds.index("user_turn") < kinds.index("path_requested")
    assert stage.said == ["Hello there.", "Billing.", FINE]
    assert (len(stage.mind.asked), discarded(stage)) == (2, 0)


def test_what_is_said_into_it_cuts_it_off_like_any_answer(perform: Perform) -> None:
    async def play(stage: Stage) -> None:
        await waits(stage, "hello")
        await asyncio.sleep(1.0)
        stage.throb.begin()
        stage.throb.go_on(0.6)
        await says(stage, "stop")
        await answered(stage)

    stage = perform(play, lambda asked: [" ".join(["word"] * 90)] if asked.number == 0 else [FINE])
    cut = stage.payloads("agent_turn")[1]
    assert cut["interrupted"]
    assert (turns(stage), stage.said[-1]) == (["hello", "stop"], FINE)
