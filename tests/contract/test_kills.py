"""Exactly one row for each event, numbered without gaps, whatever is killed, away, silent or refused."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from runtime.session.drain import drain
from runtime.session.event_log import CallLog, EventLog
from runtime.session.ports import CallRow, EventRow
from runtime.store.postgres import PostgresStore
from runtime.tasks import cancel_and_wait, spawn
from tests.contract.rows import a_call
from tests.fakes.store_outages import StoreOutages
from tests.runtime.session.log_bench import QUICK, ended

pytestmark = pytest.mark.server

Connection = Any


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url)
    yield store
    await store.aclose()


async def killed(url: str, organization_id: str, folder: Path, kills: int) -> dict[UUID, int]:
    """Have so many writers killed; return the number that each session had acknowledged last."""
    command = [sys.executable, "-m", "tests.contract.kill_process", url, organization_id, str(folder), str(kills)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    return {UUID(session): seq for session, seq in json.loads(said).items()}


@pytest.mark.parametrize(
    "kills", [15, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(1500)])], ids=["few", "many"]
)
async def test_processes_killed_at_random_moments_leave_every_event_once(
    url: str, connection: Connection, store: PostgresStore, tmp_path: Path, kills: int
) -> None:
    organization = await store.ensure_organization("acme")
    acknowledged = await killed(url, organization.id, tmp_path, kills)
    assert len(acknowledged) >= kills * 15
    await drain(tmp_path, store)
    rows = await connection.fetch(
        "select session_id, count(*), max(seq), bool_and(event_type in ('call_ended', 'fault_raised') or (payload ->> 'n')::int = seq) "
        "from session_event group by session_id"
    )
    stored = {row[0]: (row[1], row[2]) for row in rows}
    assert all(count == last for count, last in stored.values())
    assert all(row[3] for row in rows)
    short = {session: seq for session, seq in acknowledged.items() if stored.get(session, (0, 0))[1] < seq}
    assert short == {}
    assert await connection.fetchval("select count(*) from session_event where event_type = 'fault_raised'") == 0
    assert await gaps(connection) == []
    assert await connection.fetchval("select count(*) from call_session where ended_at is null") == 0
    assert list(tmp_path.iterdir()) == []


async def test_a_store_with_every_bad_day_at_once_gets_every_event_once(
    connection: Connection, store: PostgresStore, tmp_path: Path
) -> None:
    organization = await store.ensure_organization("acme")
    outages = StoreOutages(store)
    outages.refuse = lambda row: isinstance(row, EventRow) and row.event_type == "poison"
    log = await EventLog.open(
        tmp_path, cast("Any", outages), flush_s=0.005, tuning=replace(QUICK, send_timeout_s=0.05, memory=50)
    )
    trouble = spawn(bad_days(outages, random.Random(3)), name="bad days")
    calls = [log.open_call(a_call(organization.id, started_at=datetime.now(UTC))) for _ in range(10)]
    for seq in range(1, 101):
        for call in calls:
            write(call, "call_started" if seq == 1 else "poison" if seq % 40 == 0 else "user_turn")
        await asyncio.sleep(0.02)
    for call in calls:
        write(call, "call_ended")
        await call.close(ended(call.row), timeout_s=0)
    await cancel_and_wait(trouble)
    well(outages)
    assert await log.flush(20)
    await log.aclose()
    assert await connection.fetchval("select count(*) from session_event") == 1010
    assert await connection.fetchval("select count(*) from session_event where event_type = 'fault_raised'") == 20
    assert await gaps(connection) == []
    assert [path.name for path in tmp_path.iterdir()] == ["refused.ndjson"]


async def test_two_batches_at_once_keep_out_of_a_call_that_was_taken_over(
    connection: Connection, store: PostgresStore, tmp_path: Path
) -> None:
    organization = await store.ensure_organization("acme")
    log = await EventLog.open(tmp_path, store, flush_s=0.01, max_batch=10_000, tuning=QUICK)
    calls = [log.open_call(a_call(organization.id, started_at=datetime.now(UTC))) for _ in range(4)]
    assert await log.flush(10)
    taken, *kept = calls
    await connection.execute("update call_session set epoch = 2 where id = $1", UUID(taken.row.id))
    for seq in range(1, 501):
        for call in calls:
            write(call, "call_started" if seq == 1 else "user_turn")
    assert await log.flush(30)
    stored = {
        row[0]: row[1] for row in await connection.fetch("select session_id, count(*) from session_event group by 1")
    }
    assert stored == {UUID(call.row.id): 500 for call in kept}
    late = await connection.fetch("select session_id, count(*), max(seq) from late_event group by 1")
    assert [tuple(row) for row in late] == [(UUID(taken.row.id), 500, 500)]
    assert [row for row in await gaps(connection) if row["session_id"] != UUID(taken.row.id)] == []
    for call in calls:
        await call.close(ended(call.row))
    await log.aclose()


async def bad_days(outages: StoreOutages, chance: random.Random) -> None:
    while True:
        outages.away = chance.random() < 0.3
        outages.hanging = chance.random() < 0.2
        outages.lost_answers = chance.randrange(3)
        await asyncio.sleep(0.05)


def well(outages: StoreOutages) -> None:
    outages.away = outages.hanging = False
    outages.lost_answers = 0


def write(call: CallLog, event_type: str) -> None:
    payload = {"v": 1, "turn": 1, "elapsed_ms": call.last_seq, "n": call.last_seq + 1}
    call.write(event_type, payload, agent_id=None, occurred_at=datetime.now(UTC))


async def gaps(connection: Connection) -> list[Any]:
    return [dict(row) for row in await connection.fetch("select * from session_gap")]


# ------------------------------------------------------------ what the view lists


CASES: dict[str, tuple[list[tuple[int, str]], dict[str, Any], list[str]]] = {
    "a call that runs": ([(1, "call_started"), (2, "user_turn")], {}, []),
    "a call that ended": ([(1, "call_started"), (2, "call_ended")], {"status": "completed"}, []),
    "a call lost before it began": ([], {"status": "dropped"}, []),
    "a number is missing": ([(1, "call_started"), (3, "user_turn")], {}, ["missing_numbers"]),
    "the first are missing": (
        [(3, "user_turn"), (4, "call_ended")],
        {"status": "completed"},
        ["missing_numbers", "begins_without_call_started"],
    ),
    "it begins with something else": ([(1, "user_turn")], {}, ["begins_without_call_started"]),
    "it ended without an end": (
        [(1, "call_started"), (2, "user_turn")],
        {"status": "dropped"},
        ["ends_without_call_ended"],
    ),
    "it completed without anything": ([], {"status": "completed"}, ["ends_without_call_ended"]),
    "it goes on after its end": (
        [(1, "call_started"), (2, "call_ended"), (3, "user_turn")],
        {"status": "completed"},
        ["goes_on_after_call_ended"],
    ),
}


@pytest.mark.parametrize(("events", "end", "faults"), CASES.values(), ids=CASES)
async def test_the_view_lists_sessions_with_something_missing(
    connection: Connection, store: PostgresStore, events: list[tuple[int, str]], end: dict[str, Any], faults: list[str]
) -> None:
    organization = await store.ensure_organization("acme")
    call: CallRow = a_call(organization.id)
    await store.open_call(call)
    at = datetime.now(UTC)
    if events:
        await store.append([EventRow(call.id, organization.id, seq, name, {}, None, at) for seq, name in events])
    if end:
        await store.close_call(replace(call, ended_at=at, **end))
    assert [(str(gap["session_id"]), gap["faults"]) for gap in await gaps(connection)] == (
        [(call.id, faults)] if faults else []
    )
