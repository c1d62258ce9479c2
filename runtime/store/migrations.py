"""Brings a database to the schema this release knows, and refuses one it cannot run on; shares its records with the Supabase CLI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, assert_never

import asyncpg

from runtime.errors import StoreUnreachable

__all__ = [
    "Migration",
    "SchemaState",
    "SchemaStatus",
    "check",
    "compare",
    "known_migrations",
    "migrate",
    "refuse_unfit",
    "status",
]

SchemaState = Literal["empty", "older", "current", "newer"]
Connection = Any  # asyncpg.Connection, or what its pool hands out in its place

# Any number will do, as long as every release takes the same one.
_ADVISORY_LOCK = 0x7061_7463_6862_6179
_OLDEST_SERVER = 15
_FILE = re.compile(r"(?P<version>\d{14})_(?P<name>\w+)\.sql")
# The records are shared with whatever else lives in the project: a migration of ours is known by its name.
_OURS = "patchbay_"
_MIGRATE = "Run: patchbay db migrate"

_PLATFORM_MISSING = """
select to_regprocedure('auth.uid()') is null or to_regprocedure('auth.jwt()') is null or to_regprocedure('auth.role()') is null
    or 3 > (select count(*) from pg_catalog.pg_roles where rolname in ('anon', 'authenticated', 'service_role'))
"""
_RECORDS = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
_HAS_RECORDS = "select to_regclass('supabase_migrations.schema_migrations') is not null"
_RECORDED = (
    "select version, to_jsonb(m) ->> 'name' as name from supabase_migrations.schema_migrations m order by version"
)
_HAS_OLDEST = "select to_regprocedure('patchbay.oldest_release()') is not null"
_OLDEST = "select patchbay.oldest_release()"
_IS_RECORDED = "select exists (select from supabase_migrations.schema_migrations where version = $1)"
_RECORD = "insert into supabase_migrations.schema_migrations (version, statements, name) values ($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `supabase/migrations`; `version` is its 14-digit timestamp."""

    version: str
    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """How a database compares with this release; all three tuples hold versions in order.

    `unknown` are Patchbay's migrations that only a later release knows, and `oldest_release` is the migration a release has
    to know to run on the schema, empty where the database does not say.
    """

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    unknown: tuple[str, ...]
    oldest_release: str = ""

    @property
    def state(self) -> SchemaState:
        if self.unknown:
            return "newer"
        if not self.pending:
            return "current"
        return "older" if self.applied else "empty"

    @property
    def fits(self) -> bool:
        """Whether this release runs on it: nothing is missing, and what a later release added is only more."""
        return not self.pending and self.oldest_release <= max(self.applied, default="")


@cache
def known_migrations() -> tuple[Migration, ...]:
    """Return this release's migrations, oldest first."""
    files = sorted((_folder() / "migrations").glob("*.sql"))
    found = ((_FILE.fullmatch(file.name), file) for file in files)
    return tuple(Migration(m["version"], m["name"], file.read_text("utf-8")) for m, file in found if m is not None)


async def status(connection: Connection) -> SchemaStatus:
    """Compare the database with this release; changes nothing."""
    recorded: Mapping[str, str | None] = {}
    if await connection.fetchval(_HAS_RECORDS):
        recorded = {row["version"]: row["name"] for row in await connection.fetch(_RECORDED)}
    oldest = await connection.fetchval(_OLDEST) if await connection.fetchval(_HAS_OLDEST) else ""
    return compare(recorded, oldest)


def compare(recorded: Mapping[str, str | None], oldest_release: str) -> SchemaStatus:
    """Compare what a database has recorded, names by version, with this release."""
    known = [migration.version for migration in known_migrations()]
    later = (v for v, name in recorded.items() if v > known[-1] and (name or _OURS).startswith(_OURS))
    return SchemaStatus(
        applied=tuple(version for version in known if version in recorded),
        pending=tuple(version for version in known if version not in recorded),
        unknown=tuple(sorted(later)),
        oldest_release=oldest_release,
    )


