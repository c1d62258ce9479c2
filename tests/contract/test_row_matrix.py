"""Every table and view of ours × everyone who may ask × two tenants: what select, insert, update and delete do.

The tables come from the catalogue, so a new one cannot be forgotten: what is not named here is read by every member and
written by nobody.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import pytest

from runtime.store.postgres import PostgresStore
from tests.contract.tenants import ROLES, Tenant, acting, fill, relations
from tests.fakes.databases import Databases

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

Connection = Any
OWNER: Final = frozenset({"owner"})
BUILDERS: Final = frozenset({"owner", "builder"})
MEMBERS: Final = frozenset(ROLES)
NOBODY: Final[frozenset[str]] = frozenset()

READERS: Final[Mapping[str, frozenset[str]]] = {
    "api_key": OWNER,
    "audit_log": BUILDERS,
    "after_call": NOBODY,
    "call_checkpoint": NOBODY,
    "call_lease": NOBODY,
    "call_secret": NOBODY,
    "idempotency_key": NOBODY,
    "live_ticket": NOBODY,
    "worker": NOBODY,
    "fleet": NOBODY,
}
SHARED: Final = frozenset({"price"})
# What belongs to no organization by a column of its own, and the column that tells by what it belongs to one.
TOLD_BY: Final[Mapping[str, str]] = {
    "organization": "id",
    "knowledge_lexeme": "knowledge_base_id",
    "call_secret": "session_id",
}
# With a column that each has.
BELONGS_TO_NOBODY: Final[Mapping[str, str]] = {
    "price": "provider",
    "idempotency_key": "actor",
    "live_ticket": "ticket_hash",
    "worker": "id",
    "fleet": "id",
}
# What is filled by an extension's own test, or by nothing here.
EMPTY: Final = frozenset({"knowledge_vector", "idempotency_key", "live_ticket"})
WRITERS: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "organization": {"update": OWNER},
    "organization_member": {"insert": OWNER, "update": OWNER, "delete": OWNER},
    "workflow": {"insert": BUILDERS, "update": BUILDERS, "delete": BUILDERS},
    "workflow_version": {"insert": BUILDERS, "update": BUILDERS, "delete": BUILDERS},
    "workspace_variable": {"insert": BUILDERS, "update": BUILDERS, "delete": BUILDERS},
    "phone_number": {"insert": BUILDERS, "update": BUILDERS, "delete": BUILDERS},
    "knowledge_base": {"insert": BUILDERS, "update": BUILDERS, "delete": BUILDERS},
    "knowledge_document": {"insert": BUILDERS, "update": BUILDERS, "delete": BUILDERS},
    "knowledge_chunk": {"insert": BUILDERS, "delete": BUILDERS},
    "knowledge_lexeme": {"insert": BUILDERS, "delete": BUILDERS},
    "knowledge_vector": {"insert": BUILDERS, "delete": BUILDERS},
    "api_key": {"insert": OWNER, "update": OWNER},
}
# Whatever says that somebody has passed the policies: what is there already, still in use, or does not change any more.
PASSED: Final = (asyncpg.IntegrityConstraintViolationError,)


@dataclass(frozen=True)
class Asker:
    """Who asks: a database role, as a user or by an API key; `role` is theirs in their organization, if any."""

    name: str
    database_role: str
    role: str | None = None
    user: UUID | None = None
    key: UUID | None = None
    tenant: Tenant | None = None

    def of(self, allowed: frozenset[str]) -> bool:
        return self.role in allowed


@dataclass(frozen=True)
class World:
    connection: Connection
    tenants: tuple[Tenant, Tenant]
    tables: tuple[str, ...]
    views: tuple[str, ...]

    def askers(self) -> Iterator[Asker]:
        for mine in self.tenants:
            for role in ROLES:
                yield Asker(f"{role}", "authenticated", role, user=mine.members[role], tenant=mine)
                yield Asker(f"key of {role}", "authenticated", role, key=mine.keys[role], tenant=mine)
        yield Asker("stranger", "authenticated", user=uuid4())
        yield Asker("unknown key", "authenticated", key=uuid4())
        for how, key in self.tenants[0].ended_keys.items():
            yield Asker(f"{how} key", "authenticated", key=key)
        yield Asker("nobody in particular", "authenticated")
        yield Asker("anon", "anon")
        yield Asker("anon with a user's id", "anon", user=self.tenants[0].members["owner"])

    def acting(self, asker: Asker) -> Any:
        return acting(self.connection, asker.database_role, asker.user, asker.key)

    def others(self, asker: Asker) -> list[Tenant]:
        return [tenant for tenant in self.tenants if tenant is not asker.tenant]

    async def columns(self, table: str, privilege: str) -> list[str]:
        """The columns that `authenticated` may use so."""
        found = await self.connection.fetch(
            "select a.attname from pg_attribute a where a.attrelid = ('public.' || $1)::regclass and a.attnum > 0 "
            "and not a.attisdropped and has_column_privilege('authenticated', a.attrelid, a.attnum, $2) order by a.attnum",
            table,
            privilege,
        )
        return [row[0] for row in found]


@pytest.fixture
async def world(databases: Databases) -> AsyncIterator[World]:
    url = await databases.migrated()
    connection = await asyncpg.connect(url)
    store = PostgresStore(url)
    await connection.execute(
        "insert into price (provider, model, unit, price) values ('openai', 'gpt-4o-mini', 'input_token', 0.00000015)"
    )
    ours, theirs = [await fill(store, connection, name) for name in ("Acme", "Umbrella")]
    tables, views = await relations(connection, "r", "p"), await relations(connection, "v", "m")
    yield World(connection, (ours, theirs), tuple(tables), tuple(views))
    await store.aclose()
    await connection.close()


def told_by(table: str) -> str:
    return TOLD_BY.get(table, "organization_id")


async def said(connection: Connection, sql: str, *arguments: object) -> list[Any] | Exception:
    """What a statement returns, or how it is refused; what it did is undone."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        return [row[0] for row in await connection.fetch(sql, *arguments)]
    except asyncpg.PostgresError as error:
        return error
    finally:
        await transaction.rollback()


