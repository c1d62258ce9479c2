"""What every store promises of workers, leases, epochs and checkpoints: who owns a call, and that nobody else writes in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from runtime.errors import PatchbayError, StoreUnreachable
from runtime.session.fleet_ports import Beat, CheckpointRow, Fleet, Lease, WorkerRow
from runtime.session.ports import CallRow, EventRow, OrganizationRow, Store
from runtime.store.memory import MemoryStore
from runtime.store.postgres import PostgresStore
from runtime.tasks import spawn
from tests.contract.conftest import Subject
from tests.contract.rows import START, a_call, some_events
from tests.fakes.databases import Databases

NOW = 0.0
"""A lease that runs out at once: its owner is silent from then on."""
LONG = 60.0


def a_worker(name: str = "w1", **fields: Any) -> WorkerRow:
    known = {"host": "h1", "version": "0.1.0", "state": "ready", "capacity": 10, "calls": 0}
    return WorkerRow(id=name, **{**known, **fields})


@pytest.fixture
def store(subject: Subject) -> Store:
    if not subject.leases:
        pytest.skip("the previous release has no leases")
    return subject.store


async def begin(store: Store, acme: OrganizationRow, worker: str | None = "w1", **fields: Any) -> CallRow:
    row = a_call(acme.id, worker_id=worker, **{"room": "room-1", "started_at": datetime.now(UTC), **fields})
    await store.open_call(row)
    return row


async def lose(store: Store, *calls: CallRow, worker: str = "w1") -> None:
    """Have the worker be heard for the last time: the leases of its calls run out."""
    assert await store.beat(a_worker(worker), [(call.id, call.epoch) for call in calls], NOW) == Beat()


async def take(store: Store, worker: str = "w2", lease_s: float = NOW, **options: Any) -> list[Lease]:
    """Take over as a worker that is heard; with leases that run out at once it need not prove itself before."""
    await store.beat(a_worker(worker), [], lease_s)
    return await store.take_over(worker, lease_s, **options)


async def late(subject: Subject, session_id: str) -> list[tuple[int, int]]:
    """Epoch and number of the session's events that came too late."""
    if isinstance(subject.store, MemoryStore):
        return sorted(subject.store.late_events.get(session_id, {}))
    assert subject.url is not None
    connection = await asyncpg.connect(subject.url)
    try:
        found = await connection.fetch(
            "select epoch, seq from late_event where session_id = $1 order by 1, 2", session_id
        )
    finally:
        await connection.close()
    return [(row["epoch"], row["seq"]) for row in found]


def brief(events: list[EventRow]) -> list[tuple[int, int]]:
    return [(event.epoch, event.seq) for event in events]


# ------------------------------------------------------------ workers


async def test_a_worker_says_what_it_does_and_leaves(store: Store) -> None:
    await store.beat(a_worker(state="starting", region="eu"), [], LONG)
    await store.beat(a_worker("w2", host="h2"), [], LONG)
    (first,) = [row for row in await store.workers() if row.id == "w1"]
    assert first.started_at is not None
    assert first.seen_at is not None
    await store.beat(a_worker(state="busy", region="eu", calls=10), [], LONG)
    (one, two) = await store.workers()
    assert one == a_worker(state="busy", region="eu", calls=10, started_at=first.started_at, seen_at=one.seen_at)
    assert one.seen_at is not None
    assert one.seen_at >= first.seen_at
    assert (two.id, two.host, two.region, two.state) == ("w2", "h2", None, "ready")
    await store.leave("w1")
    await store.leave("w1")
    assert [row.id for row in await store.workers()] == ["w2"]


async def test_a_worker_keeps_the_start_it_names(store: Store) -> None:
    await store.beat(a_worker(started_at=START), [], LONG)
    await store.beat(a_worker(), [], LONG)
    assert [row.started_at for row in await store.workers()] == [START]


# ------------------------------------------------------------ leases


