"""A project behind Supabase's API: what its schema has to be, whose key it takes, and what becomes of an outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from runtime.errors import StoreUnreachable, Unreachable
from runtime.settings import Settings
from runtime.store import supabase_api
from runtime.store.migrations import known_migrations
from runtime.store.opening import database_of, is_over_api, need_database_url, open_settings_store, supabase_schema
from runtime.store.postgres import PostgresStore
from runtime.store.supabase import SupabaseStore
from tests.contract.rows import CONFIG, a_call, some_events
from tests.contract.supabase_project import Door, Project, service_key
from tests.fakes.databases import Databases
from tests.fakes.postgrest import postgrest, postgrest_binary

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

NEWEST = known_migrations()[-1].version


@asynccontextmanager
async def served(url: str, folder: Path) -> AsyncIterator[SupabaseStore]:
    """Yield a store on a PostgREST of one's own."""
    if postgrest_binary() is None:
        pytest.skip("no PostgREST: run python -m tests.fakes.postgrest")
    async with postgrest(url, folder) as base:
        store = SupabaseStore(base, service_key(), transport=Door())
        yield store
        await store.aclose()


@pytest.fixture
async def connection(project: Project) -> AsyncIterator[Any]:
    await project.empty()
    connection = await asyncpg.connect(project.url)
    yield connection
    await connection.close()


@pytest.fixture
def through_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a store that the settings open find PostgREST where Supabase's gateway would be."""
    monkeypatch.setattr(supabase_api.httpx, "AsyncHTTPTransport", lambda **_options: Door())


def settings_of(project: Project, folder: Path, **more: str) -> Settings:
    two = {"SUPABASE_URL": project.base, "SUPABASE_SERVICE_ROLE_KEY": service_key(), "PATCHBAY_HOME": str(folder)}
    return Settings.load(two | more, folder)


async def test_two_settings_are_all_it_needs(project: Project, tmp_path: Path, through_the_door: None) -> None:
    settings = settings_of(project, tmp_path)
    async with open_settings_store(settings) as store:
        acme = await store.ensure_organization("Acme")
        version = await store.publish((await store.save_draft(acme.id, "support", CONFIG)).id)
        call = a_call(acme.id, workflow_version_id=version.id)
        await store.open_call(call)
        await store.append(some_events(call, 1, 2, secret="s"))
        assert await store.events(call.id) == some_events(call, 1, 2, secret="s")
        assert database_of(store) is None
    assert is_over_api(settings)
    assert (await supabase_schema(settings)).state == "current"
    with pytest.raises(Unreachable, match=r"(?s)Migrating.*DATABASE_URL"):
        need_database_url(settings, "Migrating a database")
    assert list(tmp_path.iterdir()) == []


async def test_the_database_beside_it_is_used_and_has_to_be_the_same(
    project: Project, databases: Databases, tmp_path: Path, through_the_door: None
) -> None:
    settings = settings_of(project, tmp_path, DATABASE_URL=project.url)
    async with open_settings_store(settings) as store:
        assert isinstance(store, SupabaseStore)
        assert isinstance(database_of(store), PostgresStore)
        async with store.listen(lambda _what, _which: None):
            pass
    other = settings_of(project, tmp_path, DATABASE_URL=await databases.migrated())
    with pytest.raises(StoreUnreachable, match=r"(?s)not that of SUPABASE_URL.*same project"):
        async with open_settings_store(other):
            pass


async def test_more_rows_than_the_api_gives_at_once(project: Project, connection: Any) -> None:
    store = SupabaseStore(project.base, service_key(), transport=Door())
    acme = await store.ensure_organization("Acme")
    call = a_call(acme.id)
    await store.open_call(call)
    await store.append(some_events(call, *range(1, 2501)))
    assert [event.seq for event in await store.events(call.id)] == list(range(1, 2501))
    assert len(await store.calls(acme.id, limit=5000)) == 1
    await store.aclose()


@pytest.mark.parametrize(
    "key",
    [
        service_key("anon"),
        service_key("authenticated"),
        service_key(secret="another-secret-0123456789abcdef-0123"),
        "k",
    ],
    ids=["anon", "authenticated", "another secret", "no token"],
)
async def test_no_other_key_is_let_in(project: Project, key: str) -> None:
    door = Door()
    store = SupabaseStore(project.base, key, transport=door)
    call = a_call("7c9e6679-7425-40de-944b-e07fc1f90ae7")
    for asked in (
        store.check(),
        store.ensure_organization("Acme"),
        store.directory(),
        store.append(some_events(call, 1)),
        store.variables(call.organization_id),
    ):
        with pytest.raises(StoreUnreachable, match="SUPABASE_SERVICE_ROLE_KEY"):
            await asked
    await store.aclose()


