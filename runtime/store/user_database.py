"""A database as one user has it: each operation is one transaction that became the user first, row security in force."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg

from runtime.store.pool import Connection, Database
from runtime.store.row_access import Claims, RowsFault
from runtime.store.row_access_postgres import become

__all__ = ["UserDatabase"]

T = TypeVar("T")


class UserDatabase(Database):
    """`database` under the role of `claims`, for what is written over a `Database`. It does not own that one.

    What the role may not do is a `RowsFault` of kind `forbidden`.
    """

    def __init__(self, database: Database, claims: Claims) -> None:
        self.place = database.place
        self._database = database
        self._claims = claims

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection for one transaction of the user's."""
        async with self._database.connection() as connection, connection.transaction():
            await become(connection, self._claims)
            yield connection

    async def dedicated(self) -> Connection:
        """Raise: a connection that outlives a transaction is nobody's but the process's."""
        raise RowsFault("forbidden", "A user has no connection of their own.")

    async def aclose(self) -> None:
        """Do nothing: the connections belong to the database underneath."""

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._database.run(self._as_user(work))

    async def once(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._database.once(self._as_user(work))

    def _as_user(self, work: Callable[[Connection], Awaitable[T]]) -> Callable[[Connection], Awaitable[Any]]:
        async def as_user(connection: Connection) -> T:
            try:
                async with connection.transaction():
                    await become(connection, self._claims)
                    return await work(connection)
            except asyncpg.InsufficientPrivilegeError as error:  # elsewhere it means a database that is set up wrongly
                raise RowsFault("forbidden", str(error), sqlstate="42501") from error

        return as_user