async def test_a_call_is_leased_as_it_is_opened_until_it_ends(store: Store, acme: OrganizationRow) -> None:
    call = await begin(store, acme)
    lease = await store.lease(call.id)
    assert lease is not None
    assert lease == Lease(call.id, acme.id, "w1", 1, lease.leased_until, "room-1")
    assert (await store.call(call.id)).epoch == 1
    assert await store.close_call(replace(call, ended_at=START, status="completed"))
    assert await store.lease(call.id) is None
    await store.open_call(call)
    assert await store.lease(call.id) is None, "a log that is drained again leases nothing"


async def test_what_no_worker_runs_has_no_lease(store: Store, acme: OrganizationRow) -> None:
    for call in (await begin(store, acme, None), await begin(store, acme, ended_at=START, status="dropped")):
        assert await store.lease(call.id) is None
    assert await store.lease("no uuid") is None


async def test_a_beat_renews_its_own_calls_and_names_those_it_lost(store: Store, acme: OrganizationRow) -> None:
    kept, taken, ended = [await begin(store, acme) for _ in range(3)]
    others = await begin(store, acme, "w3")
    never_opened = a_call(acme.id)
    await lose(store, taken)
    await take(store, limit=1)
    await store.close_call(replace(ended, ended_at=START, status="completed"))
    before = await store.lease(kept.id)
    named = [(row.id, 1) for row in (kept, taken, ended, others, never_opened)]
    assert await store.beat(a_worker(), named, LONG) == Beat(frozenset({taken.id, ended.id, others.id}))
    after = await store.lease(kept.id)
    assert before is not None
    assert after is not None
    assert after.leased_until - before.leased_until > timedelta(seconds=30)
    (still,) = [lease for lease in [await store.lease(taken.id)] if lease is not None]
    assert (still.worker_id, still.epoch) == ("w2", 2)


async def test_a_lease_that_runs_out_is_taken_with_the_next_epoch(store: Store, acme: OrganizationRow) -> None:
    lost, other, roomless = [await begin(store, acme, room=room) for room in ("room-1", "room-2", None)]
    await store.beat(a_worker(), [(other.id, 1)], LONG)
    await lose(store, lost, roomless)
    taken = {lease.session_id: lease for lease in await take(store)}
    assert {key: (lease.worker_id, lease.epoch, lease.room) for key, lease in taken.items()} == {
        lost.id: ("w2", 2, "room-1"),
        roomless.id: ("w2", 2, None),
    }
    row = await store.call(lost.id)
    assert (row.worker_id, row.epoch, row.status) == ("w2", 2, "active")
    assert await store.lease(lost.id) == taken[lost.id]
    assert [lease.epoch for lease in await take(store, "w3", limit=1)] == [3], "its next owner is silent as well"


async def test_an_owner_that_was_not_replaced_goes_on(store: Store, acme: OrganizationRow) -> None:
    call = await begin(store, acme)
    await lose(store, call)
    assert await store.beat(a_worker(), [(call.id, 1)], LONG) == Beat()
    assert await take(store) == []


async def test_the_calls_of_a_worker_known_to_be_dead_are_taken_at_once(store: Store, acme: OrganizationRow) -> None:
    call, other = await begin(store, acme), await begin(store, acme, "w3")
    assert [lease.session_id for lease in await store.take_over("w2", LONG, dead=["w1", "w2"])] == [call.id]
    assert await store.take_over("w2", LONG, dead=["w1", "w2"]) == []
    assert (await store.call(other.id)).epoch == 1


async def test_who_leaves_leaves_its_calls(store: Store, acme: OrganizationRow) -> None:
    call = await begin(store, acme)
    await store.beat(a_worker(), [(call.id, 1)], LONG)
    await store.leave("w1")
    assert [lease.session_id for lease in await take(store)] == [call.id]


async def test_no_more_are_taken_than_are_asked_for(store: Store, acme: OrganizationRow) -> None:
    calls = [await begin(store, acme) for _ in range(5)]
    await lose(store, *calls)
    first = await take(store, lease_s=NOW, limit=2, dead=["w1"])
    assert len(first) == 2
    assert {(await store.call(lease.session_id)).epoch for lease in first} == {2}


