"""A load test as it runs: how many calls at once and in all, and what ends it at once."""

from __future__ import annotations

import asyncio

import pytest

from runtime.errors import Unreachable, UsageFault
from runtime.harness.load.briefing import Briefing, Order, Told, read_told, read_voices, write_voices
from runtime.harness.load.plan import LoadPlan, Patience, texts_of
from runtime.harness.load.results import CallReport, Failure, FailureCode, ProcessReport
from runtime.harness.load.run import LoadRun, Outcome
from runtime.tasks import cancel_and_wait, spawn
from tests.runtime.harness.load.samples import call, tone

PROCESS = ProcessReport(1, 1, 1.0, 1.0, 100.0, 1.0)


class FakeCrew:
    """Answers each call at once, or as `failing` says; with `hold` calls last until it is set."""

    def __init__(self, failing: dict[int, FailureCode] | None = None, hold: asyncio.Event | None = None) -> None:
        self.failing = failing or {}
        self.hold = hold
        self.running = 0
        self.most = 0
        self.two = asyncio.Event()
        self.test: LoadRun | None = None

    async def call(self, order: Order) -> CallReport:
        self.running += 1
        self.most = max(self.most, self.running)
        assert self.test is not None
        self.test.stage(order.number, "dialling")
        code = self.failing.get(order.number)
        if code not in {"not_answered", "not_connected"}:
            self.test.stage(order.number, "talking")
        if self.running == 2:
            self.two.set()
        await asyncio.sleep(0)
        if self.hold is not None:
            await self.hold.wait()
        self.running -= 1
        return call(order.number, failure=None if code is None else Failure(code, f"It was {code}."))

    async def finish(self) -> tuple[ProcessReport, ...]:
        return (PROCESS,)


def plan(**fields: object) -> LoadPlan:
    return LoadPlan(**{"script": "hello", "ramp": 1000.0, **fields})  # type: ignore[arg-type]


def test_of(wanted: LoadPlan, crew: FakeCrew) -> LoadRun:
    crew.test = LoadRun(wanted, lambda number: Order(number, f"room-{number}", "token"), nobody="Start one.")
    return crew.test


test_of.__test__ = False  # type: ignore[attr-defined]


async def ran(wanted: LoadPlan, crew: FakeCrew) -> Outcome:
    return await test_of(wanted, crew).run(crew)


async def test_each_place_calls_once_unless_more_are_wanted() -> None:
    outcome = await ran(plan(calls=3), crew := FakeCrew())
    assert sorted(each.number for each in outcome.calls) == [1, 2, 3]
    assert (crew.most <= 3, outcome.processes, outcome.interrupted) == (True, (PROCESS,), False)
    outcome = await ran(plan(calls=3, total=10), crew := FakeCrew())
    assert sorted(each.number for each in outcome.calls) == list(range(1, 11))
    assert crew.most <= 3


async def test_with_a_duration_calls_follow_one_another_until_it_is_over() -> None:
    outcome = await ran(plan(calls=2, duration_s=0.05), FakeCrew())
    assert len(outcome.calls) > 2
    assert sorted(each.number for each in outcome.calls) == list(range(1, len(outcome.calls) + 1))


@pytest.mark.parametrize(
    ("code", "told"), [("not_answered", "No worker took the call"), ("not_connected", "It was not_connected.")]
)
async def test_a_test_that_nobody_answers_ends_at_once(code: FailureCode, told: str) -> None:
    with pytest.raises(Unreachable, match=told) as caught:
        await ran(plan(calls=2, total=10), FakeCrew({1: code}))
    assert caught.value.remedy


async def test_once_somebody_has_answered_calls_may_fail() -> None:
    outcome = await ran(plan(calls=1, total=3), FakeCrew({2: "not_answered", 3: "unanswered"}))
    assert [each.failure and each.failure.code for each in outcome.calls] == [None, "not_answered", "unanswered"]


async def test_a_test_that_is_interrupted_keeps_what_it_has() -> None:
    crew = FakeCrew(hold=asyncio.Event())
    test = test_of(plan(calls=2), crew)
    running = spawn(test.run(crew), name="test")
    await crew.two.wait()
    snapshot = test.snapshot()
    await cancel_and_wait(running)
    assert (snapshot.talking, snapshot.passed, snapshot.last) == (2, 0, None)
    assert test.outcome.interrupted
    assert test.outcome.concurrency


# ------------------------------------------------------------ plans and what goes through the pipe


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"script": "[silence 2]\n[dtmf 1]"}, "say nothing"),
        ({"script": "[nonsense]"}, "cannot be played"),
        ({"calls": 5, "total": 3}, "--total 3 is less than --calls 5"),
        ({"total": 3, "duration_s": 10.0}, "cannot be combined"),
    ],
)
def test_a_plan_that_makes_no_sense_is_told(fields: dict[str, object], told: str) -> None:
    with pytest.raises(UsageFault, match=told):
        plan(**fields)


def test_callers_are_spread_over_processes() -> None:
    assert [plan(calls=calls).crew for calls in (1, 16, 17, 50)] == [1, 1, 2, 4]
    assert plan(calls=3, processes=8).crew == 3
    assert plan(calls=30, processes=3).crew == 3
    assert texts_of(plan(script="a\nb\n[interrupt 1] a\n[dtmf 1]").steps) == ("a", "b")


def test_what_goes_through_the_pipe_comes_out_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("briefing")
    voices = {"hello": tone(0.2), "my bill": tone(0.1)}
    briefing = Briefing("ws://x", "hello", write_voices(folder, voices), 5.0, True, Patience(1.0, 2.0, 3.0))
    briefing.write(folder / "briefing.json")
    read = Briefing.read(folder / "briefing.json")
    assert read == briefing
    assert {text: each.tolist() for text, each in read_voices(folder, read.voices).items()} == {
        text: each.tolist() for text, each in voices.items()
    }
    order = Order(7, "room", "secret-token")
    assert Order.parse(order.line()) == order
    assert "secret-token" not in repr(order)
    for told in (Told("stage", 3, "talking"), Told("call", 1, call=call(1)), Told("process", process=PROCESS)):
        assert read_told(told.line().encode()) == told
    assert read_told(b"a native library says hello\n") is None


def test_times_are_told_since_the_beginning() -> None:
    told = call(1).since(1.0)
    assert (told.began_s, told.ended_s, told.answered_s) == (0.0, 10.0, 0.3)
    assert (told.utterances[0].began_s, told.utterances[0].response_s, told.keys[0].at_s) == (2.0, 0.8, 7.0)