async def test_every_table_holds_something_of_both(world: World) -> None:
    """Else what follows would prove nothing."""
    for table in sorted({*world.tables, *world.views} - BELONGS_TO_NOBODY.keys() - EMPTY):
        found = await world.connection.fetch(f"select {told_by(table)} from {table}")  # noqa: S608 - our own names
        seen = {str(row[0]) for row in found}
        for tenant in world.tenants:
            assert seen & tenant.ids, f"{table}: add a row of it to tests/contract/tenants.py"


async def test_select(world: World) -> None:
    for asker in world.askers():
        async with world.acting(asker):
            for table in (*world.tables, *world.views):
                what = f"{asker.name} selects {table}"
                column = BELONGS_TO_NOBODY.get(table) or told_by(table)
                found = await said(world.connection, f"select {column} from {table}")  # noqa: S608
                readers = READERS.get(table, MEMBERS)
                if asker.database_role == "anon" or not readers:
                    assert isinstance(found, asyncpg.InsufficientPrivilegeError), what
                    continue
                assert isinstance(found, list), f"{what}: {found}"
                seen = {str(each) for each in found}
                if table in SHARED:
                    assert seen, what
                elif asker.tenant is None or not asker.of(readers):
                    assert seen == set(), what
                else:
                    assert seen <= asker.tenant.ids, what
                    assert seen or table in EMPTY, what


async def test_update(world: World) -> None:
    for table in (*world.tables, *world.views):
        columns = await world.columns(table, "update")
        allowed = WRITERS.get(table, {}).get("update", NOBODY)
        assert bool(columns) == bool(allowed), f"update of {table}"
        changed = columns[0] if columns else BELONGS_TO_NOBODY.get(table) or told_by(table)
        readable = changed in await world.columns(table, "select")
        assigned = f"{changed} = {changed if readable else 'null'}"
        for asker in world.askers():
            async with world.acting(asker):
                await _writes(world, asker, table, f"update {table} set {assigned}", allowed, "update")  # noqa: S608


async def test_delete(world: World) -> None:
    for table in (*world.tables, *world.views):
        allowed = WRITERS.get(table, {}).get("delete", NOBODY)
        for asker in world.askers():
            async with world.acting(asker):
                await _writes(world, asker, table, f"delete from {table}", allowed, "delete")  # noqa: S608