async def test_after_an_outage_owners_renew_before_anybody_takes(store: Store, acme: OrganizationRow) -> None:
    """Every lease has run out by then: who was not heard for long enough takes nothing."""
    call = await begin(store, acme)
    await lose(store, call)
    assert await store.take_over("unheard", 0.2) == []
    await store.beat(a_worker("w2"), [], 0.2)
    assert await store.take_over("w2", 0.2) == []
    async with asyncio.timeout(20):
        while not (taken := await store.take_over("w2", 0.2)):
            await asyncio.sleep(0.02)
            await store.beat(a_worker("w2"), [], 0.2)
    assert [lease.session_id for lease in taken] == [call.id]


async def test_a_call_whose_owner_forgot_it_is_taken_again(store: Store, acme: OrganizationRow) -> None:
    """The answer to a take-over was lost: nobody knows that the call is its own."""
    call = await begin(store, acme)
    await lose(store, call)
    await take(store)
    assert [(lease.worker_id, lease.epoch) for lease in await take(store)] == [("w2", 3)]


async def test_what_nobody_leased_is_found_after_a_day(store: Store, acme: OrganizationRow) -> None:
    old = datetime.now(UTC) - timedelta(hours=25)
    forgotten = await begin(store, acme, None, started_at=old)
    talking = await begin(store, acme, None, started_at=old)
    await store.append(some_events(talking, 1))
    await begin(store, acme, None)
    await begin(store, acme, None, started_at=old, ended_at=START, status="completed")
    (lease,) = await take(store)
    assert (lease.session_id, lease.epoch, lease.room) == (forgotten.id, 2, None), (
        "to be ended: no room is asked for it"
    )
    assert await take(store, "w3", LONG) == []


async def test_of_many_who_ask_at_once_one_gets_a_call(store: Store, acme: OrganizationRow) -> None:
    calls = [await begin(store, acme) for _ in range(12)]
    takers = [f"t{number}" for number in range(6)]
    for taker in takers:
        await store.beat(a_worker(taker), [], LONG)
    found = await asyncio.gather(*(store.take_over(taker, LONG, dead=["w1"], limit=4) for taker in takers))
    taken = [lease.session_id for leases in found for lease in leases]
    assert len(taken) == len(set(taken))
    while more := await store.take_over("t0", LONG, dead=["w1"]):
        taken += [lease.session_id for lease in more]
    assert sorted(taken) == sorted(call.id for call in calls)
    assert {(await store.call(call.id)).epoch for call in calls} == {2}


# ------------------------------------------------------------ fencing


async def test_an_earlier_owner_writes_nothing_more(store: Store, subject: Subject, acme: OrganizationRow) -> None:
    """A worker is paused past its lease, and wakes."""
    call = await begin(store, acme)
    await store.append(some_events(call, 1, 2))
    await lose(store, call)
    (lease,) = await take(store)
    await store.append(some_events(call, 3, secret="new", epoch=lease.epoch))
    await store.append(some_events(call, 2, 3, 4, secret="old"))
    await store.append(some_events(call, 4, secret="old"))
    assert brief(await store.events(call.id)) == [(1, 1), (1, 2), (2, 3)]
    assert [event.secret for event in await store.events(call.id)] == [None, None, "new"]
    assert await late(subject, call.id) == [(1, 3), (1, 4)]
    assert store.late_seen == 3
    assert await store.beat(a_worker(), [(call.id, 1)], LONG) == Beat(frozenset({call.id}))
    assert not await store.close_call(replace(call, ended_at=START, status="dropped", end_reason="error"))
    row = await store.call(call.id)
    assert (row.status, row.end_reason, row.ended_at) == ("active", None, None)
    assert await store.close_call(replace(row, ended_at=START, status="completed"))
    await store.append(some_events(call, 5))
    assert not await store.close_call(replace(call, ended_at=START, status="dropped"))
    assert (await store.call(call.id)).status == "completed"
    assert await late(subject, call.id) == [(1, 3), (1, 4), (1, 5)], "the end of a call forgets no epoch"
    assert store.late_seen == 4


