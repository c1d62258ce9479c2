"""Calls that are kept no longer: what goes, what stays, and that a run can be stopped and be doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from runtime.aftercall.retention import RetentionRun, keep, keepings, retain, tidy
from runtime.errors import NotFound
from runtime.store.pool import Database
from runtime.store.row_access import SERVICE, Rows
from runtime.store.row_access_postgres import PostgresRowAccess
from runtime.store.supabase_rows import SupabaseRowAccess
from tests.contract.supabase_project import Door, Project, service_key

pytestmark = pytest.mark.server

Connection = Any
NOW = datetime.now(UTC)


@pytest.fixture
async def rows(url: str) -> AsyncIterator[Rows]:
    database = Database(url)
    yield PostgresRowAccess(database).of(SERVICE)
    await database.aclose()


@pytest.fixture
async def org(connection: Connection) -> str:
    return str(await connection.fetchval("insert into organization (name) values ('Acme') returning id"))


async def a_session(connection: Connection, org: str, *, days: float, ended: bool = True, events: int = 3) -> str:
    started = NOW - timedelta(days=days)
    session = await connection.fetchval(
        "insert into call_session (organization_id, channel, started_at, from_number) values ($1, 'phone', $2, '+491701234567') returning id",
        org,
        started,
    )
    await connection.execute(
        "insert into session_event (session_id, organization_id, seq, event_type, payload, occurred_at, recorded_at) "
        "select $1, $2, n, 'user_turn', '{}', $3, $3 from generate_series(1, $4) n",
        session,
        org,
        started,
        events,
    )
    if ended:
        await connection.execute(
            "update call_session set ended_at = started_at + interval '1 minute', status = 'completed' where id = $1",
            session,
        )
    return str(session)


async def ids(connection: Connection) -> set[str]:
    return {str(row["id"]) for row in await connection.fetch("select id from call_session")}


async def test_old_calls_go_with_everything_and_their_facts_stay(connection: Connection, rows: Rows, org: str) -> None:
    old = await a_session(connection, org, days=40)
    young = await a_session(connection, org, days=5)
    running = await a_session(connection, org, days=90, ended=False)
    for session in (old, young):
        await connection.execute(
            "insert into webhook_delivery (session_id, organization_id, tool_index, name, status) values ($1, $2, 0, 'w', 'delivered')",
            session,
            org,
        )
        await connection.execute(
            "insert into after_call (session_id, organization_id, status) values ($1, $2, 'done')", session, org
        )
    facts = await connection.fetchval("select count(*) from call_fact")
    await keep(rows, org, retention_days=30, audit_days=None)
    run = await retain(rows, org)
    assert run is not None
    assert (run.status, run.sessions, run.events) == ("done", 1, 3)
    assert await ids(connection) == {young, running}
    for table in ("session_event", "webhook_delivery", "after_call"):
        left = {str(row[0]) for row in await connection.fetch(f"select distinct session_id from {table}")}  # noqa: S608 - our own names
        assert old not in left
        assert young in left
    assert await connection.fetchval("select count(*) from call_fact") == facts >= 2


async def test_without_days_everything_is_kept(connection: Connection, rows: Rows, org: str) -> None:
    old = await a_session(connection, org, days=4000)
    assert await retain(rows, org) is None
    assert await ids(connection) == {old}
    (row,) = await keepings(rows, org)
    assert (row.retention_days, row.sessions, row.runs) == (None, 0, ())
    with pytest.raises(NotFound):
        await keepings(rows, str(uuid4()))


async def test_other_organizations_keep_theirs(connection: Connection, rows: Rows, org: str) -> None:
    other = str(await connection.fetchval("insert into organization (name) values ('Globex') returning id"))
    theirs = await a_session(connection, other, days=400)
    await a_session(connection, org, days=400)
    await keep(rows, org, retention_days=1, audit_days=None)
    await retain(rows, org)
    assert await ids(connection) == {theirs}


async def test_what_waits_for_a_webhook_gets_a_week_more(connection: Connection, rows: Rows, org: str) -> None:
    waiting, long_waiting = [await a_session(connection, org, days=days) for days in (12, 30)]
    for session in (waiting, long_waiting):
        await connection.execute(
            "insert into webhook_delivery (session_id, organization_id, tool_index, name) values ($1, $2, 0, 'w')",
            session,
            org,
        )
    await keep(rows, org, retention_days=10, audit_days=None)
    await retain(rows, org)
    assert await ids(connection) == {waiting}


async def test_what_never_ended_goes_only_when_it_is_asked_for(connection: Connection, rows: Rows, org: str) -> None:
    lost = await a_session(connection, org, days=40, ended=False)
    heard = await a_session(connection, org, days=40, ended=False)
    await connection.execute("update session_event set recorded_at = now() where session_id = $1", heard)
    await keep(rows, org, retention_days=30, audit_days=None)
    await retain(rows, org)
    assert await ids(connection) == {lost, heard}
    assert (await keepings(rows, org))[0].never_ended == 2
    await retain(rows, org, abandoned=True)
    assert await ids(connection) == {heard}


async def test_the_audit_log_and_tests_have_their_own_time(connection: Connection, rows: Rows, org: str) -> None:
    await connection.execute("update audit_log set occurred_at = now() - interval '50 days'")
    version = await connection.fetchval("select id from save_draft($1, 'w', '{\"agents\": []}')", org)
    for days in (50, 5):
        await connection.execute(
            "insert into test_session (organization_id, workflow_version_id, created_at) values ($1, $2, now() - make_interval(days => $3))",
            org,
            version,
            days,
        )
    await keep(rows, org, retention_days=30, audit_days=None)
    entries = await connection.fetchval("select count(*) from audit_log")
    run = await retain(rows, org, batch=1)
    assert run is not None
    assert run.others == 1
    assert await connection.fetchval("select count(*) from test_session") == 1
    assert await connection.fetchval("select count(*) from audit_log") == entries
    await keep(rows, org, retention_days=30, audit_days=40)
    await retain(rows, org)
    assert not await connection.fetchval(
        "select count(*) from audit_log where occurred_at < now() - interval '40 days'"
    )
    assert await connection.fetchval("select count(*) from audit_log where after ? 'audit_days'")


async def test_a_run_that_was_stopped_is_taken_up(connection: Connection, rows: Rows, org: str) -> None:
    for _ in range(5):
        await a_session(connection, org, days=40)
    await keep(rows, org, retention_days=30, audit_days=None)

    def stop(run: RetentionRun) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await retain(rows, org, batch=2, progress=stop)
    assert len(await ids(connection)) == 3
    await connection.execute("update retention_run set updated_at = now() - interval '2 minutes'")
    run = await retain(rows, org, batch=2)
    assert run is not None
    assert (run.status, run.sessions, run.events) == ("done", 5, 15)
    assert await connection.fetchval("select count(*) from retention_run") == 1


async def test_two_runs_at_once_share_the_work(connection: Connection, rows: Rows, org: str) -> None:
    for _ in range(30):
        await a_session(connection, org, days=40)
    young = await a_session(connection, org, days=1)
    await keep(rows, org, retention_days=30, audit_days=None)
    first, second = await asyncio.gather(retain(rows, org, batch=2), retain(rows, org, batch=2))
    assert first is not None
    assert second is not None
    assert first.sessions + second.sessions == 30
    assert first.events + second.events == 90
    assert await ids(connection) == {young}


async def test_what_another_transaction_holds_is_left(url: str, connection: Connection, rows: Rows, org: str) -> None:
    held, free = [await a_session(connection, org, days=40) for _ in range(2)]
    await keep(rows, org, retention_days=30, audit_days=None)
    other = await asyncpg.connect(url)
    async with other.transaction():
        await other.fetch("select from call_session where id = $1 for update", held)
        await retain(rows, org)
    await other.close()
    assert await ids(connection) == {held}
    assert free not in await ids(connection)


async def test_a_batch_ends_with_ten_thousand_events(connection: Connection, rows: Rows, org: str) -> None:
    for _ in range(3):
        await a_session(connection, org, days=40, events=6000)
    await keep(rows, org, retention_days=30, audit_days=None)
    seen: list[int] = []
    await retain(rows, org, progress=lambda run: seen.append(run.sessions))
    assert seen == [2, 3, 3]


async def test_an_owner_who_lifts_the_days_stops_a_run(connection: Connection, rows: Rows, org: str) -> None:
    for _ in range(4):
        await a_session(connection, org, days=40)
    await keep(rows, org, retention_days=30, audit_days=None)
    begun = await rows.rpc("patchbay_retention_begin", {"organization_id": org})
    step = {"run_id": begun["id"], "batch": 1}
    await rows.rpc("patchbay_retention_step", step)
    await keep(rows, org, retention_days=None, audit_days=None)
    assert (await rows.rpc("patchbay_retention_step", step))["status"] == "done"
    assert len(await ids(connection)) == 3


async def test_a_scheduler_in_the_database_does_it_too(connection: Connection, rows: Rows, org: str) -> None:
    for _ in range(5):
        await a_session(connection, org, days=40)
    await keep(rows, org, retention_days=30, audit_days=None)
    answers = [await rows.rpc("patchbay_retention_run", {"batch": 2, "steps": 2}) for _ in range(3)]
    assert [answer["sessions"] for answer in answers] == [4, 1, 0]
    assert [answer["finished"] for answer in answers][-1]
    assert not await ids(connection)


async def test_it_works_over_supabases_api(project: Project) -> None:
    await project.empty()
    connection = await asyncpg.connect(project.url)
    org = str(await connection.fetchval("insert into organization (name) values ('Acme') returning id"))
    await a_session(connection, org, days=40)
    async with httpx.AsyncClient(transport=Door()) as http:
        rows = SupabaseRowAccess(http, project.base, service_key()).of(SERVICE)
        await keep(rows, org, retention_days=30, audit_days=None)
        run = await retain(rows, org)
        assert run is not None
        assert (run.status, run.sessions, run.events) == ("done", 1, 3)
        assert await tidy(rows) == 0
    await connection.close()


async def test_answers_of_repeated_requests_serve_for_a_day(connection: Connection, rows: Rows) -> None:
    for number, age in enumerate(("2 days", "1 hour")):
        await connection.execute(
            "insert into idempotency_key (actor, key, fingerprint, leased_until, created_at) "
            "values ('user:x', $1, 'f', now(), now() - $2::text::interval)",
            str(number),
            age,
        )
    assert await tidy(rows) == 1
    assert await connection.fetchval("select count(*) from idempotency_key") == 1


@pytest.mark.parametrize(("role", "may"), [("owner", True), ("builder", False), ("analyst", False), ("viewer", False)])
async def test_owners_set_the_days_and_nobody_else(connection: Connection, org: str, role: str, may: bool) -> None:
    user = uuid4()
    await connection.execute(
        "insert into organization_member (organization_id, user_id, role) values ($1, $2, $3)", org, user, role
    )
    async with connection.transaction():
        await connection.execute(
            "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)",
            f'{{"role": "authenticated", "sub": "{user}"}}',
        )
        changed = await connection.execute("update organization set retention_days = 30 where id = $1", org)
        assert changed == ("UPDATE 1" if may else "UPDATE 0")
    for sql in (
        "update organization set audit_days = 1",
        "select patchbay_retention_run()",
        "insert into retention_run (organization_id) select id from organization",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await as_authenticated(connection, sql)


async def as_authenticated(connection: Connection, sql: str) -> None:
    async with connection.transaction():
        await connection.execute("set local role authenticated")
        await connection.execute(sql)
