"""One person removed from a database in which they are everywhere: no column of any table holds their number afterwards."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from runtime.aftercall.caller import digest_of, erase_caller
from runtime.aftercall.erasure import StillRunning
from runtime.aftercall.number_forms import NumberForms
from runtime.errors import PatchbayError, StoreUnreachable
from runtime.session.dead_logs import read_chunk
from runtime.session.drain import drain
from runtime.session.event_log import EventLog
from runtime.session.records import Opened, encode
from runtime.store.pool import Database
from runtime.store.postgres import PostgresStore
from runtime.store.row_access import SERVICE, Rows
from runtime.store.row_access_postgres import PostgresRowAccess
from runtime.store.supabase_rows import SupabaseRowAccess
from tests.contract.rows import a_call
from tests.contract.supabase_project import Door, Project, service_key
from tests.fakes.databases import Databases
from tests.runtime.aftercall.test_number_forms import GERMAN, NOT_GERMAN

pytestmark = pytest.mark.server

Connection = Any
NUMBER = "+491701234567"
FORMS = NumberForms(NUMBER)
DIGEST = digest_of(NUMBER, "a key")


@pytest.fixture(params=["postgres", "supabase"])
async def url(request: pytest.FixtureRequest, databases: Databases) -> str:
    if request.param == "postgres":
        return await databases.migrated()
    project: Project = request.getfixturevalue("project")
    await project.empty()
    return project.url


@pytest.fixture
async def connection(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url)
    await connection.execute("truncate audit_log, idempotency_key")
    yield connection
    await connection.close()


@pytest.fixture
async def rows(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Rows]:
    if "supabase" in request.node.callspec.id:
        project: Project = request.getfixturevalue("project")
        async with httpx.AsyncClient(transport=Door()) as http:
            yield SupabaseRowAccess(http, project.base, service_key()).of(SERVICE)
        return
    database = Database(url)
    yield PostgresRowAccess(database).of(SERVICE)
    await database.aclose()


@pytest.fixture
async def org(connection: Connection) -> str:
    return str(await connection.fetchval("insert into organization (name) values ('Acme') returning id"))


async def a_session(connection: Connection, org: str, *payloads: object, ended: bool = True, **columns: object) -> str:
    names = ", ".join(("organization_id", *columns))
    places = ", ".join(f"${number + 1}" for number in range(len(columns) + 1))
    session = await connection.fetchval(
        f"insert into call_session ({names}) values ({places}) returning id",  # noqa: S608 - our own names
        org,
        *columns.values(),
    )
    for seq, payload in enumerate(payloads, 1):
        await connection.execute(
            "insert into session_event (session_id, organization_id, seq, event_type, payload) values ($1, $2, $3, $4, $5::text::jsonb)",
            session,
            org,
            seq,
            "call_started" if seq == 1 else "user_turn",
            json.dumps(payload),
        )
    if ended:
        await connection.execute(
            "update call_session set ended_at = now(), status = 'completed' where id = $1", session
        )
    return str(session)


async def left(connection: Connection) -> list[str]:
    """Every column of every table, and the planner's samples, that still hold the number."""
    tables = await connection.fetch(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
    )
    assert len(tables) > 30
    found = []
    for table in [*(row["name"] for row in tables), "pg_catalog.pg_stats"]:
        for row in await connection.fetch(f"select to_jsonb(t) as row from {table} t"):  # noqa: S608 - quoted by Postgres
            found += [
                f"{table}.{column}"
                for column, value in json.loads(row["row"]).items()
                if FORMS.within(json.dumps(value, ensure_ascii=False))
            ]
    return found


async def everywhere(connection: Connection, org: str) -> tuple[str, str]:
    """Write the number wherever it can stand; return a session that mentions it, and one that has digits like it."""
    version = await connection.fetchval("select id from save_draft($1, 'w', '{\"agents\": []}')", org)
    theirs = [
        await a_session(
            connection, org, {"caller": NUMBER}, {"text": "hello"}, from_number=NUMBER, workflow_version_id=version
        ),
        await a_session(connection, org, {"dialled": "0170 1234567"}, to_number="+4930999999"),
        await a_session(connection, org, {}, room="call-_+491701234567_x"),
        await a_session(connection, org, {"caller": "sip:00491701234567@carrier"}),
    ]
    for table in ("webhook_delivery", "after_call"):
        extra = {"webhook_delivery": ", tool_index, name", "after_call": ""}[table]
        values = {"webhook_delivery": ", 0, 'w'", "after_call": ""}[table]
        await connection.execute(
            f"insert into {table} (session_id, organization_id{extra}) values ($1, $2{values})",  # noqa: S608 - our own names
            theirs[0],
            org,
        )
    await connection.execute(
        "insert into test_session (organization_id, workflow_version_id, session_id, transcript) values ($1, $2, $3, $4::text::jsonb)",
        org,
        version,
        theirs[0],
        json.dumps([{"text": NUMBER}]),
    )
    other = await a_session(
        connection,
        org,
        {"caller": "+4930111"},
        *({"text": f"ring {form}."} for form in GERMAN),
        {"n": 491701234567},
        from_number="+4930111",
    )
    untouched = await a_session(connection, org, *({"text": f"see {text}", "f": 1.50} for text in NOT_GERMAN))
    await mention(connection, org, version, other)
    return other, untouched


