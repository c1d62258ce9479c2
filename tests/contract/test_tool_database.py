"""What tools reach of a builder's database: the same over Postgres and over PostgREST, and one organization's rows only."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from runtime.settings import Settings
from runtime.store.opening import open_settings_store
from runtime.store.pool import Database
from runtime.store.tool_database import ToolDatabases, Transport, open_tool_database
from runtime.store.tool_database_postgres import PostgresTransport
from runtime.store.tool_database_postgrest import PostgrestTransport, ServiceTransport, Tokens
from tests.contract.supabase_project import service_key
from tests.fakes.databases import Databases
from tests.fakes.livekit_server import free_port
from tests.fakes.postgrest import JWT_SECRET, client, postgrest, postgrest_binary
from tools import handles
from tools.base import ToolError
from tools.handles import Filter
from tools.tables import databases as tool_databases

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

Json = Any

# As a builder would write it; `open_to_all` has somebody else's policy for everyone, `plain` none at all.
SHOP = """
create schema shop;
create type shop.size as enum ('small', 'large');
create table public.orders (
  id integer generated always as identity primary key, organization_id uuid not null references public.organization (id),
  number text not null unique, status varchar(8), total numeric(8,2), placed date, paid boolean, size shop.size, tags text[], meta jsonb
);
create table public.notes (organization_id uuid not null, number text, secret_note text);
create table shop."Rooms" (id serial primary key, tenant text not null, "Name" text);
create table public.open_to_all (organization_id uuid not null, number text);
alter table public.open_to_all enable row level security;
create policy everyone on public.open_to_all for select using (true);
grant select on public.open_to_all to public;
create table public.plain (organization_id uuid, number text);
grant select on public.plain to public;
create table public.slow (organization_id uuid not null, number text);

create function public.find(number text, minimum numeric default 0) returns setof public.orders language sql stable as
  'select * from public.orders o where o.number = find.number and o.total >= minimum';
create function public.place(number text, tags text[] default null) returns public.orders language sql as
  'insert into public.orders (organization_id, number, tags) values (patchbay.organization(), number, tags) returning *';
create function public.place_for(organization uuid, number text) returns void language sql as
  'insert into public.orders (organization_id, number) values (organization, number)';
create function public.count_all() returns bigint language sql security definer set search_path = '' as 'select count(*) from public.orders';
create function public.count_mine() returns bigint language sql security definer set search_path = '' as
  'select count(*) from public.orders where organization_id = patchbay.organization()';
create function public.booked() returns void language plpgsql as $$ begin raise exception E'Saturday is full.\\nTry Monday.'; end $$;
create function public.broken() returns void language plpgsql as $$ begin raise exception 'internal details' using errcode = '55000'; end $$;
create function public.sleeps() returns void language sql as 'select pg_catalog.pg_sleep(20)';
create function public.huge() returns text language sql as $$ select repeat('x', 300000) $$;
create function public.both(a integer) returns integer language sql as 'select a';
create function public.both(a text) returns text language sql as 'select a';
create function public.never_exposed() returns integer language sql security definer as 'select 1';

select patchbay.expose_table('public.orders', array['select', 'insert']);
select patchbay.expose_table('public.notes');
revoke select on public.notes from patchbay_tool;
grant select (organization_id, number) on public.notes to patchbay_tool;
select patchbay.expose_table('shop."Rooms"', organization_column => 'tenant');
select patchbay.expose_table('public.open_to_all');
select patchbay.expose_function(f::regprocedure) from unnest(array['find(text, numeric)', 'place(text, text[])', 'place_for(uuid, text)',
  'booked()', 'broken()', 'sleeps()', 'huge()', 'both(integer)', 'both(text)']) f;
