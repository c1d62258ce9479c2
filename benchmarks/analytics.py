"""`python -m benchmarks analytics`: what the views take over 10 million events, and what writing facts adds to closing a call.

Calls of 100 events over 18 days are made in SQL and recorded as the database does it when a call ends; then events, facts and
totals are copied four times, 18 days further each, which gives what five times as many calls would. Views are read as
`authenticated`, row level security in force; a figure is the server's time to run the query and to write its rows out.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks import analytics_sql as sql
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.migrations import migrate

__all__ = ["measure", "table"]

Connection = Any

VIEWS = (
    "agent_funnel",
    "path_conversion",
    "path_refusal",
    "variable_collection",
    "tool_performance",
    "turn_latency",
    "call_cost",
    "version_comparison",
)
_DAYS = 18
_COPIES = 5
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds of repeated runs, and the rows of one."""

    name: str
    rows: int
    median_ms: float
    p95_ms: float
    worst_ms: float

    @classmethod
    def of(cls, name: str, rows: int, runs: Sequence[float]) -> Took:
        ordered = sorted(runs)
        return cls(name, rows, statistics.median(runs), ordered[int(len(ordered) * 0.95)], ordered[-1])


async def measure(*, calls: int = 100_000, runs: int = 25) -> list[Took]:
    """Fill an embedded Postgres of its own with `calls` of 100 events each, and read every view `runs` times."""
    async with _database() as connection:
        found = [await _closing(connection, recorded=recorded) for recorded in (False, True)]
        await _fill(connection, calls)
        user = await connection.fetchval(sql.MEMBER)
        version = await connection.fetchval("select id from public.workflow_version order by created_at, id limit 1")
        await connection.execute("set role authenticated")
        await connection.execute(
            "select set_config('request.jwt.claims', $1, false)",
            json.dumps({"sub": str(user), "role": "authenticated"}),
        )
        some = f"workflow_version_id = '{version}' and day between date '2026-05-01' and date '2026-05-30'"
        for view in VIEWS:
            found.append(await _view(connection, f"{view}, one version, 30 days", view, f"where {some}", runs))
            found.append(await _view(connection, f"{view}, everything", view, "", runs))
        found.append(await _endpoint(connection, version, runs))
        return found


def table(found: Sequence[Took]) -> str:
    lines = [f"{'':46}{'rows':>9}{'median':>9}{'p95':>9}{'worst':>9}  ms"]
    lines += [f"{t.name:46}{t.rows:9}{t.median_ms:9.1f}{t.p95_ms:9.1f}{t.worst_ms:9.1f}" for t in found]
    return "\n".join(lines)


@asynccontextmanager
async def _database() -> AsyncIterator[Connection]:
    with tempfile.TemporaryDirectory() as home:
        async with EmbeddedPostgres(Path(home)) as server:
            connection = await asyncpg.connect(server.dsn)
            try:
                await migrate(connection)
                await connection.execute(sql.WORKFLOWS)
                yield connection
            finally:
                await connection.close()


async def _closing(connection: Connection, *, recorded: bool) -> Took:
    """Close calls of 100 events one by one, with facts and without."""
    await connection.execute(f"alter table public.call_session {'enable' if recorded else 'disable'} trigger user")
    await connection.execute(sql.CALLS, 60, _DAYS, "open")
    ids = [row["id"] for row in await connection.fetch("select id from public.call_session where ended_at is null")]
    await connection.execute(sql.EVENTS, ids)
    took = []
    for session_id in ids:
        start = time.perf_counter()
        await connection.execute("update public.call_session set ended_at = now() where id = $1", session_id)
        took.append((time.perf_counter() - start) * 1000)
    await connection.execute("alter table public.call_session enable trigger user")
    await connection.execute(
        "delete from public.call_session; delete from public.call_fact; delete from public.daily_total"
    )
    return Took.of(f"closing a call {'with' if recorded else 'without'} facts", 1, took[10:])


async def _fill(connection: Connection, calls: int) -> None:
    await connection.execute("set session_replication_role = replica")
    await _step(connection, "calls", sql.CALLS, calls // _COPIES, _DAYS, "ended")
    ids = [row["id"] for row in await connection.fetch("select id from public.call_session")]
    for start in range(0, len(ids), _BATCH):
        await _step(connection, f"events of {start + _BATCH}", sql.EVENTS, ids[start : start + _BATCH])
    await connection.execute("set session_replication_role = origin")
    await connection.execute("analyze")
    start_of = time.perf_counter()
    while done := await connection.fetchval("select patchbay.record_missing_facts($1)", _BATCH):
        _say(f"facts of {done} calls, {time.perf_counter() - start_of:.0f} s")
    await connection.execute("set session_replication_role = replica")
    for copy in range(1, _COPIES):
        for what, statement in sql.COPIES.items():
            await _step(connection, f"copy {copy} of {what}", statement, copy, copy * _DAYS)
    await connection.execute("set session_replication_role = origin")
    await connection.execute("vacuum (analyze) public.daily_total")
    await connection.execute("analyze")
    _say(str(dict((await connection.fetch(sql.SIZES))[0])))


async def _step(connection: Connection, what: str, statement: str, *arguments: object) -> None:
    start = time.perf_counter()
    await connection.execute(statement, *arguments)
    _say(f"{what}: {time.perf_counter() - start:.1f} s")


async def _view(connection: Connection, name: str, view: str, where: str, runs: int) -> Took:
    statement = f"explain (analyze, timing off, serialize text, format json) select * from public.{view} {where}"  # noqa: S608 - our own names
    plans = [await _plan(connection, statement) for _ in range(runs + 2)][2:]
    return Took.of(
        name, plans[-1]["Plan"]["Actual Rows"], [plan["Execution Time"] + plan["Planning Time"] for plan in plans]
    )


async def _plan(connection: Connection, statement: str) -> Mapping[str, Any]:
    plan: Mapping[str, Any] = json.loads(await connection.fetchval(statement))[0]
    return plan


async def _endpoint(connection: Connection, version: object, runs: int) -> Took:
    took = []
    for _ in range(runs):
        start = time.perf_counter()
        await connection.fetchval("select public.analytics($1, compare_with => $1)", version)
        took.append((time.perf_counter() - start) * 1000)
    return Took.of("analytics(), one version, all 90 days, compared", 1, took)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