async def test_a_dead_workers_log_counts_until_the_call_is_taken(
    store: Store, subject: Subject, acme: OrganizationRow
) -> None:
    call = await begin(store, acme)
    await store.append(some_events(call, 1, secret="token"))
    await lose(store, call)
    await store.append(some_events(call, 1, 2, secret="token"))
    (lease,) = await take(store)
    await store.append([*some_events(call, 1, 2, 3), *some_events(call, 3, 4, epoch=lease.epoch)])
    assert brief(await store.events(call.id)) == [(1, 1), (1, 2), (2, 3), (2, 4)]
    assert await late(subject, call.id) == [(1, 3)]
    assert store.late_seen == 1
    assert [event.secret for event in await store.events(call.id)] == ["token", "token", None, None]


async def test_late_events_of_two_calls_at_once_are_all_counted(store: Store, acme: OrganizationRow) -> None:
    calls = [await begin(store, acme) for _ in range(4)]
    for call in calls:
        await lose(store, call)
    assert len(await take(store)) == len(calls)
    await asyncio.gather(*(store.append(some_events(call, 1, 2)) for call in calls))
    assert store.late_seen == 8


async def test_the_last_owner_is_drained_after_the_end(store: Store, subject: Subject, acme: OrganizationRow) -> None:
    call = await begin(store, acme)
    await store.close_call(replace(call, ended_at=START, status="completed"))
    await store.append(some_events(call, 1))
    assert brief(await store.events(call.id)) == [(1, 1)]
    assert await late(subject, call.id) == []
    assert store.late_seen == 0


async def test_events_and_a_take_over_at_once(store: Store, subject: Subject, acme: OrganizationRow) -> None:
    """Whichever comes first: what the new owner reads after its take-over is all that will ever be there of the old one."""
    calls = [await begin(store, acme) for _ in range(4)]
    await store.beat(a_worker("w2"), [], LONG)

    async def write(seq: int) -> None:
        await store.append([event for call in reversed(calls) for event in some_events(call, seq)])

    async def take_and_read() -> dict[str, list[EventRow]]:
        leases = await store.take_over("w2", LONG, dead=["w1"])
        return {lease.session_id: await store.events(lease.session_id) for lease in leases}

    read, *_ = await asyncio.gather(take_and_read(), *(write(seq) for seq in range(1, 9)))
    assert set(read) == {call.id for call in calls}
    for call in calls:
        assert await store.events(call.id) == read[call.id]
        stored = {seq for _, seq in brief(read[call.id])}
        assert {seq for _, seq in await late(subject, call.id)} == set(range(1, 9)) - stored


async def test_a_close_and_a_take_over_at_once(store: Store, acme: OrganizationRow) -> None:
    calls = [await begin(store, acme) for _ in range(8)]
    closing = (store.close_call(replace(call, ended_at=START, status="completed")) for call in calls)
    leases, *closed = await asyncio.gather(store.take_over("w2", LONG, dead=["w1"]), *closing)
    taken = {lease.session_id for lease in leases}
    for call, done in zip(calls, closed, strict=True):
        row = await store.call(call.id)
        assert (row.status == "completed") is done
        assert (call.id in taken) is not done


# ------------------------------------------------------------ checkpoints


def a_checkpoint(call: CallRow, seq: int, epoch: int = 1) -> CheckpointRow:
    return CheckpointRow(call.id, call.organization_id, seq, epoch, f"token {epoch}/{seq}")


