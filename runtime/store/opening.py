"""Opens the store that the settings name: a given database, or the embedded one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from runtime.errors import Unreachable
from runtime.settings import Settings
from runtime.store import migrations
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.postgres import PostgresStore

__all__ = ["is_pooled", "open_settings_store", "open_store", "refuse_supabase"]

_TRANSACTION_POOLER_PORT = 6543  # Supabase's; shared/session poolers and plain servers use others


def open_settings_store(settings: Settings) -> AbstractAsyncContextManager[PostgresStore]:
    """Open the store that the settings name: DATABASE_URL, else the embedded Postgres of PATCHBAY_HOME."""
    refuse_supabase(settings)
    return open_store(settings.database_url, settings.make_home(), transaction_pooler=is_pooled(settings.database_url))


def is_pooled(url: str | None) -> bool:
    """Whether the URL is that of a transaction pooler, by its port."""
    try:
        return url is not None and urlsplit(url).port == _TRANSACTION_POOLER_PORT
    except ValueError:  # the store says what is wrong with the URL
        return False


def refuse_supabase(settings: Settings) -> None:
    """Raise `Unreachable` where Supabase's own API is all that the settings name."""
    if settings.supabase_url is not None and settings.database_url is None:
        raise Unreachable(
            "SUPABASE_URL is set, and this release does not reach Supabase over its own API yet.",
            remedy="Set DATABASE_URL to the project's connection string (Supabase: Connect), which reaches the same database.",
        )


@asynccontextmanager
async def open_store(
    database_url: str | None, home: Path, *, transaction_pooler: bool = False
) -> AsyncIterator[PostgresStore]:
    """Yield a store whose schema is this release's, and close it with all that was started for it.

    The embedded database (no `database_url`) is migrated on the way; a given one never is, for it may serve other releases:
    raises `StoreUnreachable` naming `patchbay db migrate` where it has to be.
    """
    async with AsyncExitStack() as stack:
        if database_url:
            store = PostgresStore(database_url, transaction_pooler=transaction_pooler)
        else:
            postgres = await stack.enter_async_context(EmbeddedPostgres(home))
            store = PostgresStore(postgres.dsn, revive=postgres.revive)
        stack.push_async_callback(store.aclose)
        async with store.connection() as connection:
            await (migrations.check(connection) if database_url else migrations.migrate(connection))
        yield store
