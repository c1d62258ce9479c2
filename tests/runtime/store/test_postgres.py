from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runtime.errors import StoreUnreachable, UsageFault
from runtime.store.opening import open_store
from runtime.store.postgres import PostgresStore
from tests.contract.rows import a_call, some_events
from tests.fakes.databases import Databases


@pytest.mark.parametrize("url", ["mysql://root@localhost/x", "not a url", "postgresql://h:port/x"])
def test_what_is_no_postgres_url_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageFault, match="DATABASE_URL"):
        PostgresStore(url)


async def test_a_server_that_is_away_is_named_without_its_password() -> None:
    store = PostgresStore("postgresql://me:hunter2@127.0.0.1:1/calls")
    with pytest.raises(StoreUnreachable, match=r"127.0.0.1:1/calls") as caught:
        await store.workflows("x")
    assert "hunter2" not in str(caught.value)
    await store.aclose()


async def test_a_closed_store_stays_closed() -> None:
    store = PostgresStore("postgresql://127.0.0.1:1/calls")
    await store.aclose()
    with pytest.raises(StoreUnreachable, match="closed"):
        await store.workflows("x")


@pytest.mark.server
async def test_lost_connections_cost_the_caller_nothing(databases: Databases) -> None:
    store = PostgresStore(await databases.migrated())
    call = a_call((await store.ensure_organization("Acme")).id)
    await store.open_call(call)
    await asyncio.gather(*(store.append(some_events(call, seq)) for seq in range(1, 6)))
    async with store.connection() as connection:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()"
        )
    await asyncio.gather(*(store.append(some_events(call, seq)) for seq in range(4, 10)))
    assert [event.seq for event in await store.events(call.id)] == list(range(1, 10))
    await store.aclose()


@pytest.mark.server
async def test_a_given_database_is_never_migrated_in_silence(databases: Databases, tmp_path: Path) -> None:
    url = await databases.empty()
    with pytest.raises(StoreUnreachable, match="patchbay db migrate"):
        async with open_store(url, tmp_path):
            pass
    async with open_store(await databases.migrated(), tmp_path) as store:
        assert (await store.ensure_organization("Acme")).name == "Acme"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.server
async def test_a_schema_that_went_away_is_named_with_the_remedy(databases: Databases) -> None:
    store = PostgresStore(await databases.empty())
    with pytest.raises(StoreUnreachable, match=r"(?s)lacks a part.*patchbay db migrate"):
        await store.ensure_organization("Acme")
    await store.aclose()
