"""When no answer is begun before the caller's turn is over, or not taken; and that it makes no other difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.conversation import events as ev
from runtime.voice.phrases import phrase
from tests.examples import examples
from tests.fakes.voice_providers import Answer, Asked, Call, Fail, Stall
from tests.runtime.voice.early_calls import (
    ENDPOINT_S,
    FINE,
    ORDERS,
    TO_BILLING,
    Perform,
    answered,
    desk,
    discarded,
    needing,
    performer,
    says,
    turns,
)
from tests.runtime.voice.stage import Stage

Json = Any


@pytest.fixture
def perform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Perform:
    return performer(tmp_path, monkeypatch)


# ---------------------------------------------------------------- not the answer to this


def given_meanwhile(stage: Stage) -> None:
    """A value comes from elsewhere, as a keypad entry's would."""
    call = stage.live.call
    call.submit(ev.ValuesGiven(at=call.instant(), stay=call.state.stay, values={"topic": "roses"}))


def keyed_meanwhile(stage: Stage) -> None:
    stage.live.press("9")


@pytest.mark.parametrize(
    ("meanwhile", "questions", "agent"), [(given_meanwhile, 2, "desk"), (keyed_meanwhile, 2, "billing")]
)
def test_what_changes_meanwhile_has_the_model_asked_anew(
    perform: Perform, meanwhile: Callable[[Stage], None], questions: int, agent: str
) -> None:
    async def play(stage: Stage) -> None:
        await says(stage, "hello")
        assert len(stage.mind.asked) == 1
        meanwhile(stage)
        await answered(stage)
        assert stage.live.call.state.agent_id == agent

    raw = desk(paths=[TO_BILLING | {"trigger": "dtmf", "dtmf": "9"}])
    raw["variables"] = [{"name": "topic", "data_type": "string"}]
    stage = perform(play, lambda asked: [f"Answer {asked.number}."], raw)
    assert (len(stage.mind.asked), stage.said[-1], discarded(stage)) == (questions, "Answer 1.", 1)
    assert "Answer 0." not in stage.throat.spoken


# ---------------------------------------------------------------- never begun


async def asked_nothing_early(stage: Stage, text: str) -> None:
    questions = len(stage.mind.asked)
    await says(stage, text)
    assert len(stage.mind.asked) == questions
    await answered(stage)


def test_not_while_something_sensitive_may_be_said(perform: Perform) -> None:
    stage = perform(
        lambda stage: asked_nothing_early(stage, "four two seven one"),
        lambda _asked: [FINE],
        desk(paths=needing(sensitive=True)),
    )
    assert (turns(stage), FINE in stage.throat.spoken) == (["•••"], True)


def test_not_while_a_number_is_dictated(perform: Perform) -> None:
    stage = perform(lambda stage: asked_nothing_early(stage, "four two"), lambda _asked: [FINE], desk(paths=needing()))
    assert stage.said[1:] == [FINE]


def test_not_while_a_value_waits_for_its_yes(perform: Perform) -> None:
    def answer(asked: Asked) -> Answer:
        first = asked.said == "hello" and not asked.returned
        return ["One moment.", Call("remember", '{"customer_id": "4271"}')] if first else [FINE]

    async def play(stage: Stage) -> None:
        await says(stage, "hello")
        await answered(stage)
        assert list(stage.live.call.state.pending) == ["customer_id"]
        await asked_nothing_early(stage, "yes")
        assert stage.live.call.state.values == {"customer_id": "4271"}

    perform(play, answer, desk(paths=needing(confirm="once")))


def test_not_while_the_agent_speaks(perform: Perform) -> None:
    async def play(stage: Stage) -> None:
        stage.live.hear_text("tell me everything")
        heard = len(stage.heard)
        await stage.until(lambda: len(stage.heard) > heard + 10)
        await says(stage, "wait a moment")
        assert len(stage.mind.asked) == 1
        await answered(stage)

    perform(play, lambda asked: [" ".join(["word"] * 90)] if asked.number == 0 else [FINE])


# ---------------------------------------------------------------- models that fail

AGAIN = phrase("again", "en")


@pytest.mark.parametrize(
    ("first", "said", "faults", "questions"),
    [
        ([Fail()], FINE, [("llm_error", "retry")], 2),
        ([Fail(retryable=True), "never"], FINE, [("llm_error", "retry")], 2),
        ([], FINE, [("llm_empty", "retry")], 2),  # it ends without a word
        ([Stall(ENDPOINT_S * 2), Fail()], FINE, [("llm_error", "retry")], 2),  # after it was taken up
        (["Let me", Stall(ENDPOINT_S * 2), Fail()], "Let me " + AGAIN, [("llm_failed", "apology")], 1),
    ],
)
def test_what_fails_early_is_asked_anew(
    perform: Perform, first: Answer, said: str, faults: list[tuple[str, str | None]], questions: int
) -> None:
    async def play(stage: Stage) -> None:
        await says(stage, "hello")
        await answered(stage)

    stage = perform(play, lambda asked: first if asked.number == 0 else [FINE])
    kinds = [kind for kind, _ in stage.events]
    assert "fault_raised" not in kinds[: kinds.index("user_turn")]
    assert (stage.said[1:], stage.faults, len(stage.mind.asked)) == ([said], faults, questions)


# ---------------------------------------------------------------- the same call


SAID = ("hello", "four two", "seven one", "invoice", "yes", "where is it")
TIMES = frozenset(
    {"elapsed_ms", "start_ms", "end_ms", "at_ms", "dwell_ms", "latency_ms", "duration_ms", "response_ms", "usage"}
    | {"eou_delay_ms", "stt_delay_ms", "llm_ttft_ms", "tts_ttfb_ms", "tool_call_id", "session_id"}
)


def decided(asked: Asked) -> Answer:
    """What a model makes of words, and of nothing else."""
    match asked.said, asked.returned:
        case _, True:
            return ["Noted."]
        case "invoice", _:
            return [Stall(0.3), "Just a moment.", Call("to_billing", '{"customer_id": "4271"}')]
        case "where is it", _:
            return [Call("check_order")]
        case words, _ if "seven" in words:
            return ["So far so good.", Call("remember", '{"customer_id": "4271"}')]
        case _:
            return [Stall(0.3), FINE]


async def play_all(script: Sequence[tuple[str, ...]], stage: Stage) -> None:
    for texts in script:
        await says(stage, *texts)
        await answered(stage)


def told(stage: Stage) -> list[tuple[str, dict[str, Json]]]:
    """Return what happened without when, and without what it took."""
    return [
        (kind, {key: value for key, value in payload.items() if key not in TIMES})
        for kind, payload in stage.events
        if kind != "usage_reported"
    ]


@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(st.lists(st.sampled_from(SAID), min_size=1, max_size=3).map(tuple), min_size=1, max_size=4))
def test_the_same_things_happen_with_and_without(perform: Perform, script: list[tuple[str, ...]]) -> None:
    calls = []
    for preemptive in (True, False):
        raw = desk(preemptive=preemptive, paths=needing(), tools=[ORDERS])
        calls.append(told(perform(partial(play_all, script), decided, raw)))
    assert [*map(without_seq, calls[0])] == [*map(without_seq, calls[1])]


def without_seq(event: tuple[str, dict[str, Json]]) -> tuple[str, dict[str, Json]]:
    """A report of usage takes a number of its own."""
    return event[0], {key: value for key, value in event[1].items() if key != "caused_by"}
