"""What stands for a Supabase project: PostgREST over a migrated database, and the way to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import jwt

from tests.fakes.databases import Databases
from tests.fakes.postgrest import JWT_SECRET, postgrest

__all__ = ["Door", "Project", "service_key", "shared_project"]


@dataclass(frozen=True)
class Project:
    """`base` is what SUPABASE_URL would be, `url` what DATABASE_URL would be."""

    base: str
    url: str

    async def empty(self) -> None:
        """Remove every organization, and with it all that belongs to one; and every worker."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute("delete from public.organization; delete from public.worker")
        finally:
            await connection.close()


class Door(httpx.AsyncHTTPTransport):
    """Leads to PostgREST's root where Supabase's gateway has `/rest/v1`; while `shut` nobody is there."""

    def __init__(self) -> None:
        super().__init__(trust_env=False)
        self.shut = False
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        request.url = request.url.copy_with(path=request.url.path.removeprefix("/rest/v1"))
        if self.shut:
            request.url = request.url.copy_with(port=1)
        return await super().handle_async_request(request)


def service_key(role: str = "service_role", secret: str = JWT_SECRET) -> str:
    """Return a key as Supabase's (legacy) ones are: a token that names the role."""
    return jwt.encode({"role": role}, secret, algorithm="HS256")


@contextmanager
def shared_project(databases: Databases, folder: Path) -> Iterator[Project]:
    """Yield a project that outlives the event loops of the tests: it has a loop of its own, on a thread of its own."""
    with asyncio.Runner() as runner, ThreadPoolExecutor(1, thread_name_prefix="postgrest") as thread:
        url = thread.submit(runner.run, databases.migrated()).result()
        server = postgrest(url, folder)
        base = thread.submit(runner.run, server.__aenter__()).result()
        try:
            yield Project(base, url)
        finally:
            thread.submit(runner.run, server.__aexit__(None, None, None)).result()
            thread.submit(runner.close).result()
