"""What an event costs: in the local log, and on its way through the writer into an embedded Postgres.

`python -m benchmarks.events` prints medians of rounds that alternate between the methods in one run, and ratios.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from runtime.logging import configure_logging
from runtime.session.event_log import CallLog, EventLog
from runtime.session.local_log import LocalLog
from runtime.session.ports import CallRow, EventRow
from runtime.session.records import encode
from runtime.store.opening import open_store
from runtime.store.postgres import PostgresStore

__all__ = ["measure"]

CALLS = 50
PAYLOAD = {
    "v": 1,
    "turn": 3,
    "elapsed_ms": 12345,
    "caused_by": 7,
    "agent_id": "5e8a2e5e-1111-4222-8333-123456789abc",
    "agent_name": "Intake",
    "text": "I have a question about my invoice, the one of last week",
    "language": "en",
    "stt_confidence": 0.93,
    "eou_delay_ms": 300.5,
    "stt_delay_ms": 120.25,
}
_UNNEST = """
insert into public.session_event (session_id, organization_id, seq, event_type, payload, agent_id, occurred_at)
select s, o, n, t, p::jsonb, a, at from
unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::text[], $7::timestamptz[]) as g (s, o, n, t, p, a, at)
on conflict do nothing
"""
_MANY = """
insert into public.session_event (session_id, organization_id, seq, event_type, payload, agent_id, occurred_at)
values ($1::uuid, $2::uuid, $3, $4, $5::text::jsonb, $6, $7) on conflict do nothing
"""


def call_rows(organization_id: str) -> list[CallRow]:
    """Rows of as many calls as run at once on a busy worker."""
    row = CallRow("", organization_id, None, "phone", "inbound", is_test=True, started_at=datetime.now(UTC))
    return [replace(row, id=str(uuid4())) for _ in range(CALLS)]


def event_rows(calls: Sequence[CallRow], count: int) -> list[EventRow]:
    now = datetime.now(UTC)
    return [
        EventRow(call.id, call.organization_id, number + 1, "user_turn", PAYLOAD, "a1", now)
        for number in range(count // len(calls))
        for call in calls
    ]


def rate(count: int, seconds: float) -> float:
    return count / seconds


async def through_the_writer(store: PostgresStore, organization_id: str, folder: Path, count: int) -> dict[str, float]:
    """Events a second from `write` until all are stored, and this process's CPU microseconds an event."""
    log = await EventLog.open(folder, store)
    calls = [log.open_call(row) for row in call_rows(organization_id)]
    await log.flush()
    start, cpu = time.perf_counter(), time.process_time()
    for number in range(count // CALLS):
        for call in calls:
            _write(call)
        if number % 4 == 0:
            await asyncio.sleep(0)
    await log.flush()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    for call in calls:
        await call.close(replace(call.row, status="completed", ended_at=datetime.now(UTC)))
    await log.aclose()
    return {"writer_per_s": rate(count, seconds), "with_log_cpu_us": 1e6 * cpu / count}


async def without_log(store: PostgresStore, organization_id: str, count: int) -> float:
    """CPU microseconds an event where the same batches go straight to the store, which loses them when it is killed."""
    calls = call_rows(organization_id)
    for call in calls:
        await store.open_call(call)
    cpu = time.process_time()
    events = event_rows(calls, count)
    for at in range(0, len(events), 1000):
        await store.append(events[at : at + 1000])
    return 1e6 * (time.process_time() - cpu) / count


async def bare(store: PostgresStore, organization_id: str, sql: str, count: int) -> float:
    """Events a second by asyncpg alone, in batches of 1000."""
    calls = call_rows(organization_id)
    for call in calls:
        await store.open_call(call)
    events = event_rows(calls, count)
    async with store.connection() as connection:
        start = time.perf_counter()
        for at in range(0, len(events), 1000):
            batch = [_columns(event) for event in events[at : at + 1000]]
            if sql == _MANY:
                await connection.executemany(sql, batch)
            else:
                await connection.execute(sql, *map(list, zip(*batch, strict=True)))
        return rate(count, time.perf_counter() - start)


async def busy(store: PostgresStore, organization_id: str, folder: Path, seconds: float) -> dict[str, float]:
    """50 calls at 50 events a second each: share of a core beyond an idle log, and how long `write` takes."""
    log = await EventLog.open(folder, store)
    calls = [log.open_call(row) for row in call_rows(organization_id)]
    took: list[float] = []
    idle = await _cpu(log, calls, seconds / 2, lambda _: None)
    share = await _cpu(log, calls, seconds, lambda call: took.append(_timed(lambda: _write(call))))
    for call in calls:
        await call.close(replace(call.row, status="completed", ended_at=datetime.now(UTC)))
    await log.aclose()
    ordered = sorted(took)
    return {
        "cpu_percent_of_a_core": 100 * (share - idle),
        "write_us_p50": 1e6 * ordered[len(ordered) // 2],
        "write_us_p99": 1e6 * ordered[len(ordered) * 99 // 100],
        "write_us_max": 1e6 * ordered[-1],
    }


async def _cpu(log: EventLog, calls: Sequence[CallLog], seconds: float, each: Callable[[CallLog], None]) -> float:
    start, cpu = time.perf_counter(), time.process_time()
    ticks = int(seconds / 0.02)
    for tick in range(ticks):
        for call in calls:
            each(call)
        await asyncio.sleep(max(0.0, start + (tick + 1) * 0.02 - time.perf_counter()))
    await log.flush()
    return (time.process_time() - cpu) / (time.perf_counter() - start)


def local(folder: Path, count: int) -> dict[str, float]:
    """Microseconds an event in the local log: our lines, and SQLite with one transaction an event (as durable)."""
    events = event_rows(call_rows(str(uuid4())), count)
    log = LocalLog(folder, heads=list, report=lambda _code, message: print(message, file=sys.stderr))
    return {
        "ndjson_us": _each(events, lambda event: log.append(encode(event))),
        "encode_alone_us": _each(events, encode),
        "sqlite_wal_off_us": _sqlite(folder / "off.db", "off", events),
        "sqlite_wal_normal_us": _sqlite(folder / "normal.db", "normal", events),
    }


def _sqlite(path: Path, synchronous: str, events: Sequence[EventRow]) -> float:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("pragma journal_mode = wal")
        database.execute(f"pragma synchronous = {synchronous}")
        database.execute("create table line (id integer primary key, body blob)")
        return _each(events, lambda event: database.execute("insert into line (body) values (?)", (encode(event),)))


def _each(events: Sequence[EventRow], work: Callable[[EventRow], object]) -> float:
    start = time.perf_counter()
    for event in events:
        work(event)
    return 1e6 * (time.perf_counter() - start) / len(events)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _write(call: CallLog) -> None:
    call.write("user_turn", PAYLOAD, agent_id="a1", occurred_at=datetime.now(UTC))


def _columns(event: EventRow) -> tuple[Any, ...]:
    payload = json.dumps(event.payload, ensure_ascii=False, separators=(",", ":"))
    return (
        event.session_id,
        event.organization_id,
        event.seq,
        event.event_type,
        payload,
        event.agent_id,
        event.occurred_at,
    )


@contextlib.asynccontextmanager
async def _store(home: Path) -> AsyncIterator[tuple[PostgresStore, str]]:
    async with open_store(None, home) as store:
        yield store, (await store.ensure_organization("benchmark")).id


async def measure(*, rounds: int = 5, events: int = 20_000, busy_s: float = 6.0) -> dict[str, float]:
    """Return medians over `rounds`: events a second, ratios to the writer's, microseconds, percent of a core."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        found: dict[str, list[float]] = {}
        async with _store(home) as (store, organization_id):
            for number in range(rounds):
                folder = home / f"log{number}"
                results = {
                    **await through_the_writer(store, organization_id, folder, events),
                    "without_log_cpu_us": await without_log(store, organization_id, events),
                    "unnest_per_s": await bare(store, organization_id, _UNNEST, events),
                    "executemany_per_s": await bare(store, organization_id, _MANY, events),
                    **local(folder, events // 2),
                }
                for key, value in results.items():
                    found.setdefault(key, []).append(value)
            medians = {key: statistics.median(values) for key, values in found.items()}
            medians |= await busy(store, organization_id, home / "busy", busy_s)
        medians["writer_to_unnest"] = medians["writer_per_s"] / medians["unnest_per_s"]
        medians["writer_to_executemany"] = medians["writer_per_s"] / medians["executemany_per_s"]
        return medians


def main() -> None:
    configure_logging("warning", "console")
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    for key, value in asyncio.run(measure()).items():
        print(f"{key:28} {value:12,.2f}")


if __name__ == "__main__":
    main()
