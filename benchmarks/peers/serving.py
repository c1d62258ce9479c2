"""A side as a process: it takes orders as JSON lines on stdin, answers on stdout, and measures itself as all the others do."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

__all__ = ["LoopLag", "Order", "Talk", "TextSide", "memory_mb", "serve", "text_orders", "tune"]

Json = Any
Order = Callable[[Mapping[str, Json]], Awaitable[Mapping[str, Json]]]

_LAG_S = 0.01
_OPENING_AT_ONCE = 20
_PATIENCE_S = 120.0
"""A turn that takes longer is never going to be answered: the side ends, and with it the run."""


class Talk(Protocol):
    """One conversation under way. `tools` and `handoffs` count what has been run and made."""

    tools: int
    handoffs: int

    async def say(self, text: str, *, moves: bool) -> str:
        """Take the caller's turn and return the agent's last answer to it; `moves`: another agent gives it."""
        ...

    async def aclose(self) -> None: ...


class TextSide(Protocol):
    """A system that holds conversations by text."""

    async def open(self) -> Talk:
        """Return a conversation whose first agent has greeted."""
        ...

    async def settle(self) -> None:
        """Wait until nothing is left to be done behind the conversations."""
        ...


class LoopLag:
    """How late a timer of 10 ms comes on the running loop, in milliseconds; `lags` grows while `run` runs."""

    def __init__(self) -> None:
        self.lags: list[float] = []

    @asynccontextmanager
    async def run(self) -> AsyncIterator[LoopLag]:
        ticking = asyncio.create_task(self._tick())  # noqa: TID251 - Patchbay is not in the peers' environments
        try:
            yield self
        finally:
            ticking.cancel()

    async def _tick(self) -> None:
        while True:
            due = time.perf_counter() + _LAG_S
            await asyncio.sleep(_LAG_S)
            self.lags.append(1e3 * max(0.0, time.perf_counter() - due))


class _Conversations:
    """The open conversations, and what they have said."""

    def __init__(self, side: TextSide) -> None:
        self._side = side
        self.talks: list[Talk] = []

    async def open(self, order: Mapping[str, Json]) -> dict[str, Json]:
        """Open `sessions` more; answer the memory before and after, in MB."""
        gc.collect()
        before = memory_mb()
        slots = asyncio.Semaphore(_OPENING_AT_ONCE)

        async def one() -> Talk:
            async with slots, asyncio.timeout(_PATIENCE_S):
                return await self._side.open()

        opened = await asyncio.gather(*(one() for _ in range(order["sessions"])))
        self.talks += opened
        gc.collect()
        return {"before_mb": before, "after_mb": memory_mb(), "sessions": len(self.talks)}

    async def take(self, order: Mapping[str, Json]) -> dict[str, Json]:
        """Have `sessions` of them hear the `lines`, at once or `rate` turns a second; answer cost, waits and what was said."""
        talks, before = self.talks[: order["sessions"]], self._counts()
        turns = _Turns(order["lines"], order.get("rate"))
        gc.collect()
        async with LoopLag().run() as lag:
            start, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(turns.of(talk, number, len(talks)) for number, talk in enumerate(talks)))
            wall = time.perf_counter() - start
            await self._side.settle()
            cpu = time.process_time() - cpu
        after = self._counts()
        return {
            "cpu_s": cpu,
            "wall_s": wall,
            "waits_ms": turns.waits,
            "answers": turns.answers,
            "tools": after[0] - before[0],
            "handoffs": after[1] - before[1],
            "lag_ms": lag.lags,
        }

    async def close(self, _order: Mapping[str, Json]) -> dict[str, Json]:
        talks, self.talks = self.talks, []
        await asyncio.gather(*(talk.aclose() for talk in talks))
        await self._side.settle()
        return {"closed": len(talks)}

    def _counts(self) -> tuple[int, int]:
        return sum(talk.tools for talk in self.talks), sum(talk.handoffs for talk in self.talks)


class _Turns:
    """The lines as all conversations take them; a wait counts from when the turn was due, not from when it was taken."""

    def __init__(self, lines: list[dict[str, str]], rate: float | None) -> None:
        self._lines = lines
        self._rate = rate
        self._start = time.perf_counter() + 0.05
        self.waits: dict[str, list[float]] = {}
        self.answers: dict[str, int] = {}

    async def of(self, talk: Talk, number: int, talks: int) -> None:
        for at, line in enumerate(self._lines):
            due = await self._due(at * talks + number)
            async with asyncio.timeout(_PATIENCE_S):
                answer = await talk.say(line["text"], moves=line["kind"] == "handoff")
            self.waits.setdefault(line["kind"], []).append(1e3 * (time.perf_counter() - due))
            said = " ".join(answer.split())
            self.answers[said] = self.answers.get(said, 0) + 1

    async def _due(self, turn: int) -> float:
        if self._rate is None:
            return time.perf_counter()
        due = self._start + turn / self._rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        return due


def text_orders(side: TextSide) -> dict[str, Order]:
    """Return what a side by text can be ordered to do."""
    conversations = _Conversations(side)

    async def tuned(_order: Mapping[str, Json]) -> dict[str, Json]:
        tune()
        return {}

    return {"open": conversations.open, "take": conversations.take, "close": conversations.close, "tune": tuned}


async def serve(orders: Mapping[str, Order]) -> None:
    """Answer orders until stdin ends. What libraries print goes to stderr; a failed order ends the process."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print(json.dumps({"ready": True}), file=answers)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        print(json.dumps(await orders[order["do"]](order)), file=answers)


def tune() -> None:
    """Freeze what is loaded and walk the oldest generation seldom, as Patchbay's worker does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2000, 10, 100_000)


def memory_mb() -> float:
    """Return how much of this process lies in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