async def _writes(world: World, asker: Asker, table: str, sql: str, allowed: frozenset[str], verb: str) -> None:
    """What a change of all rows, of one's own and of others' reaches."""
    what = f"{asker.name}: {verb} {table}"
    column = told_by(table)
    if asker.database_role == "anon" or not allowed:
        found = await said(world.connection, sql)
        assert isinstance(found, asyncpg.InsufficientPrivilegeError | asyncpg.ObjectNotInPrerequisiteStateError), f"{what}: {found}"  # fmt: skip
        return
    for tenant in world.others(asker):
        theirs = f"{sql} where {column}::text = any ($1) returning {column}"
        assert await said(world.connection, theirs, sorted(tenant.ids)) == [], what
    everything = await said(world.connection, f"{sql} returning {column}")
    if asker.tenant is None or not asker.of(allowed):
        assert everything == [], f"{what}: {everything}"
    elif isinstance(everything, Exception):
        assert isinstance(everything, PASSED), f"{what}: {everything}"
    else:
        assert {str(each) for each in everything} <= asker.tenant.ids, what
        assert everything or table in EMPTY, what


async def test_insert(world: World) -> None:
    for table in world.tables:
        columns = await world.columns(table, "insert")
        allowed = WRITERS.get(table, {}).get("insert", NOBODY)
        assert bool(columns) == bool(allowed), f"insert into {table}"
        copies = {tenant.organization_id: await _copy(world, table, tenant) for tenant in world.tenants}
        listed = ", ".join(columns)
        insert = (
            f"insert into {table} ({listed}) select {listed} from jsonb_populate_record(null::{table}, $1::text::jsonb)"  # noqa: S608
        )
        for asker in world.askers():
            async with world.acting(asker):
                for tenant in world.tenants:
                    what = f"{asker.name}: insert into {table}"
                    if not allowed:
                        found = await said(world.connection, f"insert into {table} default values")
                    else:
                        found = await said(world.connection, insert, copies[tenant.organization_id])
                    if tenant is asker.tenant and asker.of(allowed):
                        assert found == [] or isinstance(found, PASSED), f"{what}: {found}"
                    elif table not in EMPTY or not allowed:
                        assert isinstance(found, asyncpg.InsufficientPrivilegeError), f"{what}: {found}"


async def _copy(world: World, table: str, tenant: Tenant) -> str:
    """A row like the tenant's own."""
    if table in BELONGS_TO_NOBODY:
        return "{}"
    found = await world.connection.fetchval(
        f"select to_jsonb(t)::text from {table} t where {told_by(table)}::text = any ($1) limit 1",  # noqa: S608
        sorted(tenant.ids),
    )
    return str(found or json.dumps({"organization_id": tenant.organization_id}))


async def test_no_one_hands_a_row_over(world: World) -> None:
    """Whoever may change a row may not make it another organization's."""
    ours, theirs = world.tenants
    async with acting(world.connection, "authenticated", ours.members["owner"]):
        for table in world.tables:
            if table in BELONGS_TO_NOBODY:
                continue
            found = await said(world.connection, f"update {table} set {told_by(table)} = $1", UUID(theirs.organization_id))  # noqa: S608  # fmt: skip
            assert isinstance(found, asyncpg.InsufficientPrivilegeError), table


async def test_what_a_statement_calls_tells_nothing_of_others(world: World) -> None:
    """A condition of one's own is only ever asked of one's own rows: it could tell what it sees by failing."""
    ours, _ = world.tenants
    async with acting(world.connection, "authenticated", ours.members["viewer"]):
        found = await said(
            world.connection,
            "select 1 from call_session where case when organization_id <> $1 then 1 / (length(channel) - length(channel)) = 1 else true end",
            UUID(ours.organization_id),
        )
        assert found == [1]


async def test_the_functions_of_members_reach_their_own_only(world: World) -> None:
    ours, theirs = world.tenants
    workflow = await world.connection.fetchval(
        "select id from workflow where organization_id = $1", UUID(theirs.organization_id)
    )
    for asker in world.askers():
        if asker.tenant is theirs:
            continue
        async with world.acting(asker):
            for sql in ("select create_draft($1)", "select publish_version((select id from workflow_version where workflow_id = $1))"):  # fmt: skip
                found = await said(world.connection, sql, workflow)
                refused = isinstance(found, asyncpg.PostgresError) and not isinstance(found, PASSED)
                made = [] if isinstance(found, Exception) else [row for row in found if row is not None and row["id"]]
                assert refused or not made, f"{asker.name}: {sql}: {found}"
    async with acting(world.connection, "authenticated", key=ours.keys["owner"]):
        found = await said(world.connection, "select create_organization('mine')")
        assert isinstance(found, asyncpg.InsufficientPrivilegeError)