async def check(connection: Connection) -> None:
    """Raise `StoreUnreachable` unless the database has a schema this release works with: its own, or a later one."""
    _refuse_old_server(connection)
    refuse_unfit(await status(connection))


def refuse_unfit(found: SchemaStatus, *, remedy: str = _MIGRATE) -> None:
    """Raise `StoreUnreachable` unless this release works with the schema; `remedy` is for one that has to be migrated."""
    if found.fits:
        return
    match found.state:
        case "empty":
            raise StoreUnreachable("The database has no Patchbay tables yet.", remedy=remedy)
        case "current" | "older":
            raise StoreUnreachable(
                f"The database lacks {len(found.pending)} of this release's migrations, the first is {found.pending[0]}.",
                remedy=remedy,
            )
        case "newer":
            raise _outgrown(found)
        case other:
            assert_never(other)


async def migrate(connection: Connection) -> tuple[Migration, ...]:
    """Apply what is missing, each migration in its own transaction, and return what was applied.

    Runners that work at the same time wait for one another; a failed migration leaves the database as the one before it
    did. A database that a later release migrated is left as it is. Raises `StoreUnreachable` where it refuses us.
    """
    _refuse_old_server(connection)
    found = await status(connection)
    if found.state in {"newer", "current"}:
        return ()
    try:
        await _prepare(connection)
        return tuple([m for m in known_migrations() if await _apply(connection, m)])
    except asyncpg.InsufficientPrivilegeError as error:
        raise StoreUnreachable(
            f"The database user may not do what a migration needs: {error}.",
            remedy="Use the owner of the database in DATABASE_URL, with the right CREATEROLE, or let an administrator run: patchbay db migrate",
        ) from error
    except asyncpg.SyntaxOrAccessError as error:
        raise StoreUnreachable(
            f"A migration does not fit what is in the database: {error}.",
            remedy="Patchbay's tables live in the schema public: move away what has their names, or give Patchbay a database of its own.",
        ) from error


def _refuse_old_server(connection: Connection) -> None:
    major = connection.get_server_version().major
    if major < _OLDEST_SERVER:
        raise StoreUnreachable(
            f"The server is Postgres {major}; Patchbay needs {_OLDEST_SERVER} or later.",
            remedy="Name a later server in DATABASE_URL, or unset it: Patchbay then runs its own.",
        )


def _outgrown(found: SchemaStatus) -> StoreUnreachable:
    newest = known_migrations()[-1].version
    if found.pending:
        lacking = f"lacks {found.pending[0]}, which this release needs"
    else:
        lacking = f"asks for a release that knows {found.oldest_release}; this one knows up to {newest}"
    return StoreUnreachable(
        f"The database has migration {found.unknown[-1]} of a later release, and {lacking}.",
        remedy="Install the Patchbay release that migrated it, or a later one, and run: patchbay db migrate",
    )


async def _prepare(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", _ADVISORY_LOCK)
        if await connection.fetchval(_PLATFORM_MISSING):
            await connection.execute((_folder() / "shim.sql").read_text("utf-8"))
        await connection.execute(_RECORDS)


async def _apply(connection: Connection, migration: Migration) -> bool:
    async with connection.transaction():
        # Of the transaction, not of the session: a transaction pooler gives the next statement to another session.
        await connection.execute("select pg_advisory_xact_lock($1)", _ADVISORY_LOCK)
        if await connection.fetchval(_IS_RECORDED, migration.version):
            return False
        await connection.execute(migration.sql)
        await connection.execute(_RECORD, migration.version, [migration.sql], migration.name)
        return True


@cache
def _folder() -> Path:
    """Return the folder with the SQL: of a checkout, or of an installed wheel (which carries it inside `cli`)."""
    root = Path(__file__).parents[2]
    for folder in (root / "supabase", root / "cli" / "_supabase"):
        # An environment's `supabase/` may be the Python package of that name.
        if (folder / "shim.sql").is_file():
            return folder
    raise StoreUnreachable(f"Patchbay's migrations are missing below {root}.", remedy="Install Patchbay anew.")
