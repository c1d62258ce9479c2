"""Word of changes from Postgres: what is in its way is named, and a lost connection is made anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.errors import StoreUnreachable
from runtime.session.ports import NotNotified
from runtime.store.postgres import PostgresStore
from tests.contract.rows import CONFIG
from tests.fakes.pgbouncer import PGBOUNCER, transaction_pooler

pytestmark = pytest.mark.server

_PATIENCE_S = 20
_CUT = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'patchbay listen' and datname = current_database()"


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url)
    yield store
    await store.aclose()


async def cut(store: PostgresStore) -> int:
    """End every connection that listens, and return how many there were."""
    async with store.connection() as connection:
        return len(await connection.fetch(_CUT))


async def test_a_lost_connection_is_made_anew_and_says_so(store: PostgresStore) -> None:
    acme = await store.ensure_organization("Acme")
    told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    async with store.listen(lambda what, which: told.put_nowait((what, which))):
        assert await cut(store) == 1
        what, reason = await asyncio.wait_for(told.get(), _PATIENCE_S)
        assert (what, "closed" in reason) == ("lost", True)
        assert await asyncio.wait_for(told.get(), _PATIENCE_S) == ("everything", "")
        version = await store.publish((await store.save_draft(acme.id, "support", CONFIG)).id)
        assert await asyncio.wait_for(told.get(), _PATIENCE_S) == ("workflow_version", version.id)
    assert await cut(store) == 0


async def test_a_connection_that_does_not_answer_is_made_anew(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.store.listening._HEARTBEAT_S", 0.05)
    monkeypatch.setattr("runtime.store.listening._HEARTBEAT", "select pg_sleep(1)")
    monkeypatch.setattr("runtime.store.listening._HEARTBEAT_PATIENCE_S", 0.1)
    told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    async with store.listen(lambda what, which: told.put_nowait((what, which))):
        what, reason = await asyncio.wait_for(told.get(), _PATIENCE_S)
        assert (what, "does not answer" in reason) == ("lost", True)
        assert await asyncio.wait_for(told.get(), _PATIENCE_S) == ("everything", "")


async def test_two_listen_side_by_side(store: PostgresStore) -> None:
    acme = await store.ensure_organization("Acme")
    told: asyncio.Queue[str] = asyncio.Queue()
    async with (
        store.listen(lambda _what, which: told.put_nowait(f"1 {which}")),
        store.listen(lambda _what, which: told.put_nowait(f"2 {which}")),
    ):
        await store.set_variable(acme.id, "A", "1", is_secret=False)
        heard = {await asyncio.wait_for(told.get(), _PATIENCE_S) for _ in range(2)}
    assert heard == {f"1 {acme.id}", f"2 {acme.id}"}


async def test_a_server_that_is_away_is_named() -> None:
    store = PostgresStore("postgresql://me:hunter2@127.0.0.1:1/calls")
    with pytest.raises(StoreUnreachable, match=r"127.0.0.1:1/calls") as caught:
        async with store.listen(lambda _what, _which: None):
            pass
    assert not isinstance(caught.value, NotNotified)
    assert "hunter2" not in str(caught.value)


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
async def test_a_transaction_pooler_in_the_way_is_named(url: str, tmp_path: Path) -> None:
    async with transaction_pooler(url, tmp_path) as pooled:
        store = PostgresStore(pooled, transaction_pooler=True)
        acme = await store.ensure_organization("Acme")
        with pytest.raises(NotNotified, match=r"(?s)transaction pooler .*6543.*port 5432"):
            async with store.listen(lambda _what, _which: None):
                pass
        assert acme.id in (await store.directory()).organizations
        await store.aclose()
