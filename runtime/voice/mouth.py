"""An utterance on its way to the caller: from memory, from the voice service, and from a recording where that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from livekit import rtc

from runtime.voice.apologies import recording
from runtime.voice.phrases import Phrase, phrase, phrase_of
from runtime.voice.spoken import Recording, SpokenCache, plain
from runtime.voice.watchdog import Limits

__all__ = ["Mouth", "Speak", "Spokesman", "Voice"]

Speak = Callable[[AsyncIterable[str]], AsyncIterable[rtc.AudioFrame]]

_WORDS_A_SECOND: Final = 2.5
_BROKEN_S: Final = 30.0
"""After a failure the runtime's own phrases come from recordings for so long, and nobody waits for the service."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A node's voice: its key in the caches, its language, and what has been said with it before."""

    key: str = ""
    language: str = "en"
    memories: tuple[SpokenCache, ...] = ()

    def remembered(self, text: str) -> Recording | None:
        """Return the text's recording in this voice."""
        return next((found for memory in self.memories if (found := memory.find(self.key, text))), None)

    def own(self, name: Phrase) -> Recording:
        """Return a phrase of the runtime's, in this voice where that was prepared."""
        return self.remembered(phrase(name, self.language)) or recording(name, self.language)


class Spokesman(Protocol):
    """Who is told that a text was not said, and knows whether the call is ending."""

    def voice_failed(self, code: str, error: BaseException | None, *, recovered_by: str) -> bool:
        """Take the fault down; answer whether there is still something to be said."""
        ...

    @property
    def ending(self) -> bool: ...


@dataclass(slots=True)
class _Utterance:
    """What has come in and gone out of one speech; times are the loop's."""

    text: str = ""
    ended_at: float | None = None
    first_at: float | None = None
    last_at: float = 0.0
    made_s: float = 0.0
    fault: str = ""
    error: BaseException | None = None

    @property
    def sayable(self) -> bool:
        return any(map(str.isalnum, self.text))

    def take(self, frame: rtc.AudioFrame, now: float) -> None:
        """Count a frame that has come."""
        self.last_at = now
        self.first_at = self.first_at or now
        self.made_s += frame.duration

    def due(self, limits: Limits) -> float | None:
        """Return when the next frame has to be there; None while the text has not ended, for then it may be waited for."""
        if self.ended_at is None or not self.sayable:
            return None
        if self.first_at is None:
            return self.ended_at + limits.first_audio_s
        runs_dry = self.first_at + self.made_s
        return max(self.ended_at, self.last_at, runs_dry) + limits.stalled_audio_s


