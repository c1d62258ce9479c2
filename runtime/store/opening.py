"""Opens the store that the settings name: a given database, or the embedded one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from runtime.store import migrations
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.postgres import PostgresStore

__all__ = ["open_store"]


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
