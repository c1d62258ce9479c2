"""A caller of a load test, on a line that plays the agent in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from runtime.harness.load.caller import Course, LoadCaller, NotConnected
from runtime.harness.load.ear import Ear, Voice
from runtime.harness.load.plan import Patience
from runtime.harness.load.results import BargeIn, Sound
from runtime.harness.script import parse_script
from runtime.voice.wav import Samples
from tests.runtime.harness.load.samples import RATE, silence

SAID_S = 1.0
STEP_S = 0.01


@dataclass
class FakeLine:
    """Implements `Line`: its clock moves while somebody waits, and the agent speaks at the times that are `planned`.

    After each thing the caller says the next of `answers` is planned: from how long after, for how long. None says nothing.
    """

    answers: list[tuple[float, float] | None] = field(default_factory=list)
    greeting: tuple[float, float] | None = (0.5, 1.0)
    refuses: str | None = None
    agent_after: float | None = 0.2
    over_at: float | None = None
    stops_after: float | None = None
    ear: Ear = field(default_factory=Ear)
    now: float = 100.0
    planned: list[tuple[float, float]] = field(default_factory=list)
    said: list[tuple[float, float]] = field(default_factory=list)
    pressed: str = ""
    hung_up: bool = False

    @property
    def answered(self) -> bool:
        return self.agent_after is not None and self.now >= 100.0 + self.agent_after

    @property
    def over(self) -> bool:
        return self.over_at is not None and self.now >= self.over_at

    async def dial(self) -> None:
        if self.refuses is not None:
            raise NotConnected(self.refuses)
        if self.greeting is not None:
            self.plan(self.now + self.greeting[0], self.greeting[1])

    async def until(self, condition: Callable[[], bool], *, within_s: float) -> bool:
        deadline = self.now + within_s
        while not condition():
            if self.over or self.now >= deadline:
                return condition()
            self.pass_by()
        return True

    async def say(self, samples: Samples) -> tuple[float, float]:
        began = self.now
        ended = began + samples.size / RATE
        if self.stops_after is not None:
            self.planned = [(start, min(end, began + self.stops_after)) for start, end in self.planned]
        while self.now < ended:
            self.pass_by()
        self.said.append((began, ended))
        self.answer(ended)
        return began, ended

    async def press(self, keys: str) -> float:
        self.pressed += keys
        self.answer(self.now)
        return self.now

    async def sound(self) -> Sound:
        return Sound(heard_s=self.ear.heard_s)

    async def hang_up(self) -> None:
        self.hung_up = True

    def answer(self, after: float) -> None:
        if self.answers and (planned := self.answers.pop(0)) is not None:
            self.plan(after + planned[0], planned[1])

    def plan(self, start: float, length: float) -> None:
        self.planned.append((start, start + length))

    def pass_by(self) -> None:
        self.now = round(self.now + STEP_S, 6)
        for start, end in self.planned:
            if start < self.now <= end:
                self._sounds(start)

    def _sounds(self, start: float) -> None:
        voices = self.ear.voices
        if not voices or voices[-1].begin != start:
            voices.append(Voice(start, self.now))
        voices[-1].end = self.now


async def called(line: FakeLine, *script: str, patience: Patience | None = None) -> Course:
    steps = parse_script("\n".join(script))
    texts = {getattr(step, "text", ""): silence(SAID_S) for step in steps}
    return await LoadCaller(line, texts, patience or Patience(), lambda: None).call(steps)


def responses(course: Course) -> Sequence[float | None]:
    return [None if each.response_s is None else round(each.response_s, 2) for each in course.utterances]


async def test_a_call_in_which_all_is_answered() -> None:
    line = FakeLine(answers=[(0.7, 2.0), (1.2, 1.0)])
    course = await called(line, "hello", "my bill")
    assert course.failure is None
    assert course.answered_s == pytest.approx(0.2, abs=0.02)
    assert course.first_sound_s == pytest.approx(0.5, abs=0.02)
    assert responses(course) == [0.7, 1.2]
    assert line.said[0][0] == pytest.approx(101.5 + 0.8, abs=0.05)  # the greeting's end and a pause
    assert line.hung_up
    assert course.left


async def test_an_interruption_is_measured_from_the_caller_s_begin_to_the_agents_end() -> None:
    line = FakeLine(greeting=(0.5, 10.0), stops_after=0.35, answers=[(0.6, 1.0)])
    course = await called(line, "[interrupt 1.5] stop please")
    (turn,) = course.utterances
    assert turn.began_s == pytest.approx(102.0, abs=0.05)
    assert turn.barge_in is not None
    assert (turn.barge_in.stop_s, turn.barge_in.yielded) == (pytest.approx(0.35, abs=0.02), True)
    assert turn.response_s == pytest.approx(0.6, abs=0.02)


async def test_an_agent_that_does_not_yield_and_one_that_had_finished() -> None:
    stubborn = await called(FakeLine(greeting=(0.5, 4.0), answers=[(3.5, 1.0)]), "[interrupt 1] stop")
    assert stubborn.utterances[0].barge_in == BargeIn(pytest.approx(3.0, abs=0.05), yielded=False)
    late = await called(FakeLine(greeting=(0.5, 0.6), answers=[(0.5, 1.0)]), "[interrupt 3] stop")
    assert late.utterances[0].barge_in == BargeIn(None)
    assert late.failure is None


async def test_an_agent_that_begins_beside_the_caller_has_answered_but_no_time_is_told() -> None:
    course = await called(FakeLine(answers=[(-0.3, 2.0)]), "hello")
    (turn,) = course.utterances
    assert (turn.response_s, turn.talked_over, turn.answered) == (None, True, True)
    assert course.failure is None


async def test_keys_are_pressed_when_the_agent_has_finished_and_need_no_answer() -> None:
    line = FakeLine(answers=[(0.3, 0.5), None])
    course = await called(line, "[dtmf 42#]", "[dtmf 7]", "[hangup]", "never said")
    assert line.pressed == "42#7"
    assert [each.response_s and round(each.response_s, 2) for each in course.keys] == [0.3, None]
    assert course.failure is None
    assert course.utterances == []


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (FakeLine(refuses="the token is no good"), "not_connected", "the token is no good"),
        (FakeLine(agent_after=None), "not_answered", "got no agent within 20 s"),
        (FakeLine(agent_after=None, over_at=105.0), "not_answered", "was ended by the server"),
        (FakeLine(answers=[None]), "unanswered", "said nothing for 15 s after step 1: hello"),
        (FakeLine(over_at=101.8), "ended_early", "before step 1"),
        (FakeLine(answers=[None], over_at=104.0), "ended_early", "ended the call after step 1"),
        (FakeLine(answers=[(0.5, 1.0)], over_at=105.5), "ended_early", "before step 2"),
    ],
)
async def test_what_fails_is_told_and_the_caller_hangs_up(line: FakeLine, code: str, told: str) -> None:
    course = await called(line, "hello", "my bill")
    assert course.failure is not None
    assert course.failure.code == code
    assert told in course.failure.message
    assert line.hung_up


async def test_an_agent_that_ends_the_call_after_the_last_answer_is_fine() -> None:
    course = await called(FakeLine(answers=[(0.5, 1.0)], over_at=105.5), "goodbye")
    assert course.failure is None
    assert not course.left
