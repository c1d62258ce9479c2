"""When the agent speaks, told by the loudness of what arrives at the caller."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from runtime.voice.wav import Samples

__all__ = ["BRIDGE_S", "LOUD", "Ear", "Voice", "trimmed"]

LOUD: Final = 300.0
"""Root mean square of 10 ms: Opus makes silence nearly silent."""
BRIDGE_S: Final = 0.4
"""Pauses between words and sentences belong to one voice."""
_WINDOW_S: Final = 0.01
_CLICK_S: Final = 0.03  # what is shorter is no voice
_BREATH_S: Final = 0.05
_GAP_S: Final = 0.1


@dataclass(slots=True)
class Voice:
    """A stretch of speech: the times of its first and last loud sample."""

    begin: float
    end: float


class Ear:
    """Takes frames of mono samples at `rate` Hz and the time (seconds) at which each came, which is that of its last sample."""

    def __init__(self, rate: int = 16000) -> None:
        self._rate = rate
        self._window = int(rate * _WINDOW_S)
        self._faint: Voice | None = None
        self._last_at: float | None = None
        self.voices: list[Voice] = []
        self.heard_s = 0.0
        self.gaps = 0
        self.longest_gap_s = 0.0

    @property
    def last_loud(self) -> float:
        """When the agent was last heard; minus infinity before that."""
        return self.voices[-1].end if self.voices else -math.inf

    def hear(self, samples: Samples, at: float) -> None:
        """Take one frame."""
        self._count_gap(samples.size / self._rate, at)
        began = at - samples.size / self._rate
        for index in np.flatnonzero(_loud(samples, self._window)):
            self._sounds(began + float(index) * _WINDOW_S)

    def voice_at(self, time: float) -> Voice | None:
        """Return the voice that was to be heard at a time, pauses between words included."""
        return next((each for each in reversed(self.voices) if each.begin <= time <= each.end + BRIDGE_S), None)

    def voice_since(self, time: float) -> Voice | None:
        """Return the first voice that began at a time or later."""
        return next((each for each in self.voices if each.begin >= time), None)

    def _sounds(self, begin: float) -> None:
        end = begin + _WINDOW_S
        if self.voices and begin - self.voices[-1].end <= BRIDGE_S:
            self._lengthen(self.voices[-1], end)
            return
        if self._faint is None or begin - self._faint.end > _BREATH_S:
            self._faint = Voice(begin, end)
        self._faint.end = end
        if end - self._faint.begin >= _CLICK_S:
            self.heard_s += end - self._faint.begin
            self.voices.append(self._faint)
            self._faint = None

    def _lengthen(self, voice: Voice, end: float) -> None:
        voice.end = max(voice.end, end)
        self.heard_s += _WINDOW_S

    def _count_gap(self, length_s: float, at: float) -> None:
        if self._last_at is not None and (gap := at - self._last_at - length_s) > _GAP_S:
            self.gaps += 1
            self.longest_gap_s = max(self.longest_gap_s, gap)
        self._last_at = at


def trimmed(samples: Samples, rate: int = 16000) -> Samples:
    """Return the samples from the first loud 10 ms to the last, so that they begin and end with a voice."""
    window = int(rate * _WINDOW_S)
    loud = np.flatnonzero(_loud(samples, window))
    return samples[loud[0] * window : (loud[-1] + 1) * window] if loud.size else samples


def _loud(samples: Samples, window: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    parts = samples[: samples.size // window * window].reshape(-1, window).astype(np.float32)
    return np.asarray((parts * parts).mean(axis=1) > LOUD * LOUD)
