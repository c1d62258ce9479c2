"""Calls of dead workers, taken over: gone on with, ended where that cannot be, and left alone where there is no room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from runtime.conversation.state import CallState
from runtime.session.ports import CallRow, EventRow
from runtime.session.recovery import Recovered
from runtime.store.memory import MemoryStore
from runtime.tasks import cancel_and_wait, spawn
from tests.worker.test_fleet import a_call, a_worker
from tests.worker.waiting import until
from worker.legs import Leg
from worker.reception import Taken
from worker.rooms.leg import Nobody, RoomLeg
from worker.takeover import Parts, TakeOver, others_drained


@dataclass
class Bench:
    """A desk, rooms and a drain that write down what they are asked for."""

    store: MemoryStore = field(default_factory=MemoryStore)
    places: int = 10
    draining: bool = False
    joins: bool = True
    resumed: list[Taken] = field(default_factory=list)
    drained: list[bool] = field(default_factory=list)

    @contextmanager
    def counted(self) -> Iterator[None]:
        self.places -= 1
        yield
        self.places += 1

    async def resume(self, leg: Leg, taken: Taken) -> bool:
        self.resumed.append(taken)
        return True

    @asynccontextmanager
    async def rejoined(self, row: CallRow, epoch: int) -> AsyncIterator[RoomLeg]:
        if not self.joins:
            raise Nobody("gone")
        yield cast("RoomLeg", _Leg())

    async def drain(self, told: bool) -> None:
        self.drained.append(told)

    async def recovered(self, session_id: str) -> Recovered | None:
        row = await self.store.call(session_id)
        return Recovered(row, CallState(), last_seq=1, last_at=datetime.now(UTC))

    @asynccontextmanager
    async def looking(self, *, rooms: bool = True) -> AsyncIterator[TakeOver]:
        parts = Parts("w-2", self.store, self, self if rooms else None, self.drain, self.recovered)
        others = TakeOver(parts, look_s=0.01)
        running = spawn(others.run(), name="take over")
        try:
            yield others
        finally:
            await cancel_and_wait(running)
            await others.aclose()

    async def reason(self, call: CallRow) -> str | None:
        return (await self.store.call(call.id)).end_reason


@dataclass(frozen=True)
class _Leg:
    alone: bool = False


async def began(store: MemoryStore, call: CallRow) -> None:
    payload = {"v": 1, "turn": 0, "elapsed_ms": 0, "caused_by": None}
    await store.append([EventRow(call.id, call.organization_id, 1, "call_started", payload, None, datetime.now(UTC))])


async def test_the_calls_of_a_worker_that_is_known_to_be_dead_go_on_at_once_after_its_log_was_sent() -> None:
    bench = Bench()
    calls = [await a_call(bench.store, "w-1") for _ in range(5)]
    others = await a_call(bench.store, "w-3")
    async with bench.looking() as looking:
        await until(lambda: bench.drained)
        assert not bench.resumed
        looking.told("w-1")
        await until(lambda: len(bench.resumed) == 5)
        assert True in bench.drained
        await until(lambda: bench.places == 10)
    assert {taken.recovered.row.id for taken in bench.resumed} == {call.id for call in calls}
    assert {taken.epoch for taken in bench.resumed} == {2}
    lease = await bench.store.lease(others.id)
    assert lease is not None
    assert lease.worker_id == "w-3"


@pytest.mark.parametrize("room", [None, "room"])
async def test_what_cannot_go_on_is_ended_with_all_its_events(room: str | None) -> None:
    bench = Bench(joins=False)
    call = await a_call(bench.store, "w-1", room=room)
    await began(bench.store, call)
    async with bench.looking() as looking:
        looking.told("w-1")
        async with asyncio.timeout(10):
            while await bench.reason(call) is None:  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.01)
    assert await bench.reason(call) == "worker_lost"
    events = await bench.store.events(call.id)
    assert [(event.event_type, event.epoch) for event in events] == [("call_started", 1), ("call_ended", 2)]


async def test_who_is_full_or_drains_takes_nothing_until_there_is_room() -> None:
    bench = Bench(places=0)
    await bench.store.beat(a_worker("w-3"), [], 4)
    call = await a_call(bench.store, "w-1")
    async with bench.looking() as looking:
        looking.told("w-1")
        for _ in range(5):
            await asyncio.sleep(0)
        lease = await bench.store.lease(call.id)
        assert lease is not None
        assert lease.worker_id == "w-1"
        bench.places = 1
        await until(lambda: bench.resumed)


async def test_a_store_that_is_away_is_asked_again() -> None:
    bench = Bench()
    await a_call(bench.store, "w-1")
    bench.store.away = True
    async with bench.looking() as looking:
        looking.told("w-1")
        await until(lambda: len(bench.drained) > 3)
        bench.store.away = False
        await until(lambda: bench.resumed)


async def test_who_joins_no_rooms_ends_its_own_kind_and_leaves_the_others_to_who_does() -> None:
    bench = Bench()
    here, elsewhere = await a_call(bench.store, "w-1", room=None), await a_call(bench.store, "w-1")
    async with bench.looking(rooms=False) as looking:
        looking.told("w-1")
        async with asyncio.timeout(10):
            while await bench.reason(here) is None:  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.01)
    assert await bench.reason(elsewhere) is None
    async with bench.looking() as looking:
        looking.told("w-1")
        await until(lambda: bench.resumed)
    assert [taken.recovered.row.id for taken in bench.resumed] == [elsewhere.id]


async def test_what_nobody_left_behind_is_not_waited_for(tmp_path: Path) -> None:
    await others_drained(tmp_path)
