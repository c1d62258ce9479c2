"""The builder's own tables and functions as tools see them: under the role `patchbay_tool`, one organization's rows only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal, Protocol

import httpx

from runtime.settings import Settings
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.opening import is_pooled
from runtime.store.pool import Database
from runtime.store.tool_database_postgres import PostgresTransport
from runtime.store.tool_database_postgrest import PostgrestTransport, ServiceTransport

__all__ = ["Condition", "ToolDatabase", "ToolDatabases", "Transport", "open_tool_database"]

Json = Any
Condition = tuple[str, str, Json]
"""Column, operator and value."""

_MAX_CONNECTIONS = 4


class Transport(Protocol):
    """A way to the two SQL functions that do the work; the same answers and faults on each."""

    async def call(
        self,
        organization_id: str,
        function: Literal["patchbay_select", "patchbay_rpc"],
        arguments: Mapping[str, Json],
        timeout_s: float,
    ) -> Json:
        """Return the function's JSON; raises `ToolDatabaseFault`."""
        ...


class ToolDatabase:
    """What one organization's tools may read and call. Every method raises `ToolDatabaseFault`."""

    def __init__(self, transport: Transport, organization_id: str) -> None:
        self._transport = transport
        self._organization_id = organization_id

    async def select(
        self,
        table: str,
        *,
        columns: Sequence[str] = (),
        filters: Sequence[Condition] = (),
        order: Sequence[tuple[str, bool]] = (),
        limit: int = 20,
        timeout_s: float = 10.0,
    ) -> list[dict[str, Json]]:
        """Return rows of an exposed table (`table` or `schema.table`), at most 1000; an order's bool means descending."""
        query = {
            "table": table,
            "columns": list(columns),
            "filters": [{"column": column, "operator": how, "value": value} for column, how, value in filters],
            "order": [{"column": column, "descending": descending} for column, descending in order],
            "limit": limit,
        }
        rows = await self._transport.call(self._organization_id, "patchbay_select", {"query": query}, timeout_s)
        return list(rows)

    async def rpc(self, function: str, arguments: Mapping[str, Json], *, timeout_s: float = 10.0) -> Json:
        """Return what an exposed function returns for named arguments; a set of rows as a list. Never done twice."""
        named = {"called": function, "arguments": dict(arguments)}
        return await self._transport.call(self._organization_id, "patchbay_rpc", named, timeout_s)


class ToolDatabases:
    """The databases of a process's organizations, over one transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def of(self, organization_id: str) -> ToolDatabase:
        """Return the organization's own; costs nothing."""
        return ToolDatabase(self._transport, organization_id)


@asynccontextmanager
async def open_tool_database(settings: Settings, http: httpx.AsyncClient | None = None) -> AsyncIterator[ToolDatabases]:
    """Yield the way to the database that the settings name, and close it; nothing connects before the first query.

    With SUPABASE_URL it leads over Supabase's API where SUPABASE_JWT_SECRET is there too, or no DATABASE_URL is; else over
    Postgres: DATABASE_URL or the embedded one. `http` belongs to whoever opened it; it is not the tools' own client, for
    the operator's SUPABASE_URL may be on loopback. Without it one is opened here.
    """
    async with AsyncExitStack() as stack:
        if settings.supabase_url is None or (settings.database_url and settings.supabase_jwt_secret is None):
            yield ToolDatabases(await _over_postgres(settings, stack))
        else:
            client = http if http is not None else await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
            yield ToolDatabases(_over_api(settings, settings.supabase_url, client))


def _over_api(settings: Settings, url: str, http: httpx.AsyncClient) -> Transport:
    secret, key = settings.supabase_jwt_secret, settings.supabase_service_role_key
    api_key = "" if key is None else key.get_secret_value()
    if secret is None:
        return ServiceTransport(http, url, api_key)
    return PostgrestTransport(http, url, secret.get_secret_value(), api_key=api_key)


async def _over_postgres(settings: Settings, stack: AsyncExitStack) -> PostgresTransport:
    """Return the way over a pool of the tools' own: a slow query of theirs must not keep the store from writing events."""
    if settings.database_url:
        pooler = is_pooled(settings.database_url)
        database = Database(settings.database_url, transaction_pooler=pooler, max_connections=_MAX_CONNECTIONS)
        transport = PostgresTransport(database)
    else:
        postgres = await stack.enter_async_context(EmbeddedPostgres(settings.make_home()))
        database = Database(postgres.dsn, max_connections=_MAX_CONNECTIONS)
        transport = PostgresTransport(database, revive=postgres.revive)
    stack.push_async_callback(database.aclose)
    return transport
