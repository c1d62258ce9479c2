"""Opens for a command what it needs: the settings' store, its organization and its keyring."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar, assert_never

from cli.logs import log_to_stderr
from cli.loop import run
from cli.output import hint
from runtime.session.drain import drain
from runtime.session.ports import OrganizationRow, Store
from runtime.settings import Settings
from runtime.store import migrations
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.opening import is_over_api, is_pooled, need_database_url, open_settings_store, supabase_schema
from runtime.store.postgres import PostgresStore
from runtime.store.secrets import Keyring, open_keyring

__all__ = [
    "CliStore",
    "database_url",
    "describe",
    "log_to_stderr",
    "migrate_database",
    "open_cli_store",
    "schema_status",
    "with_store",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CliStore:
    """An opened store, and whose workflows, secrets and sessions the command means."""

    store: Store
    organization: OrganizationRow
    settings: Settings

    @property
    def keyring(self) -> Keyring:
        """PATCHBAY_SECRET_KEY, else the key in PATCHBAY_HOME, made once; raises UsageFault where neither can be used."""
        key = self.settings.secret_key
        return open_keyring(key.get_secret_value() if key else None, self.settings.home)


@asynccontextmanager
async def open_cli_store(settings: Settings) -> AsyncIterator[CliStore]:
    """Yield the store that the settings name, after sending what dead processes left in their logs.

    Without DATABASE_URL it is the embedded Postgres, started and migrated on the way. PATCHBAY_ORG is made where it is
    missing. Raises Unreachable, and UsageFault where PATCHBAY_HOME cannot be used.
    """
    async with _opened(settings) as store:
        report = await drain(settings.events_folder, store, report=lambda _code, message: hint(message))
        if report.events:
            hint(f"Recovered {report.events} events of {report.calls} sessions whose process had ended.")
        yield CliStore(store, await store.ensure_organization(settings.org), settings)


def with_store(work: Callable[[CliStore], Awaitable[T]]) -> T:
    """Load the settings, open the store, do `work` and close it again; for commands that are nothing else."""
    settings = Settings.load()
    log_to_stderr(settings)

    async def opened_and_closed() -> T:
        async with open_cli_store(settings) as opened:
            return await work(opened)

    return run(opened_and_closed())


async def schema_status(settings: Settings) -> migrations.SchemaStatus:
    """Compare the database with this release; changes nothing, but starts the embedded one for as long as it takes."""
    if is_over_api(settings):
        return await supabase_schema(settings)
    async with _unmigrated(settings) as store, store.connection() as connection:
        return await migrations.status(connection)


async def migrate_database(settings: Settings) -> tuple[migrations.Migration, ...]:
    """Bring the database to this release's schema and return what was applied."""
    need_database_url(settings, "Migrating a database")
    async with _unmigrated(settings) as store, store.connection() as connection:
        return await migrations.migrate(connection)


async def database_url(settings: Settings) -> str:
    """Return DATABASE_URL, else the embedded Postgres's, which is started to know it."""
    need_database_url(settings, "Connecting to the database itself")
    if settings.database_url is not None:
        return settings.database_url
    async with EmbeddedPostgres(settings.make_home()) as postgres:
        return postgres.dsn


def describe(status: migrations.SchemaStatus) -> str:
    """Say in words how the schema compares with this release's."""
    match status.state:
        case "empty":
            return "no Patchbay tables yet"
        case "older":
            return f"{len(status.pending)} migrations to apply, the first is {status.pending[0]}"
        case "current":
            return f"current ({status.applied[-1]})"
        case "newer":
            return f"newer than this release: {status.unknown[-1]}"
        case other:
            assert_never(other)


def _opened(settings: Settings) -> AbstractAsyncContextManager[Store]:
    return open_settings_store(settings)


@asynccontextmanager
async def _unmigrated(settings: Settings) -> AsyncIterator[PostgresStore]:
    """Yield the store whatever its schema is."""
    async with AsyncExitStack() as stack:
        url = settings.database_url
        if url is None:
            url = (await stack.enter_async_context(EmbeddedPostgres(settings.make_home()))).dsn
        store = PostgresStore(url, transaction_pooler=is_pooled(url))
        stack.push_async_callback(store.aclose)
        yield store
