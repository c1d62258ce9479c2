"""A client of voice tests as others write one (docs/voice-api.md): speaks, listens, and notes what comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.wav import Samples

__all__ = ["Talker", "talking"]

Json = Any


class Talker:
    """A client as others write one: sends a frame each 20 ms, and notes what comes."""

    def __init__(self, socket: ClientConnection, rate: int) -> None:
        self.socket = socket
        self.rate = rate
        self.messages: list[dict[str, Json]] = []
        self.audio: list[Samples] = []
        self.code: int | None = None
        self._words: list[Samples] = []
        self._quiet = True
        self._changed = asyncio.Event()
        self._tasks = (spawn(self._speak(), name="speaks"), spawn(self._listen(), name="listens"))
        self.silent = False

    async def say(self, words: Samples) -> None:
        self._words.append(words)
        self._quiet = False
        await self.until(lambda: self._quiet)

    async def send(self, **message: Json) -> None:
        await self.socket.send(json.dumps(message))

    async def until(self, condition: Callable[[], bool], within_s: float = 25.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                assert self.code is None or condition(), self.messages[-5:]
                await self._changed.wait()

    async def answered(self, turns: int = 0) -> None:
        """Wait until the agent has finished its answer to that many turns."""
        await self.until(lambda: self.state["turn"] >= turns and len(self.of("agent_turn")) > turns)
        await self.until(lambda: not self.state["busy"])

    async def hears(self, seconds: float) -> None:
        """Wait until the agent speaks its answer to the first turn, and so much of it has come."""
        await self.until(lambda: self.state["turn"] == 1 and self.state["audible"])
        before = len(self.audio)
        await self.until(lambda: len(self.audio) >= before + 50 * seconds)

    @property
    def state(self) -> dict[str, Json]:
        return next((each for each in reversed(self.messages) if each["type"] == "state"), {"turn": 0, "busy": True})

    def told(self, kind: str) -> list[dict[str, Json]]:
        return [each for each in self.messages if each["type"] == kind]

    def of(self, event_type: str) -> list[dict[str, Json]]:
        return [each["event"]["payload"] for each in self.told("event") if each["event"]["event_type"] == event_type]

    @property
    def loudest(self) -> float:
        return max((float(np.sqrt(np.mean(part.astype(np.float64) ** 2))) for part in self.audio), default=0.0)

    async def over(self) -> dict[str, Json]:
        await self.until(lambda: self.code is not None)
        return self.told("ended")[-1]

    async def aclose(self) -> None:
        await cancel_and_wait(*self._tasks)
        await self.socket.close()

    async def _speak(self) -> None:
        size, loop = self.rate // 50, asyncio.get_running_loop()
        due, current = loop.time(), np.zeros(0, dtype=np.int16)
        while True:
            if current.size < size and self._words:
                current = np.concatenate([current, self._words.pop(0)])
            frame, current = current[:size], current[size:]
            self._quiet = not frame.size
            if not self.silent:
                await self.socket.send(np.pad(frame, (0, size - frame.size)).tobytes())
            self._changed.set()
            due += 0.02
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _listen(self) -> None:
        try:
            async for message in self.socket:
                if isinstance(message, bytes):
                    self.audio.append(np.frombuffer(message, dtype=np.int16))
                else:
                    self.messages.append(json.loads(message))
                self._changed.set()
        except ConnectionClosed:
            pass
        self.code = self.socket.close_code or 1006
        self._changed.set()


@asynccontextmanager
async def talking(invitation: dict[str, Json], rate: int | None = None) -> AsyncIterator[Talker]:
    more = f"&rate={rate}" if rate else ""
    socket = await connect(invitation["url"] + more, proxy=None)
    talker = Talker(socket, rate or invitation["sample_rate"])
    try:
        yield talker
    finally:
        await talker.aclose()
