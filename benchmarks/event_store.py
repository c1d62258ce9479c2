"""Where the writer's events go in benchmarks: an embedded Postgres, what its processes cost, and the bare ways into its table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic_core import to_json

from runtime.session.ports import CallRow, EventRow
from runtime.store.opening import open_store
from runtime.store.postgres import PostgresStore

__all__ = ["CALLS", "Cost", "Ground", "bare_copy", "bare_unnest", "call_rows", "opened"]

CALLS = 50
_BATCH = 1000
_COLUMNS = ("session_id", "organization_id", "seq", "event_type", "payload", "agent_id", "occurred_at")
_UNNEST = """
insert into public.session_event (session_id, organization_id, seq, event_type, payload, agent_id, occurred_at)
select s, o, n, t, p::jsonb, a, at from
unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::text[], $7::timestamptz[]) as g (s, o, n, t, p, a, at)
on conflict do nothing
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What `rows` rows took: seconds on the wall's clock, of this process's CPU, and of the server's."""

    rows: int
    wall_s: float
    process_s: float
    server_s: float

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.wall_s

    @property
    def process_us(self) -> float:
        """Microseconds of this process's CPU a row."""
        return 1e6 * self.process_s / self.rows

    @property
    def server_us(self) -> float:
        """Microseconds of the CPU of all the server's processes a row."""
        return 1e6 * self.server_s / self.rows


@dataclass(frozen=True, slots=True)
class Ground:
    """A store with an organization, and the events of a real call to fill it with."""

    store: PostgresStore
    organization_id: str
    events: Sequence[EventRow]

    async def cost(self, rows: int, work: Callable[[], Awaitable[object]]) -> Cost:
        """Do the work and return what it took."""
        server = await self._server_s()
        start, cpu = time.perf_counter(), time.process_time()
        await work()
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        return Cost(rows, wall, cpu, await self._server_s() - server)

    async def calls(self) -> list[CallRow]:
        """Return as many fresh calls as run at once on a busy worker; their rows are stored."""
        calls = call_rows(self.organization_id)
        for call in calls:
            await self.store.open_call(call)
        return calls

    def rows(self, calls: Sequence[CallRow], count: int) -> list[EventRow]:
        """Return so many events of these calls, in turn."""
        return [
            replace(
                self.events[number % len(self.events)],
                session_id=call.id,
                organization_id=call.organization_id,
                seq=number + 1,
            )
            for number in range(count // len(calls))
            for call in calls
        ]

    async def _server_s(self) -> float:
        found = await self.store.fetch("select pid from pg_stat_activity")
        return sum(await asyncio.to_thread(lambda: [_cpu_s(row["pid"]) for row in found]))


def call_rows(organization_id: str) -> list[CallRow]:
    """Rows of as many calls as run at once on a busy worker."""
    row = CallRow("", organization_id, None, "phone", "inbound", is_test=True, started_at=datetime.now(UTC))
    return [replace(row, id=str(uuid4())) for _ in range(CALLS)]


@asynccontextmanager
async def opened(home: Path, events: Sequence[EventRow]) -> AsyncIterator[Ground]:
    """Yield an embedded Postgres below `home`."""
    async with open_store(None, home) as store:
        yield Ground(store, (await store.ensure_organization("benchmark")).id, events)


async def bare_copy(ground: Ground, count: int) -> Cost:
    """Copy so many events into the table by asyncpg's binary COPY; their JSON is made beforehand."""
    records = [_record(row) for row in ground.rows(await ground.calls(), count)]

    async def work() -> None:
        async with ground.store.connection() as connection:
            for at in range(0, len(records), _BATCH):
                await connection.copy_records_to_table(
                    "session_event", records=records[at : at + _BATCH], columns=_COLUMNS
                )

    return await ground.cost(len(records), work)


async def bare_unnest(ground: Ground, count: int) -> Cost:
    """Insert so many events by `insert … select unnest(…) on conflict do nothing`; their JSON is made beforehand."""
    records = [_record(row) for row in ground.rows(await ground.calls(), count)]

    async def work() -> None:
        async with ground.store.connection() as connection:
            for at in range(0, len(records), _BATCH):
                await connection.execute(_UNNEST, *map(list, zip(*records[at : at + _BATCH], strict=True)))

    return await ground.cost(len(records), work)


def _record(row: EventRow) -> tuple[Any, ...]:
    payload = to_json(row.payload).decode()
    return row.session_id, row.organization_id, row.seq, row.event_type, payload, row.agent_id, row.occurred_at


def _cpu_s(pid: int) -> float:
    """Seconds of CPU of a process, to the nanosecond (`/proc/PID/stat` counts hundredths); 0 for one that is gone."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    except FileNotFoundError:
        return 0.0