async def test_the_newest_checkpoint_is_kept_until_the_call_ends(store: Store, acme: OrganizationRow) -> None:
    call, other = await begin(store, acme), await begin(store, acme)
    await store.save_checkpoints([])
    await store.save_checkpoints([a_checkpoint(call, 4), a_checkpoint(other, 9), a_checkpoint(call, 7)])
    await store.save_checkpoints([a_checkpoint(call, 5), a_checkpoint(a_call(acme.id), 1)])
    assert await store.checkpoint(call.id) == a_checkpoint(call, 7)
    await store.close_call(replace(call, ended_at=START, status="completed"))
    await store.save_checkpoints([a_checkpoint(call, 8)])
    assert await store.checkpoint(call.id) is None
    assert await store.checkpoint(other.id) == a_checkpoint(other, 9)
    assert await store.checkpoint("no uuid") is None


async def test_an_earlier_owners_checkpoint_is_none(store: Store, acme: OrganizationRow) -> None:
    call = await begin(store, acme)
    await store.save_checkpoints([a_checkpoint(call, 4)])
    await lose(store, call)
    await take(store)
    assert await store.checkpoint(call.id) == a_checkpoint(call, 4), "the new owner resumes from it"
    await store.save_checkpoints([a_checkpoint(call, 9)])
    assert await store.checkpoint(call.id) == a_checkpoint(call, 4)
    await store.save_checkpoints([a_checkpoint(call, 3, 2)])
    assert await store.checkpoint(call.id) == a_checkpoint(call, 3, 2)


# ------------------------------------------------------------ being away

USES: dict[str, Callable[[Store, str], Awaitable[Any]]] = {
    "beat": lambda store, _: store.beat(a_worker(), [], LONG),
    "leave": lambda store, _: store.leave("w1"),
    "take_over": lambda store, _: store.take_over("w1", LONG),
    "lease": lambda store, acme: store.lease(acme),
    "workers": lambda store, _: store.workers(),
    "save_checkpoints": lambda store, acme: store.save_checkpoints([a_checkpoint(a_call(acme), 1)]),
    "checkpoint": lambda store, acme: store.checkpoint(acme),
}


async def test_a_store_that_is_away_says_so(store: Store, subject: Subject, acme: OrganizationRow) -> None:
    await subject.take_away()

    async def complaint(use: Callable[[Store, str], Awaitable[Any]]) -> type[BaseException] | None:
        try:
            await use(store, acme.id)
        except PatchbayError as error:
            return type(error)
        return None

    complaints = await asyncio.gather(*map(complaint, USES.values()))
    assert dict(zip(USES, complaints, strict=True)) == dict.fromkeys(USES, StoreUnreachable)
    assert {name for name, made in vars(Fleet).items() if callable(made) and not name.startswith("_")} == set(USES)


# ------------------------------------------------------------ in the database


@asynccontextmanager
async def opened(databases: Databases) -> AsyncIterator[tuple[PostgresStore, Any]]:
    url = await databases.migrated()
    store, connection = PostgresStore(url), await asyncpg.connect(url)
    try:
        yield store, connection
    finally:
        await connection.close()
        await store.aclose()


@pytest.mark.server
async def test_a_worker_that_is_not_heard_is_lost_and_forgotten_after_a_day(databases: Databases) -> None:
    async with opened(databases) as (store, connection):
        acme = await store.ensure_organization("Acme")
        await begin(store, acme)
        for silent_s in (9, 11, 90_000):
            await store.beat(a_worker(f"silent {silent_s}"), [], LONG)
            await connection.execute(
                "update worker set seen_at = now() - make_interval(secs => $2), started_at = now() - make_interval(secs => $2) where id = $1",
                f"silent {silent_s}",
                float(silent_s),
            )
        assert {row.id: row.state for row in await store.workers()} == {"silent 9": "ready", "silent 11": "lost"}
        await store.beat(a_worker(), [], LONG)
        found = await connection.fetch("select id, state, active_calls from fleet order by started_at")
        assert [tuple(row) for row in found] == [("silent 11", "lost", 0), ("silent 9", "ready", 0), ("w1", "ready", 1)]


