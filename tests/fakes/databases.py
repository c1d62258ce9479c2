"""Databases for tests: one embedded server for a test run, and for each test a copy of a migrated template."""

from __future__ import annotations

from itertools import count
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from runtime.store.migrations import migrate

__all__ = ["Databases"]

_TEMPLATE = "patchbay_template"


class Databases:
    """Makes databases on the server of `dsn`; each is gone with the server."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._numbers = count(1)
        self._has_template = False

    def url(self, name: str) -> str:
        return urlunsplit(urlsplit(self._dsn)._replace(path=f"/{name}"))

    async def migrated(self) -> str:
        """Return the URL of a fresh database with this release's schema (about 25 ms)."""
        if not self._has_template:
            self._has_template = True
            # What a power cut would lose is lost here anyway.
            await self._execute("alter system set fsync = off")
            await self._execute("select pg_reload_conf()")
            await self._create(_TEMPLATE, "template1")
            connection = await asyncpg.connect(self.url(_TEMPLATE))
            await migrate(connection)
            await connection.close()
        return await self._create(f"test_{next(self._numbers)}", _TEMPLATE)

    async def empty(self) -> str:
        """Return the URL of a fresh database without any schema of ours."""
        return await self._create(f"test_{next(self._numbers)}", "template1")

    async def drop(self, url: str) -> None:
        await self._execute(f'drop database "{urlsplit(url).path[1:]}" with (force)')

    async def _create(self, name: str, template: str) -> str:
        await self._execute(f'create database "{name}" template "{template}"')
        return self.url(name)

    async def _execute(self, sql: str) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()
