"""A caller of a load test: takes the steps of a script at the right moments, and measures what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, assert_never

from runtime.harness.load.ear import BRIDGE_S, Ear
from runtime.harness.load.plan import Patience
from runtime.harness.load.results import BargeIn, Failure, FailureCode, Keys, Sound, Utterance
from runtime.harness.script import Dtmf, Hangup, Interrupt, Say, Silence, Step
from runtime.voice.wav import Samples

__all__ = ["Course", "Line", "LoadCaller", "NotConnected"]

_GREETS_WITHIN_S: Final = 5.0
_SPEAKS_WITHIN_S: Final = 10.0
_KEYS_ANSWERED_WITHIN_S: Final = 3.0
_FINISHES_WITHIN_S: Final = 60.0
_YIELDS_WITHIN_S: Final = 5.0


class NotConnected(Exception):
    """The room cannot be joined; the text says why."""


class Line(Protocol):
    """A call's telephone as the caller of a load test holds it. Times are of one clock, in seconds."""

    @property
    def ear(self) -> Ear: ...

    @property
    def now(self) -> float: ...

    @property
    def answered(self) -> bool:
        """Whether an agent's track is there."""
        ...

    @property
    def over(self) -> bool:
        """Whether the other side has ended the call."""
        ...

    async def dial(self) -> None:
        """Ring; raises NotConnected."""
        ...

    async def until(self, condition: Callable[[], bool], *, within_s: float) -> bool:
        """Wait until it holds, the call is over or the time has passed; return whether it holds."""
        ...

    async def say(self, samples: Samples) -> tuple[float, float]:
        """Say mono samples at 16 kHz; return, when the last has left, the times of the first and of the last."""
        ...

    async def press(self, keys: str) -> float:
        """Press keys of `0-9*#A-D`; return when the last was pressed."""
        ...

    async def sound(self) -> Sound:
        """Return how the agent's sound arrived."""
        ...

    async def hang_up(self) -> None:
        """Leave, however far the call is. Idempotent."""
        ...


@dataclass(slots=True)
class Course:
    """How a call went; times are those of its line."""

    began: float = 0.0
    ended: float = 0.0
    answered_s: float | None = None
    first_sound_s: float | None = None
    utterances: list[Utterance] = field(default_factory=list)
    keys: list[Keys] = field(default_factory=list)
    sound: Sound = field(default_factory=Sound)
    left: bool = False
    failure: Failure | None = None


class _Failed(Exception):
    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(code, message)


class LoadCaller:
    """Makes one call on a line. `voices` are the script's texts as samples; `talking` is called once an agent is there."""

    def __init__(
        self, line: Line, voices: Mapping[str, Samples], patience: Patience, talking: Callable[[], None]
    ) -> None:
        self._line = line
        self._voices = voices
        self._patience = patience
        self._talking = talking
        self._course = Course()

    async def call(self, steps: Sequence[Step]) -> Course:
        """Ring, take the steps, hear the last answer to its end and hang up; what fails is in the result."""
        line, course = self._line, self._course
        course.began = line.now
        try:
            await self._get_through()
            await self._play(steps)
        except _Failed as failed:
            course.failure = failed.failure
        finally:
            course.left = not line.over
            course.ended = line.now
            course.sound = await line.sound()
            await line.hang_up()
        return course

    async def _get_through(self) -> None:
        line, course = self._line, self._course
        try:
            await line.dial()
        except NotConnected as error:
            raise _Failed("not_connected", f"The room could not be joined: {error}") from None
        if not await line.until(lambda: line.answered, within_s=self._patience.agent_s):
            why = "was ended by the server" if line.over else f"got no agent within {self._patience.agent_s:g} s"
            raise _Failed("not_answered", f"The call {why}.")
        course.answered_s = line.now - course.began
        self._talking()
        if await line.until(lambda: bool(line.ear.voices), within_s=_GREETS_WITHIN_S):
            course.first_sound_s = line.ear.voices[0].begin - course.began

    async def _play(self, steps: Sequence[Step]) -> None:
        for number, step in enumerate(steps, start=1):
            if isinstance(step, Hangup):
                await self._agents_end()
                return
            if self._line.over:
                raise _Failed("ended_early", f"The agent's side ended the call before step {number} of {len(steps)}.")
            await self._take(number, step)
        await self._agents_end()

    async def _take(self, number: int, step: Step) -> None:
        match step:
            case Say(text):
                await self._agents_end()
                await self._say(number, text)
            case Interrupt(after_s, text):
                await self._agents_voice(after_s)
                await self._say(number, text, interrupting=True)
            case Dtmf(keys):
                await self._agents_end()
                await self._press(number, keys)
            case Silence(seconds):
                await self._agents_end()
                await self._line.until(lambda: False, within_s=seconds)
            case Hangup():
                return
            case never:
                assert_never(never)

    # ------------------------------------------------------------ speaking, and what comes back

    async def _say(self, number: int, text: str, *, interrupting: bool = False) -> None:
        line = self._line
        if line.over:
            raise _Failed("ended_early", f"The agent's side ended the call before step {number}.")
        began, ended = await line.say(self._voices[text])
        barge_in = await self._barged_in(began, ended) if interrupting else None
        answered = await line.until(lambda: self._answer(began, ended) is not None, within_s=self._patience.answer_s)
        answer = self._answer(began, ended)
        response_s = answer - ended if answer is not None and answer >= ended else None
        utterance = Utterance(number, text, began, ended, response_s, answered and response_s is None, barge_in)
        self._course.utterances.append(utterance)
        if not answered:
            why = "ended the call" if line.over else f"said nothing for {self._patience.answer_s:g} s"
            raise _Failed("ended_early" if line.over else "unanswered", f"The agent {why} after step {number}: {text}")

    def _answer(self, began: float, ended: float) -> float | None:
        """Return when the agent's next voice began: behind the caller's end, or already beside their words."""
        after = self._line.ear.voice_since(ended)
        beside = self._line.ear.voice_since(began)
        found = after or (beside if beside is not None and beside.end > ended else None)
        return None if found is None else found.begin

    async def _barged_in(self, began: float, ended: float) -> BargeIn:
        line, voice = self._line, self._line.ear.voice_at(began)
        if voice is None:
            return BargeIn(None)
        await line.until(lambda: line.now - voice.end > BRIDGE_S, within_s=_YIELDS_WITHIN_S)
        return BargeIn(round(max(0.0, voice.end - began), 3), yielded=voice.end <= ended + BRIDGE_S)

    async def _press(self, number: int, keys: str) -> None:
        line = self._line
        at = await line.press(keys)
        await line.until(lambda: line.ear.voice_since(at) is not None, within_s=_KEYS_ANSWERED_WITHIN_S)
        voice = line.ear.voice_since(at)
        self._course.keys.append(Keys(number, keys, at, None if voice is None else voice.begin - at))

    # ------------------------------------------------------------ when

    async def _agents_end(self) -> None:
        """Wait until the agent has finished; one that talks for ever is talked over."""
        line = self._line
        await line.until(lambda: line.now - line.ear.last_loud >= self._patience.pause_s, within_s=_FINISHES_WITHIN_S)

    async def _agents_voice(self, after_s: float) -> None:
        """Wait until the agent has spoken for so long."""
        line = self._line
        await line.until(lambda: line.ear.voice_at(line.now) is not None, within_s=_SPEAKS_WITHIN_S)
        voice = line.ear.voice_at(line.now)
        begun = line.now if voice is None else voice.begin
        await line.until(lambda: line.now >= begun + after_s, within_s=after_s + 1.0)
