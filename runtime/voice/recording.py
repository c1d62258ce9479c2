"""Speech that is there already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from livekit import rtc

from runtime.voice.wav import Samples, frame_of

__all__ = ["Recording"]

_FRAME_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Recording:
    """Speech that is there already: mono samples at `rate` Hz."""

    samples: Samples
    rate: int

    @property
    def seconds(self) -> float:
        return self.samples.size / self.rate

    async def frames(self) -> AsyncIterator[rtc.AudioFrame]:
        """Hand it out in frames of 50 ms, as fast as they are taken."""
        size = int(self.rate * _FRAME_S)
        for at in range(0, self.samples.size, size):
            yield frame_of(self.samples[at : at + size], self.rate)
