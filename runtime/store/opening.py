"""Opens the store that the settings name: Supabase over its own API, a given database, or the embedded one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runtime.errors import StoreUnreachable, Unreachable
from runtime.session.ports import Store
from runtime.settings import Settings
from runtime.store import migrations
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.migrations import SchemaStatus
from runtime.store.pool import Database
from runtime.store.postgres import PostgresStore

if TYPE_CHECKING:  # importing it brings supabase-py, which takes half a second
    from runtime.store.supabase import SupabaseStore

__all__ = [
    "database_of",
    "is_over_api",
    "is_pooled",
    "need_database_url",
    "open_settings_store",
    "open_store",
    "supabase_schema",
]

_TRANSACTION_POOLER_PORT = 6543  # Supabase's; shared/session poolers and plain servers use others
_IDENTITY = "select (select system_identifier::text from pg_catalog.pg_control_system()), pg_catalog.current_database()"


@asynccontextmanager
async def open_settings_store(settings: Settings) -> AsyncIterator[Store]:
    """Yield the store that the settings name: SUPABASE_URL, else DATABASE_URL, else the embedded Postgres of PATCHBAY_HOME.

    With SUPABASE_URL and DATABASE_URL the latter takes what comes in bulk, and tells of changes. Raises `StoreUnreachable`
    where the schema is none this release works with, and where the two settings name two databases.
    """
    async with AsyncExitStack() as stack:
        if settings.supabase_url is None:
            opening = open_store(
                settings.database_url, settings.make_home(), transaction_pooler=is_pooled(settings.database_url)
            )
            yield await stack.enter_async_context(opening)
            return
        database = None
        if settings.database_url is not None:
            database = PostgresStore(settings.database_url, transaction_pooler=is_pooled(settings.database_url))
            stack.push_async_callback(database.aclose)
        store = _over_api(settings, database)
        stack.push_async_callback(store.aclose)
        await store.check()
        if database is not None:
            await _same_database(store, database)
        yield store


@asynccontextmanager
async def open_store(
    database_url: str | None, home: Path, *, transaction_pooler: bool = False
) -> AsyncIterator[PostgresStore]:
    """Yield a store on Postgres whose schema this release works with, and close it with all that was started for it.

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
            if not database_url:
                await migrations.migrate(connection)
            await migrations.check(connection)
        yield store


def database_of(store: Store) -> Database | None:
    """Return the Postgres connections that a store has, None where there are none: in memory, and over an API alone."""
    found = getattr(store, "database", store)
    return found if isinstance(found, Database) else None


def is_over_api(settings: Settings) -> bool:
    """Whether Supabase's own API is all that the settings name."""
    return settings.supabase_url is not None and settings.database_url is None


def is_pooled(url: str | None) -> bool:
    """Whether the URL is that of a transaction pooler, by its port."""
    try:
        return url is not None and urlsplit(url).port == _TRANSACTION_POOLER_PORT
    except ValueError:  # the store says what is wrong with the URL
        return False


def need_database_url(settings: Settings, what: str) -> None:
    """Raise `Unreachable` where Supabase's own API is all that the settings name; `what` is what it cannot do."""
    if is_over_api(settings):
        raise Unreachable(
            f"{what} is not done over Supabase's API.",
            remedy="Set DATABASE_URL beside SUPABASE_URL: the project's connection string (Supabase: Connect).",
        )


async def supabase_schema(settings: Settings) -> SchemaStatus:
    """Compare the database behind SUPABASE_URL with this release, over its API; changes nothing."""
    store = _over_api(settings, None)
    try:
        return await store.schema()
    finally:
        await store.aclose()


def _over_api(settings: Settings, database: PostgresStore | None) -> SupabaseStore:
    # Half a second and 39 MB, for those who use it.
    from runtime.store.supabase import SupabaseStore  # noqa: PLC0415

    url, key = settings.supabase_url, settings.supabase_service_role_key
    return SupabaseStore(url or "", key.get_secret_value() if key else "", database=database)


async def _same_database(store: SupabaseStore, database: PostgresStore) -> None:
    """Raise `StoreUnreachable` where calls would be opened in one database and read in another."""
    server, name = await store.identity()
    ((own_server, own_name),) = await database.fetch(_IDENTITY)
    if own_name != name or (server is not None and own_server != server):
        raise StoreUnreachable(
            f"DATABASE_URL names the database {database.place}, which is not that of SUPABASE_URL, {store.place}.",
            remedy="Set DATABASE_URL to the connection string of the same project (Supabase: Connect), or unset it.",
        )
