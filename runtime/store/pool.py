"""Connections to a database, opened when they are needed, and what goes wrong with them as `StoreUnreachable`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, TypeVar

import asyncpg

from runtime.errors import StoreUnreachable
from runtime.store import faults

__all__ = ["Connection", "Database"]

T = TypeVar("T")
Connection = Any  # asyncpg.Connection, or what the pool hands out in its place

_CONNECT_TIMEOUT_S = 10
_STATEMENT_TIMEOUT_S = 30
_CLOSE_TIMEOUT_S = 5
# A server that lost one backend needs about this long before it takes connections again.
_RETRY_AFTER_S = 0.2


class Database:
    """A pool on the database of `url`. Connects at the first use, and again after a connection was lost.

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
        self.place = faults.place_of(url)
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
            raise faults.unreachable(self.place, error) from error

    async def dedicated(self) -> Connection:
        """Return a connection of one's own, outside the pool: LISTEN belongs to a connection. The caller closes it."""
        if self._closed:
            raise _closed()
        try:
            if self._revive is not None:
                await self._revive()
            return await asyncpg.connect(
                self._url,
                timeout=_CONNECT_TIMEOUT_S,
                command_timeout=_CONNECT_TIMEOUT_S,
                statement_cache_size=0,
                server_settings={"application_name": "patchbay listen"},
            )
        except faults.AWAY as error:
            raise faults.unreachable(self.place, error) from error

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

    async def fetch(self, query: str, *arguments: object) -> list[Any]:
        async def work(connection: Connection) -> list[Any]:
            return list(await connection.fetch(query, *arguments))

        return await self.run(work)

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
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

    async def once(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do `work` on a connection, never twice; what the database refuses comes as asyncpg's own error.

        Raises `StoreUnreachable` where there is no connection to be had, or it is lost on the way.
        """
        try:
            pool = await self._opened()
            async with pool.acquire(timeout=_CONNECT_TIMEOUT_S) as connection:
                return await work(connection)
        except faults.GONE as error:
            raise faults.unreachable(self.place, error) from error

    async def _attempt(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            pool = await self._opened()
            async with pool.acquire(timeout=_CONNECT_TIMEOUT_S) as connection, self._transaction(connection):
                return await work(connection)
        except faults.REFUSED as error:
            raise faults.refused(error) from error
        except faults.AWAY as error:
            raise faults.unreachable(self.place, error) from error

    def _transaction(self, connection: Connection) -> AbstractAsyncContextManager[object]:
        return connection.transaction() if self._pooler else nullcontext()

    async def _opened(self) -> Any:
        if self._closed:
            raise _closed()
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


def _closed() -> StoreUnreachable:
    return StoreUnreachable("The store was closed.")