async def mention(connection: Connection, org: str, version: object, other: str) -> None:
    await connection.execute(
        """update call_session set variables = '{"phone": "0170 1234567", "a": [1, null]}', analysis = '{"summary": "wants +49 170 1234567"}'
           where id = $1""",
        other,
    )
    await connection.execute(
        "insert into test_session (organization_id, workflow_version_id, transcript) values ($1, $2, $3::text::jsonb)",
        org,
        version,
        json.dumps([{"text": "my number is 0170/1234567"}]),
    )
    await connection.execute(
        "insert into audit_log (organization_id, actor_kind, action, table_name, row_id, before) values ($1, 'user', 'update', 'x', $2, $3::text::jsonb)",
        org,
        NUMBER,
        json.dumps({"description": "0049 170 1234567"}),
    )
    await connection.execute(
        "insert into idempotency_key (actor, key, fingerprint, leased_until, answer) values ('user:x', 'k', 'f', now(), 'sealed')"
    )
    await connection.execute("analyze")


SEALED = "select payload::text from session_event where session_id = $1 order by seq"


async def test_nothing_of_them_is_left_anywhere(connection: Connection, rows: Rows, org: str, tmp_path: Path) -> None:
    other, untouched = await everywhere(connection, org)
    before = await connection.fetch(SEALED, untouched)
    facts = await connection.fetchval("select count(*) from call_fact")
    totals = await connection.fetch("select * from daily_total order by id")
    looked = await erase_caller(rows, tmp_path, org, NUMBER, digest=DIGEST, dry_run=True)
    assert looked.sessions == 4
    assert looked.counts()["masked"]["session_event.payload"] == len(GERMAN) + 1
    assert await left(connection)

    done = await erase_caller(rows, tmp_path, org, NUMBER, digest=DIGEST)

    assert await left(connection) == []
    assert done.sessions == 4
    assert done.counts()["masked"] == looked.counts()["masked"]
    assert {str(row[0]) for row in await connection.fetch("select id from call_session")} == {other, untouched}
    assert await connection.fetchval("select count(*) from call_fact") == facts - 4
    assert await connection.fetch("select * from daily_total order by id") == totals
    assert await connection.fetch(SEALED, untouched) == before
    variables = json.loads(await connection.fetchval("select variables from call_session where id = $1", other))
    assert variables == {"phone": "•••", "a": [1, None]}
    assert not await connection.fetchval("select count(*) from idempotency_key")
    entry = await connection.fetchrow("select * from audit_log where action = 'erase'")
    assert (entry["row_id"], entry["actor_kind"]) == (DIGEST, "service")
    assert json.loads(entry["after"]) == {"state": "done", **done.counts()}

    again = await erase_caller(rows, tmp_path, org, NUMBER, digest=DIGEST)
    assert (again.sessions, again.counts()["masked"]) == (0, {})
    assert await connection.fetchval("select count(*) from audit_log where action = 'erase'") == 2


@pytest.mark.parametrize("function", ["erase_delete", "erase_mentions", "erase_answers", "erase_rows", "erase_record"])
async def test_what_was_interrupted_is_finished_by_the_next(
    connection: Connection, rows: Rows, org: str, tmp_path: Path, function: str
) -> None:
    await everywhere(connection, org)
    with pytest.raises(StoreUnreachable):
        await erase_caller(Interrupted(rows, f"patchbay_{function}"), tmp_path, org, NUMBER, digest=DIGEST)
    await erase_caller(rows, tmp_path, org, NUMBER, digest=DIGEST)
    assert await left(connection) == []


class Interrupted:
    """Functions of which one is never reached."""

    def __init__(self, rows: Rows, function: str) -> None:
        self._rows = rows
        self._function = function

    async def rpc(self, function: str, arguments: Mapping[str, Any]) -> Any:
        if function == self._function:
            raise StoreUnreachable("gone")
        return await self._rows.rpc(function, arguments)


async def test_other_organizations_are_not_touched(
    connection: Connection, rows: Rows, org: str, tmp_path: Path
) -> None:
    other = str(await connection.fetchval("insert into organization (name) values ('Globex') returning id"))
    session = await a_session(connection, other, {"caller": NUMBER}, from_number=NUMBER)
    await erase_caller(rows, tmp_path, org, NUMBER, digest=DIGEST)
    assert str(await connection.fetchval("select id from call_session")) == session


