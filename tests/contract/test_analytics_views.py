"""What analysts read: views, the endpoint's function and the example queries, and who may read them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from runtime.session.ports import VersionRow
from runtime.store.postgres import PostgresStore
from tests.contract.analytics_calls import CALL, CONFIG, START, as_member, told, write

pytestmark = pytest.mark.server

Json = Any
Connection = Any
TABLES = ("call_fact", "stay_fact", "turn_fact", "path_fact", "variable_fact", "tool_fact", "usage_fact", "daily_total")
VIEWS = (
    "agent_funnel",
    "path_conversion",
    "path_refusal",
    "variable_collection",
    "tool_performance",
    "turn_latency",
    "call_cost",
    "version_comparison",
)
READABLE = (*TABLES, *VIEWS, *(f"{view}_all" for view in VIEWS), "turn_histogram")
SECTIONS = {
    *("workflow_version_id", "version", "from", "to", "channel", "include_tests", "calls"),
    *("agents", "paths", "variables", "tools", "latency", "cost", "comparison"),
}
QUESTIONS = sorted((Path(__file__).parents[2] / "examples" / "sql").glob("*.sql"))
DROPPED = (*CALL[:9], ("agent_turn", {"turn": 2, "agent_id": "a", "agent_name": "Desk", "response_ms": 4000}))


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url)
    yield store
    await store.aclose()


@pytest.fixture
async def version(store: PostgresStore) -> VersionRow:
    organization = await store.ensure_organization("Acme")
    return await store.save_draft(organization.id, "support", CONFIG)


@pytest.fixture
async def umbrella(store: PostgresStore) -> str:
    """Another organization, with a call of its own and a member who looks."""
    other = (await store.ensure_organization("Umbrella")).id
    await write(store, await store.save_draft(other, "support", CONFIG))
    return other


async def rows(connection: Connection, query: str, *arguments: object) -> list[dict[str, Json]]:
    return [dict(row) for row in await connection.fetch(query, *arguments)]


async def count(connection: Connection, relation: str, where: str = "true") -> int:
    found: int = await connection.fetchval(f"select count(*) from {relation} where {where}")  # noqa: S608 - our own names
    return found


async def test_the_views_sum_calls_up(connection: Connection, store: PostgresStore, version: VersionRow) -> None:
    for _ in range(3):
        await write(store, version)
    funnel = await rows(
        connection,
        "select agent_name, entered, left_by_path, transferred, hung_up, ended_there, dropped_there, turns from agent_funnel order by 1 desc",
    )
    assert [tuple(row.values()) for row in funnel] == [("Desk", 3, 3, 0, 0, 0, 0, 9), ("Billing", 3, 0, 0, 3, 0, 0, 0)]
    (path,) = await rows(connection, "select requested, taken, refused, taken_share from path_conversion")
    assert path == {"requested": 9, "taken": 3, "refused": 6, "taken_share": pytest.approx(1 / 3)}
    refusals = await rows(
        connection, "select reason, problem, variable, why, refusals from path_refusal order by reason"
    )
    assert [tuple(row.values()) for row in refusals] == [
        ("invalid", "invalid", "number", "malformed", 3),
        ("missing", "missing", "number", None, 3),
    ]
    (variable,) = await rows(connection, "select * from variable_collection")
    assert (variable["calls"], variable["collected"], variable["asks_per_call"], variable["rejected"]) == (3, 3, 2, 3)
    assert variable["collect_p50_ms"] == pytest.approx(9000, rel=0.025)
    (tool,) = await rows(
        connection, "select tool, runs, failed, timed_out, success_share, p50_ms from tool_performance"
    )
    assert tool == {
        "tool": "check_order",
        "runs": 3,
        "failed": 3,
        "timed_out": 3,
        "success_share": 0,
        "p50_ms": pytest.approx(5000, rel=0.025),
    }
    latency = await rows(
        connection, "select turns, p50_ms, p99_ms from turn_latency where agent_id = 'a' and component = 'response'"
    )
    assert latency == [{"turns": 6, "p50_ms": pytest.approx(800, rel=0.025), "p99_ms": pytest.approx(1200, rel=0.025)}]
    (compared,) = await rows(
        connection,
        "select calls, completed_share, duration_avg_ms, turns_per_call, tool_failures from version_comparison",
    )
    assert compared == {
        "calls": 3,
        "completed_share": 1,
        "duration_avg_ms": 16000,
        "turns_per_call": 3,
        "tool_failures": 3,
    }


async def test_a_call_that_broke_off_is_dropped_where_it_was(
    connection: Connection, store: PostgresStore, version: VersionRow
) -> None:
    row = await write(store, version, DROPPED, close=False)
    await connection.execute(
        "update call_session set ended_at = now(), status = 'dropped', end_reason = 'connection_lost' where id = $1",
        row.id,
    )
    found = await rows(connection, "select agent_name, entered, hung_up, dropped_there from agent_funnel")
    assert found == [{"agent_name": "Desk", "entered": 1, "hung_up": 0, "dropped_there": 1}]


async def test_tests_are_left_out_unless_asked_for(
    connection: Connection, store: PostgresStore, version: VersionRow
) -> None:
    await write(store, version, is_test=True)
    assert {view: await count(connection, view) for view in VIEWS} == dict.fromkeys(VIEWS, 0)
    for view in VIEWS:
        assert await count(connection, f"{view}_all", "is_test") > 0


async def test_every_column_says_what_it_means(connection: Connection) -> None:
    bare = await connection.fetch(
        "select c.relname || '.' || a.attname as name from pg_attribute a join pg_class c on c.oid = a.attrelid "
        "where c.relnamespace = 'public'::regnamespace and c.relname = any ($1) and a.attnum > 0 and not a.attisdropped "
        "and col_description(c.oid, a.attnum) is null",
        list(READABLE),
    )
    assert [row["name"] for row in bare] == []


@pytest.mark.parametrize("role", ["owner", "analyst", "viewer"])
async def test_members_read_their_own_and_nobody_writes(
    connection: Connection, store: PostgresStore, version: VersionRow, umbrella: str, role: str
) -> None:
    await write(store, version)
    for organization in (version.organization_id, umbrella):
        async with as_member(connection, organization, role):
            for relation in READABLE:
                seen = await connection.fetch(f"select distinct organization_id::text as id from {relation}")  # noqa: S608
                assert [row["id"] for row in seen] == [organization], relation
    for table in TABLES:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with as_member(connection, version.organization_id, role):
                await connection.execute(f"delete from {table}")  # noqa: S608 - our own names
    for call in (f"patchbay.record_facts('{version.id}')", "patchbay.record_missing_facts()"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with as_member(connection, version.organization_id, role):
                await connection.execute(f"select {call}")


@pytest.mark.parametrize("relation", READABLE)
async def test_nobody_reads_without_signing_in(connection: Connection, relation: str) -> None:
    await connection.execute("set role anon")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch(f"select * from {relation}")  # noqa: S608 - our own names


async def test_the_service_role_ends_calls_and_records_them(
    connection: Connection, store: PostgresStore, version: VersionRow
) -> None:
    row = await write(store, version, close=False)
    async with connection.transaction():
        await connection.execute("set local role service_role")
        await connection.execute("update call_session set ended_at = now(), status = 'completed' where id = $1", row.id)
        await connection.execute("select patchbay.record_facts($1)", row.id)
        assert await count(connection, "call_fact") == 1


async def analytics(connection: Connection, arguments: str, *values: object) -> Json:
    found = await connection.fetchval(f"select analytics({arguments})", *values)
    return None if found is None else json.loads(found)


async def test_the_endpoint_answers_with_one_object(
    connection: Connection, store: PostgresStore, version: VersionRow, umbrella: str
) -> None:
    second = await store.save_draft(version.organization_id, "other", CONFIG)
    await write(store, version)
    await write(store, version, channel="web", started_at=START - timedelta(days=10))
    await write(store, version, is_test=True)
    await write(store, second)
    async with as_member(connection, version.organization_id):
        found = await analytics(connection, "$1", version.id)
        assert set(found) == SECTIONS
        assert (found["calls"]["calls"], found["calls"]["refusals"], found["comparison"]) == (2, 4, None)
        assert [(agent["agent_name"], agent["entered"]) for agent in found["agents"]] == [("Billing", 2), ("Desk", 2)]
        (path,) = found["paths"]
        assert (path["requested"], path["taken"]) == (6, 2)
        assert sorted((each["reason"], each["variable"], each["refusals"]) for each in path["refusals"]) == [
            ("invalid", "number", 2),
            ("missing", "number", 2),
        ]
        assert (found["variables"][0]["variable"], found["variables"][0]["asks"]) == ("number", 4)
        assert (found["tools"][0]["name"], found["tools"][0]["timed_out"]) == ("check_order", 2)
        response = [each for each in found["latency"] if each["component"] == "response" and each["agent_id"] == "a"]
        assert (response[0]["turns"], response[0]["p50_ms"]) == (4, pytest.approx(800, rel=0.025))
        assert {(each["provider"], each["calls"], each["cost"]) for each in found["cost"]} == {
            ("openai", 2, None),
            ("ears", 2, None),
        }
        assert (await analytics(connection, "$1, include_tests => true", version.id))["calls"]["calls"] == 3
        assert (await analytics(connection, "$1, channel => 'web'", version.id))["calls"]["calls"] == 1
        recent = await analytics(connection, "$1, from_day => $2, to_day => $2", version.id, START.date())
        assert (recent["calls"]["calls"], recent["from"]) == (1, START.date().isoformat())
        compared = (await analytics(connection, "$1, compare_with => $2", version.id, second.id))["comparison"]
        assert [(each["workflow_version_id"], each["calls"]) for each in compared] == [(version.id, 2), (second.id, 1)]
        nothing = await analytics(connection, "$1, to_day => '2020-01-01'", version.id)
        assert (nothing["calls"]["calls"], nothing["agents"], nothing["paths"]) == (0, [], [])
        assert await analytics(connection, "gen_random_uuid()") is None
    async with as_member(connection, umbrella):
        assert await analytics(connection, "$1", version.id) is None
        own = await connection.fetchval("select id from workflow_version")
        assert (await analytics(connection, "$1, compare_with => $2", own, version.id))["comparison"] is None


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda path: path.stem)
async def test_the_first_questions_are_answered_to_members_only(
    connection: Connection, store: PostgresStore, tmp_path: Path, question: Path
) -> None:
    acme = (await store.ensure_organization("Acme")).id
    other = (await store.ensure_organization("Umbrella")).id
    await told(store, acme, tmp_path, "change_of_mind")
    await write(store, await store.save_draft(acme, "support", CONFIG))
    text = question.read_text("utf-8")
    assert text.startswith("-- ")
    async with as_member(connection, acme):
        assert await connection.fetch(text)
    async with as_member(connection, other):
        assert await connection.fetch(text) == []


def test_there_are_ten_questions() -> None:
    assert len(QUESTIONS) == 10
