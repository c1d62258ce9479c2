"""Who sees and changes which rows: two organizations, and the roles of a hosted Supabase."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from runtime.store.postgres import PostgresStore
from tests.contract.tenants import Tenant, acting, fill, relations

pytestmark = pytest.mark.server

Connection = Any

READABLE = {
    "organization",
    "organization_member",
    "workflow",
    "workflow_version",
    "agent_node",
    "agent_tool",
    "agent_path",
    "path_variable",
    "workspace_variable",
    "phone_number",
    "call_session",
    "session_event",
    "test_session",
    "session_gap",
    "session_overview",
    "knowledge_base",
    "knowledge_document",
    "knowledge_chunk",
    "webhook_delivery",
    "call_fact",
    "turn_fact",
    "stay_fact",
    "path_fact",
    "variable_fact",
    "tool_fact",
    "usage_fact",
    "daily_total",
    "turn_histogram",
    "agent_funnel",
    "agent_funnel_all",
    "path_conversion",
    "path_conversion_all",
    "path_refusal",
    "path_refusal_all",
    "variable_collection",
    "variable_collection_all",
    "tool_performance",
    "tool_performance_all",
    "turn_latency",
    "turn_latency_all",
    "call_cost",
    "call_cost_all",
    "version_comparison",
    "version_comparison_all",
    "retention_run",
    "late_event",
}
HIDDEN = {
    "after_call",
    "call_checkpoint",
    "call_lease",
    "call_secret",
    "fleet",
    "idempotency_key",
    "live_ticket",
    "worker",
}
# Of the knowledge base that they belong to, and what only some roles read: see test_row_matrix.py.
APART = {"knowledge_lexeme", "knowledge_vector", "api_key", "audit_log"}
SHARED = {"price"}


@pytest.fixture
async def connection(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url)
    await connection.execute(
        "insert into price (provider, model, unit, price) values ('openai', 'gpt-4o-mini', 'input_token', 0.00000015)"
    )
    yield connection
    await connection.close()


@pytest.fixture
async def tenants(url: str, connection: Connection) -> tuple[Tenant, Tenant]:
    store = PostgresStore(url)
    ours, theirs = [await fill(store, connection, name) for name in ("Acme", "Umbrella")]
    await store.aclose()
    return ours, theirs


async def organizations_seen(connection: Connection, table: str) -> set[str]:
    column = "id" if table == "organization" else "organization_id"
    return {str(row[0]) for row in await connection.fetch(f"select {column} from {table}")}  # noqa: S608 - our own names


async def test_every_table_is_in_the_matrix_and_secured(connection: Connection) -> None:
    assert set(await relations(connection, "r", "p", "v", "m")) == READABLE | HIDDEN | SHARED | APART
    unsecured = await connection.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and "
        "case when relkind in ('r', 'p') then not relrowsecurity "
        "else not coalesce(reloptions, '{}') && array['security_invoker=true', 'security_invoker=on'] end "
        "and relkind in ('r', 'p', 'v', 'm')"
    )
    assert [row[0] for row in unsecured] == []


@pytest.mark.parametrize("role", ["owner", "builder", "analyst", "viewer"])
async def test_members_see_their_own_organization_only(
    connection: Connection, tenants: tuple[Tenant, Tenant], role: str
) -> None:
    ours, theirs = tenants
    async with acting(connection, "authenticated", ours.members[role]):
        for table in sorted(READABLE):
            assert await organizations_seen(connection, table) == {ours.organization_id}, table
    async with acting(connection, "service_role"):
        for table in sorted(READABLE):
            assert await organizations_seen(connection, table) == {ours.organization_id, theirs.organization_id}, table


async def test_a_stranger_sees_prices_and_nothing_else(connection: Connection, tenants: tuple[Tenant, Tenant]) -> None:
    async with acting(connection, "authenticated", uuid4()):
        assert [table for table in READABLE if await organizations_seen(connection, table)] == []
        assert await connection.fetchval("select count(*) from price") == 1


@pytest.mark.parametrize("table", sorted(READABLE | HIDDEN | SHARED | APART))
async def test_nobody_reads_anything_without_signing_in(connection: Connection, table: str) -> None:
    async with acting(connection, "anon"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"select * from {table}")  # noqa: S608 - our own names


@pytest.mark.parametrize(
    "query",
    ["select ciphertext from call_secret", "select secret from workspace_variable", "select * from workspace_variable"],
)
async def test_ciphertexts_are_for_the_service_role(
    connection: Connection, tenants: tuple[Tenant, Tenant], query: str
) -> None:
    async with acting(connection, "authenticated", tenants[0].members["owner"]):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(query)
    async with acting(connection, "service_role"):
        assert len(await connection.fetch(query)) == 2


WRITES_OF_NOBODY = {
    "event": "insert into session_event (session_id, organization_id, seq, event_type, payload) values ('{call}', '{org}', 9, 'x', '{{}}')",
    "event update": "update session_event set payload = '{{}}' where organization_id = '{org}'",
    "event delete": "delete from session_event where organization_id = '{org}'",
    "call": "insert into call_session (organization_id) values ('{org}')",
    "chunk": "update knowledge_chunk set content = 'x' where organization_id = '{org}'",
    "call update": "update call_session set status = 'dropped' where organization_id = '{org}'",
    "secret": "insert into call_secret values ('{call}', 1, 'x')",
    "late event": "delete from late_event where organization_id = '{org}'",
    "lease": "update call_lease set leased_until = now() where organization_id = '{org}'",
    "delivery": "update webhook_delivery set status = 'pending' where organization_id = '{org}'",
    "delivery insert": "insert into webhook_delivery (session_id, organization_id, tool_index, name) values ('{call}', '{org}', 1, 'x')",
    "after call": "insert into after_call (session_id, organization_id) values ('{call}', '{org}')",
    "node": "delete from agent_node where organization_id = '{org}'",
    "price": "update price set price = 0",
    "organization": "insert into organization (name) values ('mine')",
    "limits": "update organization set max_concurrent_calls = null where id = '{org}'",
    "prefixes": "update organization set dial_prefixes = '{{}}' where id = '{org}'",
    "move": "update workflow set organization_id = '{org}'",
}


@pytest.mark.parametrize("sql", WRITES_OF_NOBODY.values(), ids=WRITES_OF_NOBODY)
async def test_what_the_runtime_writes_no_member_writes(
    connection: Connection, tenants: tuple[Tenant, Tenant], sql: str
) -> None:
    ours, _ = tenants
    async with acting(connection, "authenticated", ours.members["owner"]):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(sql.format(call=ours.call.id, org=ours.organization_id))


WRITES_OF_BUILDERS = {
    "workflow": "insert into workflow (organization_id, name) values ('{org}', 'new')",
    "version": "insert into workflow_version (workflow_id, version, config) values ((select id from patchbay_w where organization_id = '{org}'), 9, '{{}}')",
    "draft": "select save_draft('{org}', 'new', '{{}}')",
    "variable": "insert into workspace_variable (organization_id, name, value) values ('{org}', 'A', '1')",
    "number": "insert into phone_number (organization_id, number) values ('{org}', '+4930999')",
}


@pytest.mark.parametrize("sql", WRITES_OF_BUILDERS.values(), ids=WRITES_OF_BUILDERS)
async def test_builders_write_in_their_own_organization_only(
    connection: Connection, tenants: tuple[Tenant, Tenant], sql: str
) -> None:
    ours, theirs = tenants
    # Even knowing the other's ids helps nobody: the ids are handed out here.
    await connection.execute(
        "create table patchbay_w as select * from workflow; grant select on patchbay_w to authenticated"
    )
    async with acting(connection, "authenticated", ours.members["builder"]):
        await connection.execute(sql.format(org=ours.organization_id))
    for user, target in (
        (ours.members["builder"], theirs),
        (ours.members["viewer"], ours),
        (ours.members["analyst"], ours),
    ):
        async with acting(connection, "authenticated", user):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(sql.format(org=target.organization_id))


async def test_a_builder_publishes_and_a_viewer_does_not(
    connection: Connection, tenants: tuple[Tenant, Tenant]
) -> None:
    ours, theirs = tenants
    version = "select status from publish_version((select id from save_draft($1, 'support', '{\"agents\": []}')))"
    async with acting(connection, "authenticated", ours.members["builder"]):
        assert await connection.fetchval(version, ours.organization_id) == "published"
    existing = await connection.fetchval(
        "select id from workflow_version where organization_id = $1", theirs.organization_id
    )
    async with acting(connection, "authenticated", ours.members["owner"]):
        assert await connection.fetchval("select id from publish_version($1)", existing) is None


async def test_only_owners_choose_members(connection: Connection, tenants: tuple[Tenant, Tenant]) -> None:
    ours, _ = tenants
    join = "insert into organization_member (organization_id, user_id, role) values ($1, $2, 'owner')"
    async with acting(connection, "authenticated", ours.members["owner"]):
        await connection.execute(join, ours.organization_id, uuid4())
    async with acting(connection, "authenticated", ours.members["builder"]):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(join, ours.organization_id, uuid4())


async def test_tests_are_left_out_of_the_overview(connection: Connection, tenants: tuple[Tenant, Tenant]) -> None:
    ours, _ = tenants
    await connection.execute(
        "insert into call_session (organization_id, is_test) values ($1, true)", ours.organization_id
    )
    found = await connection.fetch(
        "select id, turns from session_overview where organization_id = $1", ours.organization_id
    )
    assert [(str(row["id"]), row["turns"]) for row in found] == [(ours.call.id, 1)]


async def test_only_owners_say_who_answers_any_other_number(
    connection: Connection, tenants: tuple[Tenant, Tenant]
) -> None:
    ours, theirs = tenants
    change = "update organization set default_workflow_id = (select id from patchbay_w where organization_id = $2) where id = $1 returning 1"
    await connection.execute(
        "create table patchbay_w as select * from workflow; grant select on patchbay_w to authenticated"
    )
    for role, changed in (("owner", 1), ("builder", None), ("viewer", None)):
        async with acting(connection, "authenticated", ours.members[role]):
            assert await connection.fetchval(change, ours.organization_id, ours.organization_id) == changed
            assert await connection.fetchval(change, theirs.organization_id, theirs.organization_id) is None
    async with acting(connection, "authenticated", ours.members["owner"]):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await connection.fetchval(change, ours.organization_id, theirs.organization_id)


async def test_what_members_change_is_told(connection: Connection, tenants: tuple[Tenant, Tenant]) -> None:
    ours, _ = tenants
    async with acting(connection, "authenticated", ours.members["builder"]):
        await connection.execute(
            "update phone_number set description = 'x' where organization_id = $1", ours.organization_id
        )
        await connection.execute("delete from workspace_variable where organization_id = $1", ours.organization_id)


@pytest.mark.parametrize("table", ["knowledge_base", "knowledge_document"])
async def test_builders_remove_their_own_knowledge_only(
    connection: Connection, tenants: tuple[Tenant, Tenant], table: str
) -> None:
    ours, theirs = tenants
    for role, removed in (("viewer", 0), ("analyst", 0), ("builder", 1)):
        async with acting(connection, "authenticated", ours.members[role]):
            for tenant, count in ((theirs, 0), (ours, removed)):
                sql = f"delete from {table} where organization_id = $1"  # noqa: S608 - our own names
                assert await connection.execute(sql, tenant.organization_id) == f"DELETE {count}"
    async with acting(connection, "authenticated", ours.members["builder"]):
        rename = "update knowledge_base set name = 'manual' where organization_id = $1"
        assert await connection.execute(rename, ours.organization_id) == "UPDATE 1"
        assert await connection.execute(rename, theirs.organization_id) == "UPDATE 0"


async def test_tools_reach_nothing_of_patchbay(connection: Connection, tenants: tuple[Tenant, Tenant]) -> None:
    tables = await connection.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')"
    )
    for table in sorted(row["relname"] for row in tables):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with acting(connection, "patchbay_tool"):
                await connection.fetch(f"select 1 from {table}")  # noqa: S608 - our own names
        # A table missing here is missing in patchbay.own_tables(): its migration names it there.
        with pytest.raises(asyncpg.RaiseError):
            await connection.execute(f"select patchbay.expose_table('{table}')")


async def test_tools_call_nothing_of_patchbay_but_their_two_doors(connection: Connection) -> None:
    found = await connection.fetch(
        "select p.oid::regprocedure::text as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace "
        "where n.nspname in ('public', 'private', 'patchbay') and has_schema_privilege('patchbay_tool', n.oid, 'usage') "
        "and has_function_privilege('patchbay_tool', p.oid, 'execute') and p.prorettype <> 'trigger'::regtype "
        "and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')"
    )
    assert {row["name"] for row in found} == {
        "patchbay_select(jsonb)",
        "patchbay_rpc(text,jsonb)",
        "patchbay.organization()",
        "patchbay.named(text)",
        "patchbay.exposed_table(text)",
        "patchbay.bounded(jsonb)",
    }


async def test_only_tools_pass_their_two_doors(connection: Connection, tenants: tuple[Tenant, Tenant]) -> None:
    for role in ("anon", "authenticated", "service_role"):
        for door in ("patchbay_select('{}')", "patchbay_rpc('f', '{}')"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with acting(connection, role):
                    await connection.fetch(f"select {door}")
