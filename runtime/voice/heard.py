"""How far into its text an agent was heard: told from the sound that was played, with nothing done while it plays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from livekit import rtc
from livekit.agents.types import TimedString
from livekit.agents.utils import is_given
from livekit.agents.voice import io

from runtime.voice.wav import samples_of

__all__ = ["HeardText", "HeardVoice"]

_QUIET: Final = 160  # of 32767: softer than any voice
_STEP_S: Final = 0.05
_LETTERS_A_SECOND: Final = 14.0  # until the call's own voice has been measured; that of English


@dataclass(slots=True)
class _Segment:
    """One utterance: its text, and where in its sound there is a voice."""

    texts: list[str] = field(default_factory=list)
    voiced: list[float] = field(default_factory=list)  # seconds of voice in each captured frame
    lengths: list[float] = field(default_factory=list)  # seconds of each captured frame
    text_ended: bool = False
    sound_ended: bool = False
    cut_short: bool = False  # the voice failed before the text was over

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def whole(self) -> bool:
        return self.text_ended and self.sound_ended and not self.cut_short

    def add(self, frame: rtc.AudioFrame) -> None:
        self.lengths.append(frame.duration)
        self.voiced.append(_voiced_s(frame))

    def voice_until(self, seconds: float) -> float:
        """Return for how long there was a voice in the first `seconds`."""
        total = 0.0
        for length, voiced in zip(self.lengths, self.voiced, strict=True):
            if seconds <= 0:
                break
            total += voiced * min(1.0, seconds / length)
            seconds -= length
        return total

    def timed_until(self, seconds: float) -> str | None:
        """Return the text that had begun by then, where the voice itself says when its words do."""
        timed = [text for text in self.texts if isinstance(text, TimedString)]
        begun = [text for text in timed if is_given(text.start_time) and text.start_time < seconds]
        return "".join(begun) if any(is_given(text.start_time) for text in timed) else None


def _voiced_s(frame: rtc.AudioFrame) -> float:
    samples = samples_of(frame)
    step = max(1, int(frame.sample_rate * _STEP_S))
    loudest = np.maximum.reduceat(samples, range(0, samples.size, step)) if samples.size else samples
    return frame.duration * float(np.mean(loudest > _QUIET)) if loudest.size else 0.0


class HeardText(io.TextOutput):
    """Takes the text of what is being said; `HeardVoice` takes its sound."""

    def __init__(self) -> None:
        super().__init__(label="heard", next_in_chain=None)
        self.segment = _Segment()

    async def capture_text(self, text: str) -> None:
        self.segment.texts.append(text)

    def flush(self) -> None:
        self.segment.text_ended = True


class HeardVoice(io.AudioOutput):
    """Passes the agent's voice on to `sink` and says of each utterance which part of `text` was heard.

    An utterance that was cut off is heard as far as its voice goes, to a whole word: as a share of its text where all
    of its sound was there, else at the pace of what the same voice has said before.
    """

    def __init__(self, sink: io.AudioOutput, text: HeardText) -> None:
        super().__init__(label="heard", next_in_chain=sink, capabilities=io.AudioOutputCapabilities(pause=True))
        self._text = text
        self._pace = _LETTERS_A_SECOND

    @property
    def sample_rate(self) -> int | None:
        return self.next_in_chain.sample_rate if self.next_in_chain else None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        if self.next_in_chain:
            await self.next_in_chain.capture_frame(frame)
        await super().capture_frame(frame)
        self._text.segment.add(frame)

    def flush(self) -> None:
        super().flush()
        if self.next_in_chain:
            self.next_in_chain.flush()
        if self._text.segment.lengths:
            self._text.segment.sound_ended = True
        else:  # a text that came without any sound
            self._text.segment = _Segment()

    def clear_buffer(self) -> None:
        if self.next_in_chain:
            self.next_in_chain.clear_buffer()

    def on_playback_finished(
        self, *, playback_position: float, interrupted: bool, synchronized_transcript: str | None = None
    ) -> None:
        del synchronized_transcript
        if not self._pending_playback_count:  # a frame was given up before it was counted here
            return
        segment, self._text.segment = self._text.segment, _Segment()
        if segment.whole and (voice_s := sum(segment.voiced)) > 1:
            self._pace = len(segment.text) / voice_s
        cut = interrupted or segment.cut_short
        heard = self._heard(segment, playback_position) if cut else segment.text
        super().on_playback_finished(
            playback_position=playback_position, interrupted=interrupted, synchronized_transcript=heard
        )

    def _mark_input_truncated(self) -> None:
        self._text.segment.cut_short = True
        super()._mark_input_truncated()

    def _heard(self, segment: _Segment, seconds: float) -> str:
        if (timed := segment.timed_until(seconds)) is not None:
            return timed
        text, voice_s = segment.text, segment.voice_until(seconds)
        if segment.whole:
            whole_s = sum(segment.voiced)
            return _words(text, round(len(text) * voice_s / whole_s) if whole_s else 0)
        return _words(text, round(self._pace * voice_s))


def _words(text: str, letters: int) -> str:
    """Return the words that end within so many letters; a text without spaces is cut where it is."""
    if letters >= len(text):
        return text
    if text[letters].isspace() or " " not in text:
        return text[:letters]
    return text[: text.rfind(" ", 0, letters) + 1].rstrip()