async def test_every_function_is_the_service_roles_alone(connection: Any) -> None:
    found = await connection.fetch(
        "select p.oid::regprocedure::text as name, p.proconfig, p.prosecdef, array(select r from unnest(array['anon', 'authenticated', "
        "'patchbay_tool', 'service_role']) r where has_function_privilege(r, p.oid, 'execute')) as roles from pg_proc p "
        "where p.proname ~ '^patchbay_(store_|tool_(select|rpc))'"
    )
    assert len(found) > 30
    assert {tuple(row["roles"]) for row in found} == {("service_role",)}
    assert all('search_path=""' in row["proconfig"] for row in found)
    assert [row["name"] for row in found if row["prosecdef"]] == ["patchbay_store_schema()"]


async def test_a_schema_that_is_missing_or_older_is_named_with_the_remedy(databases: Databases, tmp_path: Path) -> None:
    empty = await databases.empty()
    connection = await asyncpg.connect(empty)
    await connection.execute("grant usage on schema public to service_role")
    await connection.close()
    async with served(empty, tmp_path) as store:
        with pytest.raises(StoreUnreachable, match=r"(?s)lacks a part.*supabase db push.*patchbay db migrate"):
            await store.check()


async def test_the_records_say_whether_this_release_fits(project: Project, connection: Any) -> None:
    store = SupabaseStore(project.base, service_key(), transport=Door())
    await store.check()
    records = "supabase_migrations.schema_migrations"
    removed = await connection.fetchrow(f"delete from {records} where version = $1 returning *", NEWEST)  # noqa: S608
    with pytest.raises(StoreUnreachable, match=rf"(?s)lacks 1 .*{NEWEST}.*supabase db push"):
        await store.check()
    put = f"insert into {records} (version, statements, name) values ($1, $2, $3)"  # noqa: S608 - our own names
    await connection.execute(put, removed["version"], removed["statements"], removed["name"])
    await connection.execute(put, "29990101000001", [], "patchbay_wonders")
    assert (await store.schema()).state == "newer"
    await store.check()
    await connection.execute(f"delete from {records} where version = '29990101000001'")  # noqa: S608 - our own names
    await store.aclose()


async def test_an_outage_costs_nothing_that_was_acknowledged(databases: Databases, tmp_path: Path) -> None:
    async with served(await databases.migrated(), tmp_path) as store:
        call = a_call((await store.ensure_organization("Acme")).id)
        await store.open_call(call)
        url = databases.url((await store.identity())[1])
        connection = await asyncpg.connect(url)
        cut = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()"
        await connection.execute(cut)
        await asyncio.gather(*(_until_taken(store, some_events(call, seq, seq + 1)) for seq in range(1, 9)))
        assert [event.seq for event in await store.events(call.id)] == list(range(1, 10))
        await _until_taken(store, [replace(event, event_type="again") for event in some_events(call, 1)])
        assert {event.event_type for event in await store.events(call.id)} == {"user_turn"}
        await connection.close()
        await databases.drop(url)
        with pytest.raises(StoreUnreachable):
            await store.events(call.id)


async def _until_taken(store: SupabaseStore, events: Any) -> None:
    """Send it until it is taken, as the event log's writer does."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await store.append(events)
            except StoreUnreachable:
                await asyncio.sleep(0.05)


async def test_an_answer_that_is_lost_after_the_commit_leaves_one_row(project: Project, connection: Any) -> None:
    class Lossy(Door):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await super().handle_async_request(request)
            if self.requests % 2:
                await response.aclose()
                raise httpx.ReadError("the answer is lost")
            return response

    store = SupabaseStore(project.base, service_key(), transport=Lossy())
    acme = await store.ensure_organization("Acme")
    draft = await store.save_draft(acme.id, "support", CONFIG)
    assert (draft.version, await store.version(draft.id)) == (1, draft)
    call = a_call(acme.id)
    await store.open_call(call)
    await store.append(some_events(call, 1, 2))
    assert await store.events(call.id) == some_events(call, 1, 2)
    assert await connection.fetchval("select count(*) from organization") == 1
    await store.aclose()