@pytest.mark.server
async def test_a_gap_in_the_beats_begins_the_wait_anew(databases: Databases) -> None:
    async with opened(databases) as (store, connection):
        acme = await store.ensure_organization("Acme")
        call = await begin(store, acme)
        await connection.execute("update call_lease set leased_until = now()")
        await store.beat(a_worker("w2"), [], 5)
        steady = "update worker set steady_since = now() - interval '1 hour'"
        await connection.execute(f"{steady}, seen_at = now() - interval '1 minute'")
        assert await store.take_over("w2", 5) == [], "it was not heard since the outage"
        await store.beat(a_worker("w2"), [], 5)
        assert await store.take_over("w2", 5) == [], "its owner comes first"
        await connection.execute(steady)
        assert [lease.session_id for lease in await store.take_over("w2", 5)] == [call.id]


async def test_who_joins_no_rooms_leaves_calls_in_rooms_to_others(store: Store, acme: OrganizationRow) -> None:
    in_room, on_line = await begin(store, acme), await begin(store, acme, room=None)
    assert [lease.session_id for lease in await take(store, "w2", LONG, dead=["w1"], rooms=False)] == [on_line.id]
    await lose(store, in_room)
    assert await take(store, "w3", rooms=False) == []
    assert [lease.session_id for lease in await take(store, "w3")] == [in_room.id]


async def test_a_call_in_a_room_that_nobody_joins_for_a_day_is_anybodys_to_end(
    store: Store, acme: OrganizationRow
) -> None:
    call = await begin(store, acme)
    day_s = 86_400.0
    assert await store.beat(a_worker("w1"), [(call.id, 1)], 60 - day_s) == Beat()
    assert await take(store, "w2", rooms=False) == []
    assert await store.beat(a_worker("w1"), [(call.id, 1)], -60 - day_s) == Beat()
    (lease,) = await take(store, "w2", rooms=False)
    assert (lease.session_id, lease.room) == (call.id, "room-1")


@pytest.mark.server
async def test_a_take_over_waits_for_an_append_and_an_append_for_a_take_over(databases: Databases) -> None:
    """Two connections, each in the middle of a transaction: no event slips through between them."""
    async with opened(databases) as (store, connection):
        acme = await store.ensure_organization("Acme")
        call = await begin(store, acme)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("select from call_session where id = $1 for share", call.id)
        taking = spawn(store.take_over("w2", LONG, dead=["w1"]), name="taking")
        await _waiting(connection)
        await connection.execute(
            "insert into session_event (session_id, organization_id, seq, event_type, payload) values ($1, $2, 1, 'x', '{}')",
            call.id,
            acme.id,
        )
        await transaction.commit()
        (lease,) = await taking
        assert brief(await store.events(call.id)) == [(1, 1)]

        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("update call_session set epoch = 3 where id = $1", call.id)
        writing = spawn(store.append(some_events(call, 2, epoch=lease.epoch)), name="writing")
        await _waiting(connection)
        await transaction.commit()
        await writing
        assert brief(await store.events(call.id)) == [(1, 1)]
        assert await connection.fetchval("select epoch from late_event") == 2


_WAITERS = "select count(*) from pg_sleep($1), pg_locks where not granted and pid <> pg_backend_pid()"


async def _waiting(connection: Any) -> None:
    """Wait until somebody else waits for a lock."""
    async with asyncio.timeout(10):
        while not await connection.fetchval(_WAITERS, 0.01):
            pass


@pytest.mark.server
async def test_what_another_transaction_holds_is_left(databases: Databases) -> None:
    async with opened(databases) as (store, connection):
        acme = await store.ensure_organization("Acme")
        one, two = await begin(store, acme), await begin(store, acme)
        async with connection.transaction():
            await connection.execute("select from call_lease where session_id = $1 for update", one.id)
            assert [lease.session_id for lease in await store.take_over("w2", LONG, dead=["w1"])] == [two.id]
        assert [lease.session_id for lease in await store.take_over("w2", LONG, dead=["w1"])] == [one.id]
