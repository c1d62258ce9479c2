"""The stores that the contract suite runs on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest

from runtime.session.ports import OrganizationRow, Store
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.memory import MemoryStore
from runtime.store.postgres import PostgresStore
from tests.fakes.databases import Databases


@dataclass(frozen=True)
class Subject:
    """A store under test, and how to take it away from its user."""

    store: Store
    take_away: Callable[[], Awaitable[None]]


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("home")).start()
    try:
        yield Databases(server.dsn)
    finally:
        server.stop()


@pytest.fixture(
    params=[
        "memory",
        pytest.param("postgres", marks=pytest.mark.server),
        pytest.param("pooler", marks=pytest.mark.server),
    ]
)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        memory = MemoryStore()

        async def leave() -> None:
            memory.away = True

        yield Subject(memory, leave)
        return
    databases: Databases = request.getfixturevalue("databases")
    url = await databases.migrated()
    postgres = PostgresStore(url, transaction_pooler=request.param == "pooler")
    yield Subject(postgres, lambda: databases.drop(url))
    await postgres.aclose()


@pytest.fixture
def store(subject: Subject) -> Store:
    return subject.store


@pytest.fixture
async def acme(store: Store) -> OrganizationRow:
    return await store.ensure_organization("Acme")
