"""A worker's heartbeat: calls are kept by it, and lost in silence to whoever owns them by then."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from runtime.session.fleet_ports import WorkerRow
from runtime.session.ports import CallRow
from runtime.store.memory import MemoryStore
from tests.worker.waiting import until
from worker.fleet import Heartbeat, Pulse, beating, new_worker_id

QUICK = Pulse(every_s=0.02, within_s=0.5, again_s=0.01, lease_s=0.1)


@dataclass
class Held:
    """Calls that are held, and those that were dropped."""

    calls: dict[str, int] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)

    def owned(self) -> Sequence[tuple[str, int]]:
        return list(self.calls.items())

    def drop(self, session_id: str) -> None:
        self.dropped.append(session_id)
        self.calls.pop(session_id, None)


def a_worker(name: str, calls: int = 0) -> WorkerRow:
    return WorkerRow(name, "host", "0", "ready", 4, calls)


async def a_call(store: MemoryStore, worker: str, *, room: str | None = "room") -> CallRow:
    """Store a call that runs on a worker."""
    organization = await store.ensure_organization("local")
    row = CallRow(
        str(uuid4()), organization.id, None, "web", "inbound", False, datetime.now(UTC), worker_id=worker, room=room
    )
    await store.open_call(row)
    return row


def test_a_worker_has_a_new_name_each_time_it_starts() -> None:
    assert new_worker_id() != new_worker_id()
    assert new_worker_id().rpartition("-")[2].isdecimal()


async def test_a_call_is_kept_by_the_beat_and_the_worker_known_until_it_leaves() -> None:
    store, held = MemoryStore(), Held()
    call = await a_call(store, "w-1")
    held.calls[call.id] = 1
    heartbeat = Heartbeat(store, lambda: a_worker("w-1", len(held.calls)), held, pulse=QUICK)
    async with beating(heartbeat, store, "w-1"):
        first = await store.lease(call.id)
        assert first is not None
        assert heartbeat.sure
        later = first

        async def renewed() -> None:
            nonlocal later
            while later.leased_until <= first.leased_until:
                await asyncio.sleep(0.005)
                later = await store.lease(call.id) or later

        async with asyncio.timeout(10):
            await renewed()
        assert [row.calls for row in await store.workers()] == [1]
    assert await store.workers() == []
    assert held.dropped == []


async def test_a_call_that_is_anothers_by_now_is_dropped_and_the_others_are_kept() -> None:
    store, held = MemoryStore(), Held()
    lost, kept = await a_call(store, "w-1"), await a_call(store, "w-1")
    held.calls = {lost.id: 1, kept.id: 2}  # the second as if its row were not stored yet
    held.calls[kept.id] = 1
    await store.beat(a_worker("w-2"), [], 4)
    heartbeat = Heartbeat(store, lambda: a_worker("w-1"), held)
    assert await heartbeat.beat()
    assert held.dropped == []
    taken = await store.take_over("w-2", 4, dead=["w-1"], limit=1)
    assert await heartbeat.beat()
    assert held.dropped == [lease.session_id for lease in taken]
    assert len(held.calls) == 1


async def test_while_the_store_is_away_calls_go_on_and_nothing_is_sure_past_a_lease() -> None:
    store, held = MemoryStore(), Held()
    call = await a_call(store, "w-1")
    held.calls[call.id] = 1
    heartbeat = Heartbeat(store, lambda: a_worker("w-1"), held, pulse=QUICK)
    async with beating(heartbeat, store, "w-1"):
        store.away = True
        await until(lambda: not heartbeat.sure)
        await heartbeat.confirm()
        assert held.dropped == []
        store.away = False
        await until(lambda: heartbeat.sure)
    assert held.calls == {call.id: 1}


async def test_only_where_there_is_doubt_the_store_is_asked() -> None:
    store, held = MemoryStore(), Held()
    call = await a_call(store, "w-1")
    held.calls[call.id] = 1
    await store.beat(a_worker("w-2"), [], 4)
    heartbeat = Heartbeat(store, lambda: a_worker("w-1"), held)
    await heartbeat.beat()
    await store.take_over("w-2", 4, dead=["w-1"])
    await heartbeat.confirm()
    assert held.dropped == []
    await heartbeat.confirm(doubted=True)
    assert held.dropped == [call.id]