async def test_a_call_that_runs_refuses_it_and_nothing_is_done(
    connection: Connection, rows: Rows, org: str, tmp_path: Path
) -> None:
    ended = await a_session(connection, org, {"caller": NUMBER}, from_number=NUMBER)
    running = await a_session(connection, org, {"caller": NUMBER}, from_number=NUMBER, ended=False)
    with pytest.raises(StillRunning, match=running):
        await erase_caller(rows, tmp_path, org, NUMBER, digest=DIGEST)
    assert {str(row[0]) for row in await connection.fetch("select id from call_session")} == {ended, running}
    assert not await connection.fetchval("select count(*) from audit_log where action = 'erase'")
    await connection.execute("update call_session set started_at = now() - interval '3 days' where id = $1", running)
    await connection.execute(
        "update session_event set recorded_at = now() - interval '3 days' where session_id = $1", running
    )
    await erase_caller(rows, tmp_path, org, NUMBER, digest=DIGEST)
    assert not await connection.fetchval("select count(*) from call_session")


async def test_the_organizations_own_number_is_refused(
    connection: Connection, rows: Rows, org: str, tmp_path: Path
) -> None:
    await connection.execute("insert into phone_number (organization_id, number) values ($1, $2)", org, NUMBER)
    await a_session(connection, org, {"dialled": NUMBER}, to_number=NUMBER)
    with pytest.raises(PatchbayError, match="itself answers"):
        await erase_caller(rows, tmp_path, org, NUMBER, digest=DIGEST)
    assert await connection.fetchval("select count(*) from call_session") == 1


async def test_what_builders_wrote_is_named_and_stays(
    connection: Connection, rows: Rows, org: str, tmp_path: Path
) -> None:
    config = json.dumps({"agents": [], "global_paths": [{"transfer_call": {"to": NUMBER}}]})
    version = await connection.fetchval("select id from save_draft($1, 'w', $2::text::jsonb)", org, config)
    await connection.execute(
        "insert into workspace_variable (organization_id, name, value) values ($1, 'n', $2)", org, NUMBER
    )
    done = await erase_caller(rows, tmp_path, org, NUMBER, digest=DIGEST)
    assert done.erased.kept["workflow_version.config"] == [str(version)]
    assert len(done.erased.kept["workspace_variable.value"]) == 1
    assert await connection.fetchval("select value from workspace_variable") == NUMBER


async def test_the_files_of_a_process_that_lives_are_emptied_of_it(
    url: str, connection: Connection, rows: Rows, org: str, tmp_path: Path
) -> None:
    store = PostgresStore(url)
    log = await EventLog.open(tmp_path / "events", store)
    theirs, other = a_call(org, from_number=NUMBER, started_at=datetime.now(UTC)), a_call(org)
    call, others_call = log.open_call(theirs), log.open_call(other)
    call.write("call_started", {"caller": NUMBER}, agent_id=None, occurred_at=datetime.now(UTC))
    with pytest.raises(StillRunning, match=theirs.id):
        await erase_caller(rows, tmp_path, org, NUMBER, digest=DIGEST)
    await call.close(replace(theirs, ended_at=datetime.now(UTC), status="completed"))
    assert await log.flush(10)
    (file,) = (tmp_path / "events").glob("*.ndjson")
    assert FORMS.within(file.read_text())
    await erase_caller(rows, tmp_path, org, NUMBER, digest=DIGEST)
    assert not FORMS.within(file.read_text())
    assert theirs.id not in file.read_text()

    others_call.write("call_started", {"caller": None}, agent_id=None, occurred_at=datetime.now(UTC))
    await others_call.close(replace(other, ended_at=datetime.now(UTC), status="completed"))
    assert await log.flush(10)
    assert len(read_chunk(file, 0, 100).records) == 3
    await log.aclose()
    assert not file.exists()
    assert [str(row[0]) for row in await connection.fetch("select id from call_session")] == [other.id]
    await store.aclose()


async def test_a_log_that_waits_for_its_store_brings_nobody_back(
    url: str, connection: Connection, rows: Rows, org: str, tmp_path: Path
) -> None:
    session = await a_session(connection, org, {"caller": NUMBER}, from_number=NUMBER)
    events = tmp_path / "events"
    events.mkdir()
    dead = events / "20261122T120000-1-abcdef01.000001.ndjson"
    dead.write_bytes(encode(Opened(a_call(org, id=session, from_number=NUMBER))))
    await erase_caller(rows, tmp_path, org, NUMBER, digest=DIGEST)
    assert not dead.read_bytes().strip()
    store = PostgresStore(url)
    report = await drain(events, store)
    await store.aclose()
    assert (report.events, report.damaged) == (0, 0)
    assert not dead.exists()
    assert not await connection.fetchval("select count(*) from call_session")
