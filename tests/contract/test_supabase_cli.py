"""The Supabase CLI's own commands on our migrations: it takes them, knows them from ours, and its advisors find nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from runtime.store import migrations
from tests.fakes.databases import Databases
from tests.fakes.supabase_cli import SupabaseCli, over_tcp, supabase_cli

pytestmark = [pytest.mark.server, pytest.mark.timeout(170)]

Connection = Any

SHIM = Path(__file__).parents[2] / "supabase" / "shim.sql"
EXTENSIONS = "create schema extensions; grant usage on schema extensions to anon, authenticated, service_role"
VERSIONS = [migration.version for migration in migrations.known_migrations()]


@pytest.fixture
async def connection(databases: Databases) -> AsyncIterator[Connection]:
    """A database as a new project has it: with the platform's roles and schemas, without anything of ours."""
    connection = await asyncpg.connect(await databases.empty())
    await connection.execute(SHIM.read_text("utf-8"))
    await connection.execute(EXTENSIONS)
    yield connection
    await connection.close()


@pytest.fixture
async def cli(connection: Connection, databases: Databases, tmp_path: Path) -> AsyncIterator[SupabaseCli]:
    name = await connection.fetchval("select current_database()")
    async with over_tcp(databases.url(name)) as url:
        found = supabase_cli(tmp_path, url)
        if found is None:
            pytest.skip("no Supabase CLI: run python -m tests.fakes.supabase_cli")
        yield found


async def test_push_takes_every_migration_and_the_advisors_find_nothing(
    cli: SupabaseCli, connection: Connection
) -> None:
    pushed = await cli("db", "push", "--include-seed", "--yes")
    assert pushed.code == 0, pushed.stderr
    listed = json.loads((await cli("migration", "list", "--output-format", "json")).stdout)["migrations"]
    assert [(row["local"], row["remote"]) for row in listed] == [(version, version) for version in VERSIONS]
    assert (await migrations.status(connection)).state == "current"
    assert await migrations.migrate(connection) == ()
    assert await connection.fetchval("select name from public.organization") == "local"
    advice = await cli("db", "advisors", "--type", "all", "--level", "warn", "--output-format", "json")
    assert advice.code == 0, advice.stderr
    assert [(each["name"], each["detail"]) for each in json.loads(advice.stdout)["results"]] == []


async def test_the_cli_knows_what_our_runner_applied(cli: SupabaseCli, connection: Connection) -> None:
    await migrations.migrate(connection)
    listed = json.loads((await cli("migration", "list", "--output-format", "json")).stdout)["migrations"]
    assert [(row["local"], row["remote"]) for row in listed] == [(version, version) for version in VERSIONS]
    pushed = await cli("db", "push", "--dry-run")
    assert pushed.code == 0, pushed.stderr
    assert "up to date" in pushed.stdout + pushed.stderr
    again = await cli("migration", "up", "--yes")
    assert again.code == 0, again.stderr
