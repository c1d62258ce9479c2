"""The stores that the contract suite runs on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from runtime.session.ports import OrganizationRow, Store
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.memory import MemoryStore
from runtime.store.postgres import PostgresStore
from runtime.store.supabase import SupabaseStore
from tests.contract.previous_release import arguments, statements
from tests.contract.supabase_project import Door, Project, service_key, shared_project
from tests.fakes.databases import Databases
from tests.fakes.postgrest import postgrest_binary


@dataclass(frozen=True)
class Subject:
    """A store under test, how to take it away from its user, and whether it tells of changes by itself.

    `url` is its database's, None in memory; `leases`: whether it is of a release that knows them.
    """

    store: Store
    take_away: Callable[[], Awaitable[None]]
    tells: bool = True
    url: str | None = None
    leases: bool = True


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("home")).start()
    try:
        yield Databases(server.dsn)
    finally:
        server.stop()


@pytest.fixture
async def url(databases: Databases) -> str:
    """A database of the test's own, migrated."""
    return await databases.migrated()


@pytest.fixture
async def connection(url: str) -> AsyncIterator[Any]:
    """Its owner's connection."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
def project(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One PostgREST over one database for all tests: starting it takes longer than emptying it."""
    if postgrest_binary() is None:
        pytest.skip("no PostgREST: run python -m tests.fakes.postgrest")
    with shared_project(databases, tmp_path_factory.mktemp("postgrest")) as found:
        yield found


@pytest.fixture(
    params=[
        "memory",
        pytest.param("postgres", marks=pytest.mark.server),
        pytest.param("pooler", marks=pytest.mark.server),
        pytest.param("previous", marks=pytest.mark.server),
        pytest.param("supabase", marks=pytest.mark.server),
        pytest.param("supabase+database", marks=pytest.mark.server),
    ]
)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield _in_memory()
        elif request.param.startswith("supabase"):
            project = request.getfixturevalue("project")
            yield await _over_api(stack, project, with_database=request.param.endswith("database"))
        else:
            if request.param == "previous":
                _go_back(stack)
            yield await _in_postgres(stack, request.getfixturevalue("databases"), request.param)


def _in_memory() -> Subject:
    memory = MemoryStore()

    async def leave() -> None:
        memory.away = True

    return Subject(memory, leave)


async def _in_postgres(stack: AsyncExitStack, databases: Databases, kind: str) -> Subject:
    url = await databases.migrated()
    postgres = PostgresStore(url, transaction_pooler=kind == "pooler")
    stack.push_async_callback(postgres.aclose)
    return Subject(postgres, lambda: databases.drop(url), url=url, leases=kind != "previous")


def _go_back(stack: AsyncExitStack) -> None:
    """Have the store say what the previous release's said, on this release's schema."""
    patched = stack.enter_context(pytest.MonkeyPatch.context())
    for module, name, said in (*statements(), *arguments()):
        patched.setattr(module, name, said)


async def _over_api(stack: AsyncExitStack, project: Project, *, with_database: bool) -> Subject:
    await project.empty()
    door = Door()
    database = PostgresStore(project.url) if with_database else None
    store = SupabaseStore(project.base, service_key(), database=database, transport=door)
    stack.push_async_callback(store.aclose)

    async def leave() -> None:
        door.shut = True
        if database is not None:
            await database.aclose()

    if database is not None:
        stack.push_async_callback(database.aclose)
    return Subject(store, leave, tells=with_database, url=project.url)


@pytest.fixture
def store(subject: Subject) -> Store:
    return subject.store


@pytest.fixture
async def acme(store: Store) -> OrganizationRow:
    return await store.ensure_organization("Acme")