select patchbay.expose_function('count_mine()', definer => true);
"""
COLUMNS = ["id", "organization_id", "number", "status", "total", "placed", "paid", "size", "tags", "meta"]


@dataclass(frozen=True)
class Shop:
    """A builder's database with two organizations, and the way in under test."""

    url: str
    transport: Transport
    ours: str
    theirs: str

    def of(self, organization_id: str) -> handles.Database:
        return tool_databases(ToolDatabases(self.transport))(organization_id)

    @property
    def database(self) -> handles.Database:
        return self.of(self.ours)


async def furnish(url: str) -> tuple[str, str]:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(SHOP)
        add = "insert into organization (name) values ($1) returning id"
        ours, theirs = [str(await connection.fetchval(add, name)) for name in ("Acme", "Umbrella")]
        for organization, mark in ((ours, "A"), (theirs, "U")):
            await connection.execute(
                "insert into orders (organization_id, number, status, total, placed, paid, size, tags, meta) values "
                "($1, $2 || '1', 'shipped', 12.50, '2026-05-03', true, 'small', '{x,y}', '{\"a\": 1}'), "
                "($1, $2 || '2', null, 3, '2026-01-01', false, 'large', '{}', null)",
                organization,
                mark,
            )
            await connection.execute(
                'insert into shop."Rooms" (tenant, "Name") values ($1, $2 || \' room\')', organization, mark
            )
            for table in ("open_to_all", "plain", "notes"):
                add_one = f"insert into {table} (organization_id, number) values ($1, $2)"  # noqa: S608 - our own names
                await connection.execute(add_one, organization, mark)
    finally:
        await connection.close()
    return ours, theirs


