"""The store on Postgres, by asyncpg: hosted Supabase, any server from version 15 on, or the embedded one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, TypeVar

import asyncpg

from runtime.errors import StoreUnreachable
from runtime.session.ports import (
    CallRow,
    EventRow,
    OrganizationRow,
    TestSessionRow,
    VersionRow,
    WorkflowRow,
    WorkspaceVariableRow,
)
from runtime.store import faults, queries, rows

__all__ = ["PostgresStore"]

T = TypeVar("T")
Connection = Any  # asyncpg.Connection, or what the pool hands out in its place

_CONNECT_TIMEOUT_S = 10
_STATEMENT_TIMEOUT_S = 30
_CLOSE_TIMEOUT_S = 5
# A server that lost one backend needs about this long before it takes connections again.
_RETRY_AFTER_S = 0.2


class PostgresStore:
    """A `Store` on the database of `url`. Connects at the first use, and again after a connection was lost.

    `transaction_pooler` is for Supabase's port 6543 and PgBouncer in transaction mode: no prepared statements, and each
    operation is a transaction. `revive` is awaited once before an operation that found the database away is tried again.
    """

    def __init__(
        self,
        url: str,
        *,
        transaction_pooler: bool = False,
        max_connections: int = 8,
        revive: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._place = faults.place_of(url)
        self._url = url
        self._pooler = transaction_pooler
        self._max_connections = max_connections
        self._revive = revive
        self._pool: Any = None
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection, for migrations and LISTEN; what is wrong with the database comes as `StoreUnreachable`."""
        try:
            pool = await self._opened()
            async with pool.acquire(timeout=_CONNECT_TIMEOUT_S) as connection:
                yield connection
        except faults.AWAY as error:
            raise faults.unreachable(self._place, error) from error

    async def ensure_organization(self, name: str) -> OrganizationRow:
        async def work(connection: Connection) -> OrganizationRow:
            found = await connection.fetchrow(queries.ORGANIZATION, name)
            if found is None:
                async with connection.transaction():
                    await connection.execute(queries.ORGANIZATION_LOCK, name)
                    found = await connection.fetchrow(queries.ORGANIZATION, name)
                    found = found or await connection.fetchrow(queries.ORGANIZATION_INSERT, name)
            return OrganizationRow(id=str(found["id"]), name=found["name"])

        return await self._run(work)

    async def save_draft(self, organization_id: str, workflow_name: str, config: Mapping[str, Any]) -> VersionRow:
        content = rows.as_json(dict(config))

        async def work(connection: Connection) -> VersionRow:
            version_id = await connection.fetchval(queries.SAVE_DRAFT, organization_id, workflow_name, content)
            return rows.version_row(await connection.fetchrow(queries.VERSION, version_id))

        return await self._run(work)

    async def publish(self, version_id: str) -> VersionRow:
        async def work(connection: Connection) -> VersionRow:
            await connection.fetchval(queries.PUBLISH, rows.as_uuid(version_id))
            return await _version(connection, version_id)

        return await self._run(work)

    async def version(self, version_id: str) -> VersionRow:
        return await self._run(lambda connection: _version(connection, version_id))

    async def published_version(self, organization_id: str, workflow: str) -> VersionRow:
        async def work(connection: Connection) -> VersionRow:
            workflow_id = await _workflow_id(connection, organization_id, workflow)
            found = await connection.fetchrow(queries.VERSION_PUBLISHED, workflow_id)
            if found is None:
                numbers = await connection.fetch(queries.VERSION_NUMBERS, workflow_id)
                raise faults.no_published(workflow, [row["version"] for row in numbers])
            return rows.version_row(found)

        return await self._run(work)

    async def workflows(self, organization_id: str) -> list[WorkflowRow]:
        return [rows.workflow_row(row) for row in await self._fetch(queries.WORKFLOWS, organization_id)]

    async def versions(self, organization_id: str, workflow: str) -> list[VersionRow]:
        async def work(connection: Connection) -> list[VersionRow]:
            workflow_id = await _workflow_id(connection, organization_id, workflow)
            return [rows.version_row(row) for row in await connection.fetch(queries.VERSIONS, workflow_id)]

        return await self._run(work)

    async def set_variable(self, organization_id: str, name: str, value: str, *, is_secret: bool) -> None:
        await self._fetch(queries.VARIABLE_SET, organization_id, name, value, is_secret)

    async def remove_variable(self, organization_id: str, name: str) -> None:
        if not await self._fetch(queries.VARIABLE_REMOVE, organization_id, name):
            raise faults.no_variable(name, [variable.name for variable in await self.variables(organization_id)])

    async def variables(self, organization_id: str) -> list[WorkspaceVariableRow]:
        return [WorkspaceVariableRow(**row) for row in await self._fetch(queries.VARIABLES, organization_id)]

    async def open_call(self, row: CallRow) -> None:
        await self._fetch(queries.CALL_OPEN, *rows.call_arguments(row))

    async def append(self, events: Sequence[EventRow]) -> None:
        if events:
            columns = rows.event_columns(events)
            await self._run(lambda connection: connection.execute(queries.APPEND, *columns))

    async def close_call(self, row: CallRow) -> None:
        variables = rows.as_json(dict(row.variables))
        found = await self._fetch(
            queries.CALL_CLOSE,
            rows.as_uuid(row.id),
            row.ended_at,
            row.status,
            row.end_reason,
            variables,
            row.answered_at,
            row.cost,
        )
        if not found:
            raise faults.no_call(row.id)

    async def call(self, session_id: str) -> CallRow:
        found = await self._fetch(queries.CALL, rows.as_uuid(session_id))
        if not found:
            raise faults.no_call(session_id)
        return rows.call_row(found[0])

    async def calls(self, organization_id: str, *, limit: int = 20, tests: bool = True) -> list[CallRow]:
        return [rows.call_row(row) for row in await self._fetch(queries.CALLS, organization_id, limit, tests)]

    async def events(self, session_id: str) -> list[EventRow]:
        found = await self._fetch(queries.EVENTS, rows.as_uuid(session_id))
        if not found:
            await self.call(session_id)
        return [rows.event_row(row) for row in found]

    async def save_test(self, row: TestSessionRow) -> None:
        await self._fetch(queries.TEST_SAVE, *rows.test_arguments(row))

    async def tests(self, organization_id: str, *, limit: int = 20) -> list[TestSessionRow]:
        return [rows.test_row(row) for row in await self._fetch(queries.TESTS, organization_id, limit)]

    async def aclose(self) -> None:
        """Close the connections; what is under way gets 5 s. Idempotent."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), _CLOSE_TIMEOUT_S)
        except TimeoutError:
            pool.terminate()

    async def _fetch(self, query: str, *arguments: object) -> list[Any]:
        async def work(connection: Connection) -> list[Any]:
            return list(await connection.fetch(query, *arguments))

        return await self._run(work)

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do `work` on a connection; once more where the database was away, for every operation may be repeated."""
        try:
            return await self._attempt(work)
        except StoreUnreachable as away:
            if self._closed or isinstance(away.__cause__, TimeoutError):
                raise
        if self._revive is not None:
            await self._revive()
        await asyncio.sleep(_RETRY_AFTER_S)
        return await self._attempt(work)

    async def _attempt(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            pool = await self._opened()
            async with pool.acquire(timeout=_CONNECT_TIMEOUT_S) as connection, self._transaction(connection):
                return await work(connection)
        except faults.REFUSED as error:
            raise faults.refused(error) from error
        except faults.AWAY as error:
            raise faults.unreachable(self._place, error) from error

    def _transaction(self, connection: Connection) -> AbstractAsyncContextManager[object]:
        return connection.transaction() if self._pooler else nullcontext()

    async def _opened(self) -> Any:
        if self._closed:
            raise StoreUnreachable("The store was closed.")
        if self._pool is None:
            # Without a floor the pool connects to nothing here, so awaiting it does not let another task in between.
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=self._max_connections,
                timeout=_CONNECT_TIMEOUT_S,
                command_timeout=_STATEMENT_TIMEOUT_S,
                statement_cache_size=0 if self._pooler else 100,
                server_settings={"application_name": "patchbay"},
            )
        return self._pool


async def _version(connection: Connection, version_id: str) -> VersionRow:
    found = await connection.fetchrow(queries.VERSION, rows.as_uuid(version_id))
    if found is None:
        raise faults.no_version(version_id)
    return rows.version_row(found)


async def _workflow_id(connection: Connection, organization_id: str, workflow: str) -> Any:
    found = await connection.fetchval(queries.WORKFLOW_ID, organization_id, workflow)
    if found is None:
        names = await connection.fetch(queries.WORKFLOW_NAMES, organization_id)
        raise faults.no_workflow(workflow, [row["name"] for row in names])
    return found
