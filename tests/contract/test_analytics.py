"""Facts and daily totals: what calls are known to come to, however often and in whatever order it is worked out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.session.ports import VersionRow
from runtime.store.postgres import PostgresStore
from tests.contract.analytics_calls import CALL, CONFIG, START, events, told, write

pytestmark = pytest.mark.server

Connection = Any
TABLES = ("call_fact", "stay_fact", "turn_fact", "path_fact", "variable_fact", "tool_fact", "usage_fact", "daily_total")
PRICES = """
insert into price (provider, model, unit, price, valid_from) values
  ('OpenAI', 'gpt', 'input_token', 9, '2020-01-01'), ('openai', 'gpt', 'input_token', 0.001, '2021-01-01'),
  ('openai', 'gpt', 'output_token', 0.01, '2021-01-01'), ('openai', 'gpt', 'output_token', 7, '2999-01-01')
"""


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url)
    yield store
    await store.aclose()


@pytest.fixture
async def version(store: PostgresStore) -> VersionRow:
    organization = await store.ensure_organization("Acme")
    return await store.save_draft(organization.id, "support", CONFIG)


async def everything(connection: Connection) -> dict[str, list[str]]:
    """Every row of every fact as text, without the totals of nothing."""
    found = {}
    for table in TABLES:
        rows = await connection.fetch(f"select t::text as row from {table} t order by 1")  # noqa: S608 - our own names
        found[table] = [row["row"] for row in rows]
    found["daily_total"] = [
        row["row"]
        for row in await connection.fetch("select t::text as row from daily_total t where counts[1] > 0 order by 1")
    ]
    return found


async def rows(connection: Connection, query: str, *arguments: object) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.fetch(query, *arguments)]


async def test_a_call_comes_to_these_facts(connection: Connection, store: PostgresStore, version: VersionRow) -> None:
    await connection.execute(PRICES)
    call = await write(store, version)
    assert await rows(
        connection,
        "select session_id::text, version, channel, day, status, end_reason, duration_ms, turns, agents, paths_taken, refusals, "
        "tool_runs, tool_failures, faults, events, cost::float8, currency from call_fact",
    ) == [
        (
            call.id,
            1,
            "phone",
            START.date(),
            "completed",
            "caller_hangup",
            16000,
            3,
            2,
            1,
            2,
            1,
            1,
            1,
            len(CALL),
            1.5,
            "USD",
        )
    ]
    assert await rows(
        connection,
        "select stay, agent_name, entered_by, entered_path_id, left_by, left_path_id, left_path_name, dwell_ms, turns from stay_fact order by 1",
    ) == [
        (1, "Desk", "entry", None, "path", "p", "To Billing", 9000, 3),
        (2, "Billing", "path", "p", "hung_up", None, None, 6900, 0),
    ]
    assert await rows(
        connection,
        "select turn, agent_id, interrupted, stt_delay_ms, eou_delay_ms, llm_ttft_ms, tts_ttfb_ms, response_ms from turn_fact order by seq",
    ) == [
        (0, "a", True, None, None, None, 90, None),
        (1, "a", False, 110, 400, 300, None, 800),
        (1, "a", False, None, None, None, None, None),
        (2, "a", False, 120, 500, None, None, 1200),
        (3, "b", False, 130, 600, None, None, 6000),
    ]
    assert await rows(
        connection,
        "select seq, asked_by, outcome, reason, missing, invalid, invalid_why, unconfirmed, to_agent_id, latency_ms from path_fact order by seq",
    ) == [
        (5, "model", "refused", "missing", ["number"], [], [], [], None, None),
        (10, "model", "refused", "invalid", [], ["number"], ["malformed"], [], None, None),
        (15, "model", "taken", None, [], [], [], [], "b", 100),
    ]
    # Missing in turn 1, rejected in turn 2: asked for twice. From the entering of the desk at 100 to 9100.
    assert await rows(
        connection,
        "select name, agent_id, data_type, source, is_collected, asks, attempts, rejected, withdrawn, corrected, confirmed, collect_ms from variable_fact",
    ) == [("number", "a", "digits", "speech", True, 2, 2, 1, 0, 0, 0, 9000)]
    assert await rows(
        connection, "select seq, agent_id, tool_type, name, mocked, ok, error_code, duration_ms from tool_fact"
    ) == [(21, "b", "http_request", "check_order", False, False, "timeout", 5000)]
    # 800 tokens and 200 cached ones, which have no price of their own, at 0.001; 50 at 0.01.
    assert await rows(
        connection,
        "select seq, item, provider, model, kind, input_tokens, audio_ms, cost::float8, currency from usage_fact order by seq, item",
    ) == [
        (20, 1, "openai", "gpt", "llm", 1000, 0, 1.5, "USD"),
        (20, 2, "ears", "one", "stt", 0, 12500, None, None),
        (25, 1, "ears", "one", "stt", 0, 2500, None, None),
    ]
    assert (await store.call(call.id)).cost == 1.5


async def test_what_has_no_price_has_no_cost(connection: Connection, store: PostgresStore, version: VersionRow) -> None:
    call = await write(store, version)
    assert (await store.call(call.id)).cost is None
    assert await rows(connection, "select cost, currency from call_fact") == [(None, None)]
    assert await rows(connection, "select distinct cost, cost_per_call from call_cost") == [(None, None)]


async def test_a_cost_that_is_told_stands(connection: Connection, store: PostgresStore, version: VersionRow) -> None:
    await connection.execute(PRICES)
    usage = {"provider": "openai", "model": "gpt", "kind": "llm", "input_tokens": 9, "cost": 0.25}
    call = await write(store, version, [("usage_reported", {"usage": [usage]})])
    assert (await store.call(call.id)).cost == 0.25


async def test_real_conversations_come_to_what_their_events_tell(
    connection: Connection, store: PostgresStore, tmp_path: Path
) -> None:
    acme = (await store.ensure_organization("Acme")).id
    calls = await told(store, acme, tmp_path, "billing", "change_of_mind")
    for call in calls:
        counted = {kind: call.types.count(kind) for kind in call.types}
        fact = dict(await connection.fetchrow("select * from call_fact where session_id = $1", call.row.id))
        assert fact["events"] == len(call.events)
        assert fact["agents"] == counted["agent_entered"]
        assert fact["paths_taken"] == counted["path_taken"]
        assert fact["refusals"] == counted.get("path_refused", 0)
        assert fact["turns"] == call.payloads("call_ended")[0]["turns"]
        dwells = await rows(
            connection, "select dwell_ms, turns from stay_fact where session_id = $1 order by stay", call.row.id
        )
        assert dwells == [(each["dwell_ms"], each["turns"]) for each in call.payloads("agent_exited")]
        answers = await rows(
            connection, "select response_ms from turn_fact where session_id = $1 order by seq", call.row.id
        )
        assert [each for (each,) in answers] == [each["response_ms"] for each in call.payloads("agent_turn")]
    entered, left = (
        await rows(
            connection,
            "select sum(entered), sum(left_by_path + transferred + hung_up + ended_there + dropped_there) from agent_funnel",
        )
    )[0]
    assert entered == left == sum(call.types.count("agent_entered") for call in calls)


async def test_no_words_numbers_or_values_are_kept(
    connection: Connection, store: PostgresStore, version: VersionRow, tmp_path: Path
) -> None:
    await write(store, version, from_number="+4930555123", to_number="+4930555999")
    calls = await told(store, version.organization_id, tmp_path, "billing")
    kept = json.dumps(await everything(connection))
    said = [
        payload["text"] for call in calls for kind in ("user_turn", "agent_turn") for payload in call.payloads(kind)
    ]
    for private in (*said, "4271", "42 oh", "+4930555", "Your number?", "must be digits"):
        assert private not in kept


async def test_recording_again_changes_nothing(
    connection: Connection, store: PostgresStore, version: VersionRow, tmp_path: Path
) -> None:
    await connection.execute(PRICES)
    calls = [await write(store, version) for _ in range(2)]
    await told(store, version.organization_id, tmp_path, "change_of_mind")
    before = await everything(connection)
    for call in calls:
        await connection.execute("select patchbay.record_facts($1)", call.id)
        await store.close_call(call)
    assert await connection.fetchval("select patchbay.record_missing_facts()") == 0
    assert await everything(connection) == before


async def test_events_that_come_late_are_counted_once(
    connection: Connection, store: PostgresStore, version: VersionRow
) -> None:
    whole = await write(store, version)
    expected = await everything(connection)
    late = await write(store, version, CALL[:12])
    await store.append(events(late, CALL[12:], after=12))
    await store.close_call(late)
    found = await everything(connection)
    assert {table: len(each) for table, each in found.items() if table != "daily_total"} == {
        table: 2 * len(each) for table, each in expected.items() if table != "daily_total"
    }
    await connection.execute("delete from call_fact where session_id = $1", late.id)
    assert len(found["daily_total"]) == len(expected["daily_total"])
    doubled = await rows(connection, "select sum(counts[1]) from daily_total group by subject order by subject")
    await connection.execute("delete from call_fact; delete from daily_total; select patchbay.record_missing_facts()")
    assert await rows(connection, "select sum(counts[1]) from daily_total group by subject order by subject") == doubled
    assert whole.id != late.id


async def test_a_row_that_comes_already_ended_is_recorded(
    connection: Connection, store: PostgresStore, version: VersionRow
) -> None:
    call = await write(store, version, ended_at=START, status="completed")
    assert await rows(connection, "select session_id::text, events from call_fact") == [(call.id, len(CALL))]
    assert await rows(connection, "select calls from version_comparison") == [(1,)]


async def test_facts_are_made_up_for(connection: Connection, store: PostgresStore, version: VersionRow) -> None:
    await write(store, version)
    once = await everything(connection)
    await connection.execute("delete from call_fact; delete from daily_total")
    assert await connection.fetchval("select patchbay.record_missing_facts(10)") == 1
    assert await everything(connection) == once
    await connection.execute("alter table call_session disable trigger call_session_facts_at_end")
    for _ in range(3):
        await write(store, version)
    assert await connection.fetchval("select patchbay.record_missing_facts(2)") == 2
    assert await connection.fetchval("select patchbay.record_missing_facts()") == 1
    assert await rows(connection, "select calls, turns, refusals from version_comparison") == [(4, 12, 8)]


async def test_a_call_ends_whatever_becomes_of_its_facts(
    connection: Connection, store: PostgresStore, version: VersionRow
) -> None:
    await connection.execute("alter table tool_fact rename to away")
    call = await write(store, version)
    assert (await store.call(call.id)).status == "completed"
    assert await connection.fetchval("select count(*) from call_fact") == 0
    await connection.execute("alter table away rename to tool_fact")
    assert await connection.fetchval("select patchbay.record_missing_facts()") == 1


async def test_calls_that_end_at_once_are_all_counted(
    connection: Connection, store: PostgresStore, version: VersionRow
) -> None:
    calls = [await write(store, version, close=False) for _ in range(24)]
    ends = [store.close_call(call) for call in calls]
    again = [connection.execute("select patchbay.record_missing_facts()")]
    await asyncio.gather(*ends, *again)
    await connection.execute("select patchbay.record_missing_facts()")
    assert await rows(connection, "select calls, turns, refusals from version_comparison") == [(24, 72, 48)]
    assert await rows(connection, "select component, turns from turn_latency where agent_id = 'b' order by 1") == [
        ("eou_delay", 24),
        ("response", 24),
        ("stt_delay", 24),
    ]


async def test_facts_outlive_their_events_and_their_call_and_not_their_organization(
    connection: Connection, store: PostgresStore, version: VersionRow
) -> None:
    call = await write(store, version)
    before = await everything(connection)
    await connection.execute("delete from session_event")
    await connection.execute("select patchbay.record_facts($1)", call.id)
    await store.close_call(call)
    await connection.execute("delete from call_session")
    await connection.execute("select patchbay.record_facts($1)", call.id)
    assert await everything(connection) == before
    await connection.execute("delete from organization")
    assert set(map(len, (await everything(connection)).values())) == {0}


KINDS = sorted({kind for kind, _ in CALL} | {"variable_corrected", "variable_confirmed", "tool_succeeded"})
KEYS = sorted({key for _, payload in CALL for key in payload})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5).filter(lambda t: "\x00" not in t and t.isprintable()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "why", "provider", "input_tokens", "audio_seconds", "cost"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@pytest.fixture
async def shared(store: PostgresStore, version: VersionRow) -> tuple[PostgresStore, VersionRow]:
    return store, version


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    call=st.lists(
        st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8)), max_size=12
    )
)
async def test_no_payload_is_too_odd(
    connection: Connection, shared: tuple[PostgresStore, VersionRow], call: list[tuple[str, dict[str, Any]]]
) -> None:
    row = await write(*shared, call)
    assert await connection.fetchval("select events from call_fact where session_id = $1", row.id) == len(call)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    times=st.lists(st.integers(0, 10**6), min_size=1, max_size=200), others=st.lists(st.integers(0, 5000), max_size=20)
)
async def test_percentiles_are_within_two_and_a_half_percent(
    connection: Connection, times: list[int], others: list[int]
) -> None:
    found = await connection.fetchval(
        "select private.percentiles(private.added(private.histogram($1), private.histogram($2)))", times, others
    )
    exact = await connection.fetchval(
        "select percentile_disc(array[0.5, 0.9, 0.95, 0.99]) within group (order by t) from unnest($1::int[] || $2::int[]) t",
        times,
        others,
    )
    for one, other in zip(found, exact, strict=True):
        assert one == pytest.approx(other, rel=0.025)
    taken_back = (
        "select private.percentiles(private.added(private.histogram($1), private.negated(private.histogram($1))))"
    )
    assert await connection.fetchval(taken_back, times) is None
