"""Every event has a session of its organization and goes with it, though no foreign key says so."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from runtime.tasks import spawn

pytestmark = pytest.mark.server

Connection = Any

_INSERT = (
    "insert into session_event (session_id, organization_id, seq, event_type, payload) values ($1, $2, $3, 'x', '{}')"
)
_CALL = "insert into call_session (organization_id) values ($1) returning id"


async def an_organization(connection: Connection) -> Any:
    return await connection.fetchval("insert into organization (name) values ('acme') returning id")


async def a_call(connection: Connection, *seqs: int) -> tuple[Any, Any]:
    """Return session and organization of a call with these events."""
    organization = await an_organization(connection)
    session = await connection.fetchval(_CALL, organization)
    await connection.executemany(_INSERT, [(session, organization, seq) for seq in seqs])
    return session, organization


async def stored(connection: Connection) -> int:
    return int(await connection.fetchval("select count(*) from session_event"))


STRAY = {
    "no session": "insert into session_event (session_id, organization_id, seq, event_type, payload) "
    "select $1::uuid, $2::uuid, 1, 'x', '{}'::jsonb union all select gen_random_uuid(), $2, 1, 'x', '{}'",
    "another organization": "insert into session_event (session_id, organization_id, seq, event_type, payload) "
    "select $1::uuid, $2::uuid, 1, 'x', '{}'::jsonb union all select $1, (select id from organization where id <> $2), 2, 'x', '{}'",
}


@pytest.mark.parametrize("role", ["postgres", "service_role"])
@pytest.mark.parametrize("sql", STRAY.values(), ids=STRAY)
async def test_an_event_without_a_session_of_its_organization_is_refused(
    connection: Connection, sql: str, role: str
) -> None:
    session, organization = await a_call(connection)
    await an_organization(connection)
    await connection.execute(f"set role {role}")
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="session_event_session_id_organization_id_fkey"):
        await connection.execute(sql, session, organization)
    assert await stored(connection) == 0


@pytest.mark.parametrize(
    "sql",
    [
        "update session_event set session_id = gen_random_uuid()",
        "update session_event set organization_id = gen_random_uuid()",
    ],
)
async def test_an_event_stays_with_its_session(connection: Connection, sql: str) -> None:
    await a_call(connection, 1)
    await connection.execute("update session_event set session_id = session_id, organization_id = organization_id")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "update call_session set id = gen_random_uuid()",
        "update call_session set organization_id = (select id from other)",
    ],
)
async def test_a_session_with_events_stays_who_it_is(connection: Connection, sql: str) -> None:
    await a_call(connection, 1)
    other = await an_organization(connection)
    await connection.execute("create table other (id uuid)")
    await connection.execute("insert into other values ($1)", other)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute(sql)
    await connection.execute("delete from session_event")
    await connection.execute(sql)


GONE = {
    "session": "delete from call_session where id = $1",
    "organization": "delete from organization where id = (select organization_id from call_session where id = $1)",
}


@pytest.mark.parametrize("role", ["postgres", "service_role"])
@pytest.mark.parametrize("sql", GONE.values(), ids=GONE)
async def test_events_go_with_their_session(connection: Connection, sql: str, role: str) -> None:
    session, _ = await a_call(connection, 1, 2)
    await a_call(connection, 1)
    await connection.execute(f"set role {role}")
    await connection.execute(sql, session)
    assert await stored(connection) == 1


async def test_a_table_of_sessions_that_is_emptied_takes_the_events_along(connection: Connection) -> None:
    await a_call(connection, 1)
    await connection.execute("truncate call_session cascade")
    assert await stored(connection) == 0


@pytest.mark.parametrize("first", ["event", "end"])
async def test_an_event_and_the_end_of_its_session_at_once(url: str, connection: Connection, first: str) -> None:
    """Whichever comes first, the other waits for it: no event is left without its session."""
    session, organization = await a_call(connection, 1)
    other = await asyncpg.connect(url)
    event, end = (_INSERT, session, organization, 2), ("delete from call_session where id = $1", session)
    one, two = (event, end) if first == "event" else (end, event)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(*one)
    waiting = spawn(other.execute(*two), name="who waits")
    while not await connection.fetchval("select count(*) from pg_locks where not granted"):
        assert not waiting.done()
    await transaction.commit()
    if first == "event":
        await waiting
    else:
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await waiting
    assert await stored(connection) == 0
    await other.close()
