"""What the caller says while the agent speaks: sounds of somebody who listens change nothing, "stop" silences at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from livekit import rtc
from livekit.agents import AgentSession, AgentStateChangedEvent, UserStateChangedEvent, stt
from livekit.agents.voice import SpeechHandle

from runtime.voice.phrases import BACKCHANNELS, STOPS, base_language, folded
from runtime.workflow.graph import Agent as Node

__all__ = ["ANSWER_S", "TRANSCRIPTS", "Manners", "Microphone", "Overlaps"]

ANSWER_S: Final = 0.5
"""Words begun so late in the agent's sentence answer it; earlier ones go along with it."""
_VAD_LAG_S: Final = 0.1
_POLITE: Final = frozenset(
    {"please", "no", "ok", "okay", "hey", "uh", "um", "bitte", "nein", "non", "per", "por", "favor"}
)
TRANSCRIPTS: Final = frozenset(
    {
        stt.SpeechEventType.INTERIM_TRANSCRIPT,
        stt.SpeechEventType.PREFLIGHT_TRANSCRIPT,
        stt.SpeechEventType.FINAL_TRANSCRIPT,
    }
)


@dataclass(frozen=True, slots=True)
class Manners:
    """Which words go along with what the agent says (folded), and which make it stop (word by word)."""

    ignored: frozenset[str] = frozenset()
    stops: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, node: Node) -> Manners:
        """Return the node's: its `turn.interruption.ignore`, or what its language's listeners say where it is empty."""
        language = base_language(node.language)
        ignored = node.turn.interruption.ignore or BACKCHANNELS[language]
        return cls(
            frozenset(filter(None, map(folded, ignored))), tuple(tuple(each.split()) for each in STOPS[language])
        )

    def is_backchannel(self, text: str) -> bool:
        """Whether nothing is said but ignored words, however often and however they are spelt."""
        letters = folded(text)
        ends = {0}
        for at in range(len(letters)):
            if at in ends:
                ends |= {at + len(word) for word in self.ignored if letters.startswith(word, at)}
        return bool(letters) and len(letters) in ends

    def is_stop(self, text: str) -> bool:
        """Whether it begins with an order to be silent, courtesies left aside."""
        words = [folded(word) for word in text.split()]
        while words and words[0] in _POLITE:
            words.pop(0)
        return any(tuple(words[: len(stop)]) == tuple(map(folded, stop)) for stop in self.stops)


class Microphone:
    """The caller's sound on its way to the recogniser; `closed` once there will be no more."""

    def __init__(self, audio: AsyncIterable[rtc.AudioFrame]) -> None:
        self._audio = audio
        self.closed = False

    async def frames(self) -> AsyncIterator[rtc.AudioFrame]:
        async for frame in self._audio:
            yield frame
        self.closed = True


class Overlaps:
    """Sorts what the recogniser hears while a sentence is being said, before LiveKit takes it for a turn.

    `answered(text)` gets words that seemed to go along with a sentence and turn out to answer its end.
    """

    def __init__(self, session: AgentSession[None], answered: Callable[[str], None]) -> None:
        self._session = session
        self._answered = answered
        self._clock = asyncio.get_running_loop().time
        self.manners = Manners()
        self._voiced: SpeechHandle | None = None
        self._resumed_at: float | None = None
        self._played = 0.0  # seconds of the sentence that the caller has heard, pauses left out
        self._began: float | None = None  # how much of it had been heard when the caller began to speak
        self._ended: float | None = None
        self._held: list[str] = []
        session.on("agent_state_changed", self._agent_changed)
        session.on("user_state_changed", self._user_changed)

    @property
    def underway(self) -> bool:
        """Whether a sentence has begun to be heard and is not over, be it that it pauses."""
        return self._resumed_at is not None or self._is_paused()

    def passes(self, event: stt.SpeechEvent) -> bool:
        """Whether LiveKit is to know of what was recognised."""
        text = event.alternatives[0].text if event.alternatives else ""
        if event.type not in TRANSCRIPTS or not text.strip():
            return True
        if self.manners.is_backchannel(text):
            return self._passes_backchannel(text, final=event.type is stt.SpeechEventType.FINAL_TRANSCRIPT)
        if self.underway and self.manners.is_stop(text):
            self._silence()
        return True

    def _passes_backchannel(self, text: str, *, final: bool) -> bool:
        if not self.underway:
            return not self._went_along()
        if self._began is None:  # too soft for the voice activity detection
            self._began = self._heard_so_far() - ANSWER_S
        if final:
            self._held.append(text)
            self._resume()
        return False

    def _went_along(self) -> bool:
        """Whether the caller began to speak within the last sentence, but not at its end."""
        return self._began is not None and self._ended is not None and self._ended - self._began > ANSWER_S

    # ------------------------------------------------------------ the agent's sentence

    def _agent_changed(self, event: AgentStateChangedEvent) -> None:
        now = self._clock()
        if self._resumed_at is not None:
            self._played += now - self._resumed_at
            self._resumed_at = None
        if event.new_state == "speaking":
            self._begin(now)
        elif event.old_state == "speaking" and not self._is_paused():
            self._end()

    def _begin(self, now: float) -> None:
        speech = self._session.current_speech
        if speech is not self._voiced or self._ended is not None:
            self._voiced, self._played, self._ended = speech, 0.0, None
            self._began = 0.0 if self._session.user_state == "speaking" else None
            self._held.clear()
            if speech is not None:
                speech.add_done_callback(self._done)
        self._resumed_at = now

    def _done(self, speech: SpeechHandle) -> None:
        if speech is self._voiced and self._ended is None:
            self._end()

    def _end(self) -> None:
        self._ended = self._played
        held, self._held = self._held, []
        cut_off = self._voiced is not None and self._voiced.interrupted
        if held and not cut_off and not self._went_along():
            self._answered(" ".join(held))

    def _heard_so_far(self) -> float:
        return self._played + (0.0 if self._resumed_at is None else self._clock() - self._resumed_at)

    # ------------------------------------------------------------ the caller

    def _user_changed(self, event: UserStateChangedEvent) -> None:
        if event.new_state != "speaking":
            return
        self._began = max(0.0, self._heard_so_far() - _VAD_LAG_S) if self.underway else None

    # ------------------------------------------------------------ LiveKit's own state

    # LiveKit keeps to itself that a sentence pauses, and resumes it only `resume_after_s` after the caller is silent.

    def _is_paused(self) -> bool:
        activity = self._session._activity  # noqa: SLF001
        paused = activity._paused_speech if activity is not None else None  # noqa: SLF001
        return paused is not None and paused.handle is self._voiced and not paused.handle.done()

    def _resume(self) -> None:
        activity = self._session._activity  # noqa: SLF001
        if activity is None or not self._is_paused():
            return
        if self._session.user_state == "speaking":  # its end of speech starts the timer with this
            assert activity._paused_speech is not None  # noqa: SLF001
            activity._paused_speech.timeout = 0.0  # noqa: SLF001
        else:
            activity._start_false_interruption_timer(0.0)  # noqa: SLF001

    def _silence(self) -> None:
        speech = self._session.current_speech
        if speech is not None and speech.allow_interruptions and not speech.interrupted:
            self._session.interrupt()
