from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from runtime.errors import StoreUnreachable
from runtime.store import migrations
from runtime.store.migrations import SchemaStatus, check, known_migrations, migrate, status
from tests.fakes.databases import Databases

Connection = Any

_FORGET = "delete from supabase_migrations.schema_migrations where version = $1"
_LATER = (
    "insert into supabase_migrations.schema_migrations (version, name) values ('29990101000001', 'patchbay_wonders')"
)
VERSIONS = tuple(migration.version for migration in known_migrations())


@pytest.fixture
async def url(databases: Databases) -> str:
    return await databases.empty()


@pytest.fixture
async def connection(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


def test_the_files_are_found_in_order() -> None:
    assert len(VERSIONS) >= 5
    assert list(VERSIONS) == sorted(set(VERSIONS))
    assert all(migration.name.startswith("patchbay_") for migration in known_migrations())


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (SchemaStatus((), ("1",), ()), "empty"),
        (SchemaStatus(("1",), ("2",), ()), "older"),
        (SchemaStatus(("1",), (), ()), "current"),
        (SchemaStatus(("1",), (), ("2",)), "newer"),
        (SchemaStatus(("1",), ("2",), ("3",)), "newer"),
    ],
)
def test_the_state_follows_from_what_is_recorded(found: SchemaStatus, state: str) -> None:
    assert found.state == state


@pytest.mark.server
async def test_a_fresh_database_is_migrated_once(connection: Connection) -> None:
    with pytest.raises(StoreUnreachable, match=r"(?s)no Patchbay tables.*patchbay db migrate"):
        await check(connection)
    assert (await status(connection)).state == "empty"
    assert tuple(migration.version for migration in await migrate(connection)) == VERSIONS
    assert await migrate(connection) == ()
    await check(connection)
    recorded = await connection.fetch(
        "select version, name, statements from supabase_migrations.schema_migrations order by version"
    )
    assert [(row["version"], row["name"], row["statements"]) for row in recorded] == [
        (m.version, m.name, [m.sql]) for m in known_migrations()
    ]


@pytest.mark.server
async def test_runners_at_the_same_time_apply_each_migration_once(url: str) -> None:
    connections = [await asyncpg.connect(url) for _ in range(4)]
    applied = await asyncio.gather(*map(migrate, connections))
    assert sorted(migration.version for some in applied for migration in some) == list(VERSIONS)
    for connection in connections:
        await connection.close()


@pytest.mark.server
async def test_a_database_outside_the_range_is_refused(connection: Connection) -> None:
    await migrate(connection)
    await connection.execute(
        "insert into supabase_migrations.schema_migrations (version, name) values ('29990101000000', 'somebody_elses')"
    )
    await check(connection)
    await connection.execute(_FORGET, VERSIONS[-1])
    with pytest.raises(StoreUnreachable, match=rf"(?s)lacks 1 .*{VERSIONS[-1]}.*patchbay db migrate"):
        await check(connection)
    await connection.execute(_LATER)
    with pytest.raises(StoreUnreachable, match=rf"(?s)29990101000001 of a later.*lacks {VERSIONS[-1]}.*Install"):
        await check(connection)


@pytest.mark.server
async def test_a_database_of_a_later_release_will_do_unless_it_says_otherwise(connection: Connection) -> None:
    await migrate(connection)
    await connection.execute(_LATER)
    found = await status(connection)
    assert (found.state, found.fits, found.unknown) == ("newer", True, ("29990101000001",))
    assert await migrate(connection) == ()
    await check(connection)
    await connection.execute(_oldest(VERSIONS[-1]))
    await check(connection)
    await connection.execute(_oldest("29990101000001"))
    assert await migrate(connection) == ()
    with pytest.raises(StoreUnreachable, match=rf"(?s)knows 29990101000001.* up to {VERSIONS[-1]}.*Install"):
        await check(connection)


def _oldest(version: str) -> str:
    """Return what a later migration says that older releases cannot run on."""
    return f"create or replace function patchbay.oldest_release() returns text language sql as $$ select '{version}' $$"


@pytest.mark.server
async def test_the_release_before_this_one_may_run_on_this_schema(connection: Connection) -> None:
    await migrate(connection)
    assert (await status(connection)).oldest_release <= "20261122100300"


@pytest.mark.server
async def test_a_migration_that_fails_leaves_nothing_of_itself(connection: Connection) -> None:
    await connection.execute("create table public.price (mine int)")
    with pytest.raises(StoreUnreachable, match=r"(?s)price.*schema public"):
        await migrate(connection)
    assert await connection.fetchval("select to_regclass('public.workflow')") is None
    await connection.execute("drop table public.price")
    assert len(await migrate(connection)) == len(VERSIONS)


@pytest.mark.server
async def test_records_of_an_older_cli_are_completed(connection: Connection) -> None:
    await connection.execute(
        "create schema supabase_migrations; create table supabase_migrations.schema_migrations (version text primary key)"
    )
    await migrate(connection)
    await check(connection)


@pytest.mark.server
async def test_an_ordinary_owner_may_migrate(databases: Databases) -> None:
    url = await databases.empty()
    admin = await asyncpg.connect(url)
    name = await admin.fetchval("select current_database()")
    await admin.execute(
        f"drop role if exists landlord; create role landlord login createrole; alter database {name} owner to landlord"
    )
    await admin.close()
    landlord = await asyncpg.connect(url, user="landlord")
    await migrate(landlord)
    await check(landlord)
    await landlord.close()


@pytest.mark.server
async def test_a_user_without_rights_is_told_what_is_missing(databases: Databases) -> None:
    url = await databases.empty()
    admin = await asyncpg.connect(url)
    await admin.execute("drop role if exists guest; create role guest login")
    await admin.close()
    guest = await asyncpg.connect(url, user="guest")
    with pytest.raises(StoreUnreachable, match=r"(?s)permission denied.*CREATEROLE"):
        await migrate(guest)
    await guest.close()


@pytest.mark.server
async def test_an_old_server_is_refused(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_OLDEST_SERVER", 99)
    with pytest.raises(StoreUnreachable, match="needs 99"):
        await check(connection)