@pytest.fixture(params=["postgres", "pooler", "postgrest", "service"])
async def shop(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> AsyncIterator[Shop]:
    url = await databases.migrated()
    ours, theirs = await furnish(url)
    async with contextlib.AsyncExitStack() as stack:
        transport: Transport
        if request.param in {"postgrest", "service"}:
            if postgrest_binary() is None:
                pytest.skip("no PostgREST: run python -m tests.fakes.postgrest")
            base = await stack.enter_async_context(postgrest(url, tmp_path))
            http = await stack.enter_async_context(client())
            if request.param == "service":
                transport = ServiceTransport(http, base, service_key())
            else:
                transport = PostgrestTransport(http, base, JWT_SECRET, api_key="service-role")
        else:
            pool = Database(url, transaction_pooler=request.param == "pooler", max_connections=4)
            stack.push_async_callback(pool.aclose)
            transport = PostgresTransport(pool)
        yield Shop(url, transport, ours, theirs)


async def numbers(database: handles.Database, *filters: tuple[str, Any, Json], **more: Any) -> list[Json]:
    found = await database.select("orders", columns=["number"], filters=[Filter(*each) for each in filters], **more)
    return sorted(row["number"] for row in found)


async def code_of(awaitable: Any) -> str:
    with pytest.raises(ToolError) as caught:
        await awaitable
    sentence = caught.value.message_for_model
    assert not any(word in sentence for word in ("orders", "plain", "PB4", "internal", "column", "permission"))
    return caught.value.code


# ------------------------------------------------------------ rows


async def test_each_organization_sees_its_own_rows(shop: Shop) -> None:
    for organization, mark in ((shop.ours, "A"), (shop.theirs, "U"), (shop.ours, "A")):
        database = shop.of(organization)
        found = await database.select("public.orders")
        assert [row["number"] for row in found] == [f"{mark}1", f"{mark}2"]
        assert [list(row) for row in found] == [list(found[0])] * 2
        assert set(found[0]) == set(COLUMNS)
        assert await database.select("shop.Rooms", columns=["Name"]) == [{"Name": f"{mark} room"}]
        # A policy of somebody else's that lets everyone read opens nothing.
        assert await database.select("open_to_all", columns=["number"]) == [{"number": mark}]
        # Of all columns, those that were granted.
        assert await database.select("notes") == [{"organization_id": organization, "number": mark}]
    assert await shop.of("00000000-0000-0000-0000-000000000000").select("orders") == []
    assert await code_of(shop.of("").select("orders")) in {"invalid_arguments", "not_allowed"}


async def test_filters_compare_by_the_columns_own_type(shop: Shop) -> None:
    for filters, wanted in (
        ([("number", "eq", "A1")], ["A1"]),
        ([("number", "eq", "U1")], []),
        ([("total", "eq", "12.5")], ["A1"]),
        ([("total", "lt", 12.5)], ["A2"]),
        ([("total", "gte", "3"), ("total", "lte", 3)], ["A2"]),
        ([("placed", "gt", "2026-02-01")], ["A1"]),
        ([("paid", "eq", True)], ["A1"]),
        ([("paid", "is", False)], ["A2"]),
        ([("status", "is", None)], ["A2"]),
        ([("status", "neq", "x")], ["A1"]),
        ([("status", "eq", "shipped and more")], []),
        ([("size", "eq", "large")], ["A2"]),
        ([("number", "in", ["A1", "A2", "U1"])], ["A1", "A2"]),
        ([("id", "in", ["1", 2, 3, 4])], ["A1", "A2"]),
        ([("number", "ilike", "a%")], ["A1", "A2"]),
        ([("number", "like", "\\%1")], []),
        ([("meta", "eq", {"a": 1})], ["A1"]),
        ([("tags", "eq", ["x", "y"])], ["A1"]),
        ([("organization_id", "eq", shop.theirs)], []),
        ([("organization_id", "neq", shop.ours)], []),
    ):
        assert await numbers(shop.database, *filters) == wanted, filters


async def test_order_limit_and_columns(shop: Shop) -> None:
    async def ordered(*order: tuple[str, bool], limit: int = 20) -> list[Json]:
        return await shop.database.select("orders", columns=["total", "number"], order=order, limit=limit)

    assert [row["number"] for row in await ordered(("total", False))] == ["A2", "A1"]
    assert [row["number"] for row in await ordered(("status", True), ("total", False))] == ["A1", "A2"]
    assert await ordered(("total", True), limit=1) == [{"total": 12.5, "number": "A1"}]


HOSTILE = [
    "'; drop table orders; --",
    "A1' or '1'='1",
    '") or true --',
    "$1",
    "%",
    "{A1}",
    "\\",
    "A1\n",
    "null",
    "(select 1)",
]


async def test_a_hostile_value_is_a_value(shop: Shop) -> None:
    for value in HOSTILE:
        assert await numbers(shop.database, ("number", "eq", value)) == []
        await shop.database.rpc("place", {"number": value, "tags": [value]})
        assert await numbers(shop.database, ("number", "eq", value)) == [value]
        assert await numbers(shop.database, ("tags", "eq", [value])) == [value]
    assert await numbers(shop.of(shop.theirs)) == ["U1", "U2"]


# ------------------------------------------------------------ what may not be reached


async def test_what_is_not_exposed_is_not_allowed(shop: Shop) -> None:
    with capture_logs() as logs:
        for table in (
            "plain",
            "slow",
            "workspace_variable",
            "session_event",
            "call_secret",
            "session_overview",
            "auth.users",
        ):
            assert await code_of(shop.database.select(table)) in {"not_allowed", "bad_query"}, table
        for function in ("never_exposed", "count_all", "save_draft", "pg_catalog.pg_sleep", "patchbay_rpc"):
            assert await code_of(shop.database.rpc(function, {})) == "not_allowed", function
        for place in ("pg_catalog.pg_class", "pg_catalog.pg_authid", "supabase_migrations.schema_migrations"):
            assert await code_of(shop.database.select(place)) == "not_allowed", place
    assert "select patchbay.expose_table('plain')" in logs[0]["remedy"]
    assert await code_of(shop.database.select("notes", columns=["secret_note"])) == "not_allowed"
    assert await code_of(shop.database.select("notes", filters=[Filter("secret_note", "eq", "hush")])) == "not_allowed"


async def test_what_is_asked_wrongly(shop: Shop) -> None:
    database, strange = shop.database, Filter("number", "or", "1")  # type: ignore[arg-type]
    with capture_logs() as logs:
        assert await code_of(database.select("nowhere")) == "bad_query"
    assert "nowhere" in logs[0]["reason"]
    for query in (
        database.select("orders", columns=["nothing"]),
        database.select("orders", columns=["ctid"]),
        database.select("orders", order=[("number; drop table orders", False)]),
        database.select("orders", filters=[Filter("orders", "eq", 1)]),
        database.select("orders", filters=[strange]),
        database.select("orders", filters=[Filter("number", "is", "x")]),
        database.select("orders", filters=[Filter("number", "in", "x")]),
        database.rpc("nowhere", {}),
        database.rpc("find", {}),
        database.rpc("find", {"number": "A1", "more": 1}),
        database.rpc("both", {"a": 1}),
    ):
        assert await code_of(query) == "bad_query"
    for query in (
        database.select("orders", filters=[Filter("placed", "eq", "soon")]),
        database.select("orders", filters=[Filter("number", "eq", "a\x00b")]),
        database.select("orders", filters=[Filter("number", "eq", "\ud800")]),
        database.select("orders", filters=[Filter("total", "eq", float("nan"))]),
        database.rpc("find", {"number": "A1", "minimum": "much"}),
    ):
        assert await code_of(query) == "invalid_arguments"


# ------------------------------------------------------------ functions


async def test_functions_run_as_the_organization(shop: Shop) -> None:
    ours, theirs = shop.database, shop.of(shop.theirs)
    assert [row["number"] for row in await ours.rpc("find", {"number": "A1"})] == ["A1"]
    assert await ours.rpc("find", {"number": "U1"}) == []
    assert await ours.rpc("public.find", {"number": "A1", "minimum": "100"}) == []
    assert await ours.rpc("count_mine", {}) == 2
    assert await ours.rpc("place_for", {"organization": shop.ours, "number": "A4"}) is None
    assert await theirs.rpc("count_mine", {}) == 2
    assert await ours.rpc("count_mine", {}) == 3
    assert await code_of(ours.rpc("place_for", {"organization": shop.theirs, "number": "A5"})) == "not_allowed"
    assert await code_of(ours.rpc("place_for", {"organization": shop.ours, "number": "A4"})) == "constraint"
    assert await numbers(theirs) == ["U1", "U2"]


async def test_what_a_function_says_is_heard_and_nothing_else(shop: Shop) -> None:
    with pytest.raises(ToolError) as caught:
        await shop.database.rpc("booked", {})
    assert (caught.value.code, caught.value.message_for_model) == ("refused", "Not done: Saturday is full. Try Monday.")
    assert await code_of(shop.database.rpc("broken", {})) == "bad_query"
    assert await code_of(shop.database.rpc("huge", {})) == "response_too_large"


async def test_a_query_ends_with_its_deadline(shop: Shop) -> None:
    with pytest.raises(ToolError) as caught:
        await shop.database.rpc("sleeps", {}, timeout_s=0.3)
    assert (caught.value.code, caught.value.passing) == ("timeout", True)
    assert await numbers(shop.database) == ["A1", "A2"]


async def test_a_query_changes_nothing(shop: Shop) -> None:
    connection = await asyncpg.connect(shop.url)
    await connection.execute(
        "create function public.counts() returns boolean language plpgsql as "
        "$$ begin insert into public.slow values (null, 'x'); return true; end $$;"
        "grant insert on public.slow to patchbay_tool; create policy sly on public.orders as restrictive for select using (public.counts())"
    )
    assert await code_of(shop.database.select("orders")) == "bad_query"
    assert await connection.fetchval("select count(*) from slow") == 0
    await connection.close()


NAMES = st.text(min_size=1, max_size=20) | st.sampled_from(
    [
        "orders",
        "plain",
        "number",
        "organization_id",
        '"orders"',
        "orders o",
        "t",
        "v",
        "v1",
        "public.orders",
        "tableoid",
        "oid",
        "xmin",
        "row_to_json",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(HOSTILE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
OPERATORS = st.sampled_from(["eq", "neq", "lt", "lte", "gt", "gte", "like", "ilike", "in", "is"]) | st.text(max_size=5)


@pytest.fixture
async def shared(shop: Shop) -> Shop:
    """The one database that all examples of a property use."""
    return shop


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    table=st.just("orders") | NAMES,
    columns=st.lists(st.sampled_from(COLUMNS) | NAMES, max_size=3),
    filters=st.lists(st.builds(Filter, st.sampled_from(COLUMNS) | NAMES, OPERATORS, VALUES), max_size=2),
    order=st.lists(st.tuples(st.sampled_from(COLUMNS) | NAMES, st.booleans()), max_size=2),
)
async def test_no_query_shows_the_others_rows(
    shared: Shop, table: str, columns: list[str], filters: list[Filter], order: list[tuple[str, bool]]
) -> None:
    with contextlib.suppress(ToolError):
        found = await shared.database.select(table, columns=columns, filters=filters, order=order)
        assert shared.theirs not in json.dumps(found)
        assert not {row.get("number") for row in found} & {"U1", "U2"}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    function=st.sampled_from(["find", "both", "count_mine", "count_all", "booked"]) | NAMES,
    arguments=st.dictionaries(st.sampled_from(["number", "minimum", "a"]) | NAMES, VALUES, max_size=3),
)
async def test_no_call_shows_the_others_rows(shared: Shop, function: str, arguments: dict[str, Json]) -> None:
    with contextlib.suppress(ToolError):
        found = await shared.database.rpc(function, arguments)
        assert function in {"find", "both", "count_mine", "public.find"}
        assert shared.theirs not in json.dumps(found)


# ------------------------------------------------------------ the ways there


async def test_a_database_that_is_away_is_unreachable(shop: Shop, databases: Databases) -> None:
    await numbers(shop.database)
    await databases.drop(shop.url)
    with pytest.raises(ToolError) as caught:
        await numbers(shop.database)
    assert (caught.value.code, caught.value.passing) == ("unreachable", True)


async def test_nobody_answers_at_the_api() -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        transport = PostgrestTransport(http, f"http://127.0.0.1:{free_port()}", JWT_SECRET)
        assert await code_of(tool_databases(ToolDatabases(transport))("x").select("orders")) == "unreachable"


async def test_a_token_of_another_secret_is_told_with_its_remedy(databases: Databases, tmp_path: Path) -> None:
    if postgrest_binary() is None:
        pytest.skip("no PostgREST: run python -m tests.fakes.postgrest")
    async with postgrest(await databases.migrated(), tmp_path) as base, client() as http:
        database = tool_databases(ToolDatabases(PostgrestTransport(http, base, "another-" + JWT_SECRET)))("x")
        with capture_logs() as logs:
            assert await code_of(database.select("orders")) == "unreachable"
    assert "SUPABASE_JWT_SECRET" in logs[0]["remedy"]


def test_tokens_are_kept_until_shortly_before_they_expire() -> None:
    now = [1_000_000.0]
    tokens = Tokens(JWT_SECRET, clock=lambda: now[0])
    first, other = tokens.of("a"), tokens.of("b")
    now[0] += 200
    assert (tokens.of("a"), tokens.of("b")) == (first, other)
    now[0] += 60
    later = tokens.of("a")
    read = jwt.decode(later, JWT_SECRET, algorithms=["HS256"], options={"verify_exp": False})
    assert later != first
    assert read == {"role": "patchbay_tool", "organization_id": "a", "exp": int(now[0]) + 300}


async def test_the_settings_name_the_way(databases: Databases, tmp_path: Path) -> None:
    url = await databases.migrated()
    ours, _ = await furnish(url)
    over_postgres = {"PATCHBAY_HOME": str(tmp_path), "DATABASE_URL": url}
    async with open_tool_database(Settings.load(over_postgres, tmp_path)) as opened:
        assert await numbers(tool_databases(opened)(ours)) == ["A1", "A2"]
    if postgrest_binary() is None:
        pytest.skip("no PostgREST: run python -m tests.fakes.postgrest")
    async with postgrest(url, tmp_path) as base, client() as http:
        more = {"SUPABASE_URL": base, "SUPABASE_SERVICE_ROLE_KEY": "k", "SUPABASE_JWT_SECRET": JWT_SECRET}
        async with open_tool_database(Settings.load(over_postgres | more, tmp_path), http) as opened:
            assert await numbers(tool_databases(opened)(ours)) == ["A1", "A2"]
        two = {"PATCHBAY_HOME": str(tmp_path), "SUPABASE_URL": base, "SUPABASE_SERVICE_ROLE_KEY": service_key()}
        async with open_tool_database(Settings.load(two, tmp_path), http) as opened:
            assert await numbers(tool_databases(opened)(ours)) == ["A1", "A2"]


async def test_none_of_patchbays_own_functions_can_be_exposed(databases: Databases) -> None:
    connection = await asyncpg.connect(await databases.migrated())
    try:
        ours = await connection.fetch(
            "select p.oid::regprocedure::text as name from pg_proc p "
            "where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace, 'patchbay'::regnamespace) "
            "and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')"
        )
        assert {"create_organization(text)", "patchbay_tool_select(uuid,jsonb)"} <= {row["name"] for row in ours}
        for row in ours:
            # One that is missing here is missing in patchbay.own_functions(): its migration names it there.
            with pytest.raises(asyncpg.RaiseError, match="is not for tools"):
                await connection.fetch("select patchbay.expose_function($1::text::regprocedure, true)", row["name"])
        # A builder's own may have the name of one of these.
        await connection.execute("create function analytics(day date) returns int language sql as 'select 1'")
        await connection.fetch("select patchbay.expose_function('analytics(date)')")
    finally:
        await connection.close()


BECOMES = {
    "select": """select patchbay_tool_select($1, '{"table": "orders", "columns": ["number"], "limit": 9}')""",
    "rpc": "select patchbay_tool_rpc($1, 'count_mine', '{}')",
}


@pytest.mark.parametrize("sql", BECOMES.values(), ids=BECOMES)
async def test_the_service_role_becomes_the_tools_for_the_query_alone(databases: Databases, sql: str) -> None:
    url = await databases.migrated()
    ours, _ = await furnish(url)
    connection = await asyncpg.connect(url)
    try:
        # As PostgREST does: who connects is `authenticator`, no superuser, and each request has a role of its own.
        for role in ("anon", "authenticated", "patchbay_tool"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await _as(connection, role, sql, ours)
        assert await _as(connection, "service_role", sql, ours) == ("service_role", '{"a": 1}')
    finally:
        await connection.close()


async def _as(connection: Any, role: str, sql: str, organization: str) -> tuple[str, str]:
    """Run the query as one request of PostgREST's, and return role and claims as they are after it."""
    async with connection.transaction():
        await connection.execute("set local session authorization authenticator")
        await connection.execute(f"set local role {role}; set local request.jwt.claims = '{{\"a\": 1}}'")
        assert json.loads(await connection.fetchval(sql, organization)) in ([{"number": "A1"}, {"number": "A2"}], 2)
        found = await connection.fetchrow("select current_setting('role'), current_setting('request.jwt.claims')")
        return found[0], found[1]


async def test_the_embedded_database_is_shared_with_the_store(tmp_path: Path) -> None:
    settings_ = Settings.load({"PATCHBAY_HOME": str(tmp_path)}, tmp_path)
    async with open_settings_store(settings_) as store, open_tool_database(settings_) as opened:
        organization = await store.ensure_organization("Acme")
        assert await code_of(tool_databases(opened)(organization.id).select("workflow")) == "not_allowed"
