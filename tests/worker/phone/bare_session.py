"""What a leg knows of a LiveCall, without a model: ears that keep what they hear, and a mouth to speak with."""

from __future__ import annotations

import asyncio
from typing import cast

import numpy as np
from livekit.agents.voice import io

from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.live_call import LiveCall
from runtime.voice.wav import Samples, frame_of, samples_of
from tests.fakes.sip_caller import RATE, loudness, pitch


class BareSession:
    """Connected to a leg, it hears into `heard` and `keys`, and speaks with `say`."""

    def __init__(self) -> None:
        self.keys = ""
        self.heard: Samples = np.zeros(0, dtype=np.int16)
        self.sink: io.AudioOutput | None = None
        self.first_heard_at: float | None = None
        self._changed = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    def as_call(self) -> LiveCall:
        return cast("LiveCall", self)

    def connect(self, source: io.AudioInput, sink: io.AudioOutput) -> None:
        self.sink = sink
        self._listening = spawn(self._listen(source), name="bare session")

    def press(self, keys: str) -> None:
        self.keys += keys
        self._changed.set()

    async def say(self, samples: Samples) -> None:
        """Hand over a whole utterance, as a voice does that is faster than speech."""
        assert self.sink is not None
        for start in range(0, samples.size, RATE // 10):
            await self.sink.capture_frame(frame_of(samples[start : start + RATE // 10], RATE))
        self.sink.flush()

    async def until_keys(self, keys: str) -> None:
        async with asyncio.timeout(15):
            while len(self.keys) < len(keys):
                self._changed.clear()
                await self._changed.wait()
        assert self.keys == keys

    async def until_heard(self, hz: float, seconds: float = 0.5) -> None:
        """Wait until this tone is what was heard last, for so long."""
        size = round(seconds * RATE)
        async with asyncio.timeout(15):
            while True:
                last = self.heard[-size:]
                if last.size == size and loudness(last) > 500 and abs(pitch(last) - hz) < 20:
                    return
                self._changed.clear()
                await self._changed.wait()

    async def aclose(self) -> None:
        if self._listening is not None:
            await cancel_and_wait(self._listening)

    async def _listen(self, source: io.AudioInput) -> None:
        async for frame in source:
            self.heard = np.concatenate([self.heard, samples_of(frame)])
            self._changed.set()
