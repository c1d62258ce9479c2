"""Opens the way to users' rows that the settings name: Postgres, or Supabase's own API where that is all there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx

from runtime.settings import Settings
from runtime.store import migrations
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.opening import is_pooled
from runtime.store.pool import Database
from runtime.store.row_access import RowAccess
from runtime.store.row_access_postgres import PostgresRowAccess
from runtime.store.supabase_rows import SupabaseRowAccess

__all__ = ["OpenedRows", "open_row_access"]


@dataclass(frozen=True, slots=True)
class OpenedRows:
    """The way to users' rows; `database` is the pool it goes over, None where that is Supabase's API."""

    access: RowAccess
    database: Database | None = None


@asynccontextmanager
async def open_row_access(settings: Settings) -> AsyncIterator[OpenedRows]:
    """Yield the way to the rows, and close it with all that was started for it.

    DATABASE_URL comes before SUPABASE_URL, and without both it is the embedded Postgres, which is migrated on the way.
    Raises `StoreUnreachable` where a given database is away or lacks this release's schema.
    """
    async with AsyncExitStack() as stack:
        url, key = settings.supabase_url, settings.supabase_service_role_key
        if url is not None and key is not None and settings.database_url is None:
            http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
            secret = settings.supabase_jwt_secret
            signing = secret.get_secret_value() if secret else None
            yield OpenedRows(SupabaseRowAccess(http, url, key.get_secret_value(), jwt_secret=signing))
        else:
            database = await _database(settings, stack)
            yield OpenedRows(PostgresRowAccess(database), database)


async def _database(settings: Settings, stack: AsyncExitStack) -> Database:
    if settings.database_url is not None:
        database = Database(settings.database_url, transaction_pooler=is_pooled(settings.database_url))
    else:
        postgres = await stack.enter_async_context(EmbeddedPostgres(settings.make_home()))
        database = Database(postgres.dsn, revive=postgres.revive)
    stack.push_async_callback(database.aclose)
    async with database.connection() as connection:
        await (migrations.check(connection) if settings.database_url else migrations.migrate(connection))
    return database
