"""What a client says, on its way to the agent: at the agent's rate, at the pace of speech, and never nothing at all."""

from __future__ import annotations

import asyncio
from typing import Final

import numpy as np

from runtime.harness.phone import RATE
from runtime.harness.wire import BadMessage, longest_frame
from runtime.voice.audio import PcmInput
from runtime.voice.wav import Resampler

__all__ = ["Ears"]

_TICK_S: Final = 0.02
_SILENCE: Final = np.zeros(int(RATE * _TICK_S), dtype=np.int16)
_GAP_S: Final = 0.3
"""A client that has sent nothing for so long is silent: without frames the end of its turn would never be noticed."""
_AHEAD_S: Final = 5.0


class Ears:
    """Takes PCM16 at `rate` Hz; `audio` is where the agent listens. `listen` runs as long as the call does.

    While muted, and while nothing comes, the agent hears silence.
    """

    def __init__(self, rate: int) -> None:
        self.audio = PcmInput(rate=RATE)
        self._rate = rate
        self._resampler = Resampler(rate, RATE) if rate != RATE else None
        self._clock = asyncio.get_running_loop().time
        self._muted = False
        self._heard_until = self._clock()  # when all that came has been said, at the pace of speech

    def hear(self, pcm: bytes) -> None:
        """Take a message of audio; raises `BadMessage` for one that is none, or that comes long before it can be heard."""
        if len(pcm) % 2 or len(pcm) > longest_frame(self._rate):
            raise BadMessage(
                "bad_audio",
                f"A message of audio holds whole samples of two bytes, and at most {longest_frame(self._rate)} bytes.",
            )
        now = self._clock()
        until = max(self._heard_until, now) + len(pcm) / 2 / self._rate
        if until > now + _AHEAD_S:
            raise BadMessage(
                "too_fast", f"Audio comes more than {_AHEAD_S:g} s before it can be heard; it is left out."
            )
        self._heard_until = until
        if pcm and not self._muted:
            samples = np.frombuffer(pcm, dtype="<i2").astype(np.int16, copy=False)
            self.audio.push(samples if self._resampler is None else self._resampler.push(samples))

    def mute(self, *, muted: bool) -> None:
        """Let the agent hear silence, or the client again."""
        self._muted = muted

    async def listen(self) -> None:
        """Fill with silence what is not said."""
        due = self._clock()
        while True:
            due = max(due + _TICK_S, self._clock() - _GAP_S)
            await asyncio.sleep(max(0.0, due - self._clock()))
            if self._muted or self._clock() - self._heard_until > _GAP_S:
                self.audio.push(_SILENCE)

    def close(self) -> None:
        """Say that nothing more comes. Idempotent."""
        self.audio.close()
