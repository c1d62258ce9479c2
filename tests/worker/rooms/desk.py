"""Desks for tests: one that takes whole calls, with local models, and one that only holds callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from runtime.session.ports import EventRow
from runtime.tasks import cancel_and_wait, spawn
from tests.calls.runs import CallResult, Place, TestCall, opened
from worker.legs import CallRequest, Departure, Leg

__all__ = ["CallDesk", "HoldingDesk"]

Json = Any


@dataclass
class HoldingDesk:
    """Answers nobody: keeps every caller until they leave. `well` is what it says of a call afterwards."""

    places: int = 10
    well: bool = True
    running: int = 0
    taken: int = 0
    turned_away: int = 0
    requests: list[CallRequest] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)
    departures: list[Departure] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def has_room(self) -> bool:
        return self.running < self.places

    def load(self) -> float:
        return self.running / self.places

    def refused(self) -> None:
        self.turned_away += 1

    @contextmanager
    def counted(self) -> Iterator[None]:
        self.running += 1
        self.taken += 1
        try:
            yield
        finally:
            self.running -= 1
            self.changed.set()

    async def confirm(self, doubted: bool) -> None:
        """Nobody takes a call over."""

    async def answer(self, leg: Leg) -> bool:
        self.requests.append(leg.request)
        self.legs.append(leg)
        self.changed.set()
        self.departures.append(await leg.gone())
        self.changed.set()
        return self.well

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; it is asked whenever a call begins or ends."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class CallDesk(HoldingDesk):
    """Runs each call on `config`."""

    def __init__(
        self,
        config: Mapping[str, Json],
        place: Place,
    ) -> None:
        super().__init__()
        self._config = config
        self._place = place
        self.calls: list[TestCall] = []
        self.results: list[CallResult] = []
        self.seen: list[EventRow] = []  # of all calls, as soon as it is in the local log

    async def answer(self, leg: Leg) -> bool:
        self.requests.append(leg.request)
        self.legs.append(leg)
        async with opened(self._config, self._place, "voice_test") as call:
            call.live.plan.log.subscribe(self.seen.append)
            await leg.answer()
            await leg.connect(call.live)
            await call.live.begin()
            self.calls.append(call)
            self.changed.set()
            await self._until_over(leg, call)
            self.results.append(await call.result())
        self.changed.set()
        return self.results[-1].row.end_reason != "error"

    async def _until_over(self, leg: Leg, call: TestCall) -> None:
        gone = spawn(leg.gone(), name="caller gone")
        ended = spawn(call.live.call.ended(), name="call ended")
        try:
            await asyncio.wait({gone, ended}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                departure = gone.result()
                self.departures.append(departure)
                call.live.call.stop(departure.reason, departure.status)
        finally:
            await cancel_and_wait(gone, ended)
