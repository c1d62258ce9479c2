"""What the database itself keeps true: published versions, the projection of a config, and its notifications."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.store import migrations
from tests.fakes.databases import Databases

pytestmark = pytest.mark.server

Connection = Any

CONFIG = {
    "variables": [{"name": "customer_id", "data_type": "digits", "description": "The number on the bill"}],
    "tools": [
        {"id": "orders", "tool_type": "http_request", "config": {"url": "https://a.example"}, "display_name": "Orders"}
    ],
    "global_paths": [{"id": "human", "name": "To a human", "transfer_call": {"to": "+4930123"}}],
    "agents": [
        {
            "id": "intake",
            "name": "Intake",
            "instructions": "Ask.",
            "stt": {"provider": "assemblyai"},
            "metadata": {"colour": "red"},
            "position": {"x": 1, "y": 2},
            "tools": [{"tool_id": "orders"}, {"tool_type": "check_order", "config": {"a": 1}}],
            "paths": [
                {
                    "id": "to-billing",
                    "name": "To Billing",
                    "description": "Invoices",
                    "target_agent_id": "billing",
                    "guard_condition": "attempts < 3",
                    "priority": 2,
                    "required_variables": [{"name": "customer_id"}, {"name": "note", "is_required": False}],
                }
            ],
        },
        {"id": "billing", "name": "Billing", "instructions": "Help."},
    ],
}


@pytest.fixture
async def connection(databases: Databases) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(await databases.migrated())
    yield connection
    await connection.close()


async def save(connection: Connection, config: object, name: str = "support") -> str:
    organization = await connection.fetchval("select id from organization") or await connection.fetchval(
        "insert into organization (name) values ('Acme') returning id"
    )
    return str(
        await connection.fetchval(
            "select id from save_draft($1, $2, $3::text::jsonb)", organization, name, json.dumps(config)
        )
    )


async def test_a_config_is_projected_into_rows(connection: Connection) -> None:
    await save(connection, CONFIG)
    nodes = await connection.fetch(
        "select config_id, name, instructions, stt_config ->> 'provider' as stt, position from agent_node order by ordinal"
    )
    assert [tuple(row) for row in nodes] == [
        ("intake", "Intake", "Ask.", "assemblyai", '{"x": 1, "y": 2}'),
        ("billing", "Billing", "Help.", None, None),
    ]
    tools = await connection.fetch(
        "select config_id, tool_type, config, display_name from agent_tool order by tool_type"
    )
    assert [tuple(row) for row in tools] == [
        (None, "check_order", '{"a": 1}', None),
        ("orders", "http_request", '{"url": "https://a.example"}', "Orders"),
    ]
    paths = await connection.fetch(
        "select p.config_id, f.config_id, t.config_id, p.guard_condition, p.metadata from agent_path p "
        "left join agent_node f on f.id = from_agent_id left join agent_node t on t.id = to_agent_id order by 1"
    )
    assert [tuple(row) for row in paths] == [
        ("human", None, None, None, '{"transfer_call": {"to": "+4930123"}}'),
        ("to-billing", "intake", "billing", "attempts < 3", '{"priority": 2}'),
    ]
    variables = await connection.fetch(
        "select name, description, is_required, data_type from path_variable order by name"
    )
    assert [tuple(row) for row in variables] == [
        ("customer_id", "The number on the bill", True, "digits"),
        ("note", None, False, "string"),
    ]


async def test_a_changed_draft_is_projected_anew(connection: Connection) -> None:
    version = await save(connection, CONFIG)
    await connection.execute(
        'update workflow_version set config = \'{"agents": [{"id": "a"}]}\' where id = $1', version
    )
    assert await connection.fetchval("select string_agg(config_id, ',') from agent_node") == "a"
    assert await connection.fetchval("select count(*) from agent_path") == 0


FAULTY: list[object] = [
    {"agents": None},
    {"agents": {"id": "a"}},
    {"agents": [None, 1, "a", [], {}, {"id": {}}, {"id": "a", "paths": "x", "tools": {"a": 1}, "stt": "x"}]},
    {
        "agents": [
            {"id": "a"},
            {"id": "a", "paths": [{"id": "p"}, {"id": "p", "required_variables": [None, {"name": 1}, {"name": 1}]}]},
        ]
    },
    {
        "agents": [{"id": "a", "paths": [{"id": "p", "target_agent_id": ["b"], "required_variables": {}}]}],
        "tools": 1,
        "global_paths": [3],
    },
    {"agents": [{"id": "x" * 9000, "name": "too long for an index"}]},
    [],
    "text",
    None,
]


@pytest.mark.parametrize("config", FAULTY)
async def test_a_faulty_draft_is_saved_all_the_same(connection: Connection, config: object) -> None:
    version = await save(connection, config)
    assert json.loads(await connection.fetchval("select config from workflow_version where id = $1", version)) == config


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["a", "b", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "agents",
                    "paths",
                    "tools",
                    "global_paths",
                    "variables",
                    "id",
                    "name",
                    "tool_id",
                    "required_variables",
                    "target_agent_id",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@pytest.fixture
async def shared(connection: Connection) -> Connection:
    """The one database that all examples of a property use."""
    return connection


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=st.dictionaries(st.sampled_from(["agents", "tools", "global_paths", "variables"]), JSON))
async def test_no_config_is_refused(shared: Connection, config: dict[str, Any]) -> None:
    await save(shared, config)


CHANGES = {
    "config": "update workflow_version set config = '{}' where id = $1",
    "version": "update workflow_version set version = 9 where id = $1",
    "back to draft": "update workflow_version set status = 'draft' where id = $1",
}


@pytest.mark.parametrize("sql", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("status", ["published", "archived"])
async def test_what_was_published_does_not_change(connection: Connection, sql: str, status: str) -> None:
    version = await save(connection, CONFIG)
    await connection.fetch("select publish_version($1)", version)
    await connection.execute("update workflow_version set status = $2 where id = $1", version, status)
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute(sql, version)


async def test_a_workflow_has_one_published_version(connection: Connection) -> None:
    one, two = await save(connection, CONFIG), await save(connection, {})
    await connection.fetch("select publish_version($1)", one)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("update workflow_version set status = 'published' where id = $1", two)


async def test_a_version_with_calls_stays(connection: Connection) -> None:
    version = await save(connection, CONFIG)
    await connection.execute(
        "insert into call_session (organization_id, workflow_version_id) select organization_id, id from workflow_version where id = $1",
        version,
    )
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute("delete from workflow_version where id = $1", version)
    await connection.execute("delete from organization")
    assert await connection.fetchval("select count(*) from workflow_version") == 0


async def test_publishing_is_told(connection: Connection) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    await connection.add_listener("patchbay_published", lambda *message: told.put_nowait(message[3]))
    version = await save(connection, CONFIG)
    await connection.fetch("select publish_version($1)", version)
    await connection.fetch("select publish_version($1)", version)
    assert await asyncio.wait_for(told.get(), 5) == version
    assert told.empty()


CHANGED = {
    "workflow": "update workflow set name = 'other'",
    "withdrawn": "update workflow_version set status = 'archived'",
    "phone_number": "update phone_number set description = 'x'",
    "workspace_variable": "insert into workspace_variable (organization_id, name, value) select id, 'A', '1' from organization",
    "organization": "update organization set max_concurrent_calls = 3",
}


@pytest.mark.parametrize(("what", "sql"), CHANGED.items(), ids=CHANGED)
async def test_changes_are_told(connection: Connection, what: str, sql: str) -> None:
    version = await save(connection, CONFIG)
    await connection.fetch("select publish_version($1)", version)
    await connection.execute(
        "insert into phone_number (organization_id, number, workflow_id) select organization_id, '+15550100', id from workflow"
    )
    organization = await connection.fetchval("select id from organization")
    told: asyncio.Queue[str] = asyncio.Queue()
    await connection.add_listener("patchbay_changed", lambda *message: told.put_nowait(message[3]))
    await connection.execute(sql)
    table = "workflow_version" if what == "withdrawn" else what
    assert await asyncio.wait_for(told.get(), 5) == f"{table} {organization}"


async def test_the_default_number_of_an_older_schema_becomes_the_default_workflow(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations.known_migrations()
    older = known[: [each.name for each in known].index("patchbay_numbers")]
    connection = await asyncpg.connect(await databases.empty())
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "known_migrations", lambda: older)
        await migrations.migrate(connection)
    await save(connection, CONFIG)
    await connection.execute(
        "insert into phone_number (organization_id, number, workflow_id, is_default) select organization_id, '+15550100', id, true from workflow"
    )
    await migrations.migrate(connection)
    assert await connection.fetchval("select w.name from organization o join workflow w on w.id = default_workflow_id")
    await connection.close()


async def test_a_workflow_that_goes_leaves_its_numbers_and_defaults(connection: Connection) -> None:
    await save(connection, CONFIG)
    await connection.execute(
        "insert into phone_number (organization_id, number, workflow_id) select organization_id, '+15550100', id from workflow"
    )
    await connection.execute("update organization set default_workflow_id = (select id from workflow)")
    await connection.execute("delete from workflow")
    assert await connection.fetchval("select num_nonnulls(workflow_id) from phone_number") == 0
    assert await connection.fetchval("select num_nonnulls(default_workflow_id) from organization") == 0
    await save(connection, CONFIG)
    await connection.execute("update organization set default_workflow_id = (select id from workflow)")
    await connection.execute("delete from organization")
    assert await connection.fetchval("select count(*) from workflow") == 0


WEBHOOKS = {**CONFIG, "session": {"on_end": [{"tool_type": "webhook", "config": {}}]}}
END = "update call_session set ended_at = now(), status = 'completed'"


async def _call(connection: Connection, config: object) -> None:
    version = await save(connection, config)
    await connection.execute(
        "insert into call_session (organization_id, workflow_version_id) select organization_id, id from workflow_version where id = $1",
        version,
    )


async def test_the_work_after_a_call_is_remembered_with_its_end_or_not_at_all(connection: Connection) -> None:
    await _call(connection, WEBHOOKS)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(END)
    assert await connection.fetchval("select count(*) from after_call") == 1
    await transaction.rollback()
    assert await connection.fetchval("select count(*) from after_call") == 0


@pytest.mark.parametrize("config", [*FAULTY, *({"session": each} for each in (None, 1, [], {"on_end": 1}))])
async def test_no_config_keeps_a_call_from_ending(connection: Connection, config: object) -> None:
    await _call(connection, config)
    await connection.execute(END)
    assert await connection.fetchval("select status from call_session") == "completed"
    assert await connection.fetchval("select count(*) from after_call") == 0


async def test_the_service_role_ends_calls(connection: Connection) -> None:
    await _call(connection, WEBHOOKS)
    await connection.execute("set role service_role")
    await connection.execute(END)
    assert await connection.fetchval("select count(*) from after_call") == 1


async def test_what_is_to_be_done_goes_with_its_call(connection: Connection) -> None:
    await _call(connection, WEBHOOKS)
    await connection.execute(END)
    await connection.execute(
        "insert into webhook_delivery (session_id, organization_id, tool_index, name) select id, organization_id, 0, 'x' from call_session"
    )
    await connection.execute("delete from call_session")
    assert await connection.fetchval("select count(*) from after_call") == 0
    assert await connection.fetchval("select count(*) from webhook_delivery") == 0


UNFIT = {
    "no column": (
        "create table unfit (number text); select patchbay.expose_table('unfit')",
        "has no column organization_id",
    ),
    "no uuid": (
        "create table unfit (organization_id integer); select patchbay.expose_table('unfit')",
        "an organization's id is a uuid",
    ),
    "a view": ("create view unfit as select 1; select patchbay.expose_table('unfit')", "is no table"),
    "ours": ("select patchbay.expose_table('session_event')", "is not for tools"),
    "privilege": (
        "create table unfit (organization_id uuid); select patchbay.expose_table('unfit', array['truncate'])",
        "no privileges of a tool",
    ),
    "definer": (
        "create function unfit() returns int security definer language sql as 'select 1'; select patchbay.expose_function('unfit()')",
        "every organization's rows",
    ),
    "procedure": (
        "create procedure unfit() language sql as ''; select patchbay.expose_function('unfit()')",
        "cannot be called by a tool",
    ),
    "our function": ("select patchbay.expose_function('publish_version(uuid)')", "is not for tools"),
}


@pytest.mark.parametrize(("sql", "message"), UNFIT.values(), ids=UNFIT)
async def test_what_cannot_be_exposed_says_why_and_what_to_do(connection: Connection, sql: str, message: str) -> None:
    with pytest.raises(asyncpg.RaiseError, match=message) as caught:
        await connection.execute(sql)
    assert caught.value.hint


async def test_exposing_can_be_changed_and_taken_back(connection: Connection) -> None:
    granted = "select string_agg(privilege_type, ',' order by privilege_type) from information_schema.role_table_grants where grantee = 'patchbay_tool' and table_name = 'mine'"
    policies = "select count(*) from pg_policy where polrelid = 'mine'::regclass"
    await connection.execute("create table mine (organization_id uuid, n serial)")
    for privileges, wanted in ((["select"], "SELECT"), (["select", "insert"], "INSERT,SELECT"), (["select"], "SELECT")):
        await connection.fetch("select patchbay.expose_table('mine', $1)", privileges)
        assert await connection.fetchval(granted) == wanted
        assert await connection.fetchval(policies) == 2
    await connection.fetch("select patchbay.unexpose_table('mine')")
    assert await connection.fetchval(granted) is None
    assert await connection.fetchval(policies) == 0
    assert await connection.fetchval("select relrowsecurity from pg_class where oid = 'mine'::regclass")
