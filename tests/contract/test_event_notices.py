"""Word of new events: once a statement, with the sessions that they are of."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from runtime.store.postgres import PostgresStore
from tests.contract.rows import a_call, some_events
from tests.fakes.databases import Databases

pytestmark = pytest.mark.server

_PATIENCE_S = 20


async def test_each_statement_names_its_sessions_once_or_says_look(databases: Databases) -> None:
    url = await databases.migrated()
    store = PostgresStore(url)
    acme = await store.ensure_organization("Acme")
    calls = [a_call(acme.id) for _ in range(101)]
    for call in calls:
        await store.open_call(call)
    told: asyncio.Queue[str] = asyncio.Queue()
    listening = await asyncpg.connect(url)
    await listening.add_listener("patchbay_events", lambda *heard: told.put_nowait(heard[3]))
    try:
        first, second = calls[:2]
        await store.append([*some_events(first, 1, 2, 3), *some_events(second, 1)])
        assert set((await asyncio.wait_for(told.get(), _PATIENCE_S)).split(",")) == {first.id, second.id}
        await store.append(some_events(first, 1))  # is there already: nothing to tell
        await store.append([event for call in calls[:100] for event in some_events(call, 10)])
        assert len((await asyncio.wait_for(told.get(), _PATIENCE_S)).split(",")) == 100
        await store.append([event for call in calls for event in some_events(call, 11)])
        assert await asyncio.wait_for(told.get(), _PATIENCE_S) == ""
        assert told.empty()
    finally:
        await listening.close()
        await store.aclose()