class Mouth:
    """Speaks a call's utterances one after the other (`CallAgent.tts_node`)."""

    def __init__(self, spokesman: Spokesman, limits: Callable[[], Limits]) -> None:
        self._spokesman = spokesman
        self._limits = limits
        self._broken_until = 0.0
        self.voice = Voice()

    async def speak(
        self, text: AsyncIterable[str], speak: Speak, instead: Callable[[str], None]
    ) -> AsyncIterator[rtc.AudioFrame]:
        """Yield a text's sound. Where it cannot be spoken, `instead(said)` is told what is heard in its place."""
        pieces = aiter(text)
        begun, complete = await self._begun(pieces)
        if complete and (known := self._known("".join(begun))) is not None:
            async for frame in known.frames():
                yield frame
            return
        utterance = _Utterance()
        async for frame in self._live(utterance, _joined(begun, pieces), speak):
            yield frame
        if utterance.fault and utterance.sayable:
            async for frame in self._in_its_place(utterance, instead):
                yield frame

    def sound(self, text: str) -> AsyncIterable[rtc.AudioFrame] | None:
        """Return what a call without a voice says in place of synthesis: for `AgentSession.say(text, audio=…)`."""
        known = self.voice.remembered(text)
        if known is None and not self.voice.key and (name := phrase_of(text, self.voice.language)):
            known = recording(name, self.voice.language)
        return None if known is None else known.frames()

    # ------------------------------------------------------------ from memory

    async def _begun(self, pieces: AsyncIterator[str]) -> tuple[list[str], bool]:
        """Read for as long as it may be a text that is known; tell whether that was all of it."""
        begun: list[str] = []
        async for piece in pieces:
            begun.append(piece)
            if not self._may_be_known("".join(begun)):
                return begun, False
        return begun, True

    def _may_be_known(self, start: str) -> bool:
        voice = self.voice
        if any(memory.may_begin(voice.key, start) for memory in voice.memories):
            return True
        return self._broken and any(
            plain(phrase(name, voice.language)).startswith(plain(start)) for name in ("again", "give_up", "filler")
        )

    def _known(self, text: str) -> Recording | None:
        if (found := self.voice.remembered(text)) is not None:
            return found
        name = phrase_of(text, self.voice.language) if self._broken else None
        return None if name is None else self.voice.own(name)

    @property
    def _broken(self) -> bool:
        return asyncio.get_running_loop().time() < self._broken_until

    # ------------------------------------------------------------ from the voice service

    async def _live(
        self, utterance: _Utterance, text: AsyncIterator[str], speak: Speak
    ) -> AsyncIterator[rtc.AudioFrame]:
        """Yield the service's frames for as long as they come, and note what is wrong."""
        try:
            async for frame in self._frames(utterance, text, speak):
                yield frame
        except TimeoutError:
            utterance.fault = "stalled"
        except Exception as error:  # noqa: BLE001 - an edge: whatever a plugin raises, the caller hears something
            utterance.fault, utterance.error = "failed", error
        else:
            utterance.fault = "" if utterance.made_s else "silent"

    async def _frames(
        self, utterance: _Utterance, text: AsyncIterator[str], speak: Speak
    ) -> AsyncIterator[rtc.AudioFrame]:
        loop = asyncio.get_running_loop()
        limits = self._limits()
        deadline: asyncio.Timeout | None = None

        async def noted() -> AsyncIterator[str]:
            async for piece in text:
                utterance.text += piece
                yield piece
            utterance.ended_at = loop.time()
            if deadline is not None and not deadline.expired():
                deadline.reschedule(utterance.due(limits))

        frames = aiter(speak(noted()))
        async with aclosing(frames):  # type: ignore[type-var]  # LiveKit's nodes are generators
            while True:
                try:
                    async with asyncio.timeout_at(utterance.due(limits)) as deadline:
                        frame = await anext(frames)
                except StopAsyncIteration:
                    return
                finally:
                    deadline = None
                utterance.take(frame, loop.time())
                yield frame

    # ------------------------------------------------------------ from a recording

    async def _in_its_place(
        self, utterance: _Utterance, instead: Callable[[str], None]
    ) -> AsyncIterator[rtc.AudioFrame]:
        """Say the same where it is a phrase of the runtime's, else that it did not work."""
        self._broken_until = asyncio.get_running_loop().time() + _BROKEN_S
        language = self.voice.language
        same = phrase_of(utterance.text, language)
        name: Phrase = same or ("give_up" if self._spokesman.ending else "again")
        by = "recording" if same or self._spokesman.ending else "apology"
        heard = _heard(utterance)
        if not self._spokesman.voice_failed(utterance.fault, utterance.error, recovered_by=by):
            instead(heard)
            return
        instead(" ".join(filter(None, (heard, phrase(name, language)))))
        async for frame in self.voice.own(name).frames():
            yield frame


async def _joined(begun: list[str], pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    for piece in begun:
        yield piece
    async for piece in pieces:
        yield piece


def _heard(utterance: _Utterance) -> str:
    """Return about as much of the text as was spoken: no voice tells which word it has reached."""
    return " ".join(utterance.text.split()[: round(utterance.made_s * _WORDS_A_SECOND)])
