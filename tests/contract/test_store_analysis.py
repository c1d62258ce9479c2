"""What every store promises of the analyses of calls."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest

from runtime.errors import NotFound
from runtime.session.after_call_ports import Analysis
from runtime.session.analysis import stored_analysis
from runtime.session.ports import OrganizationRow, Store
from tests.contract.rows import START, a_call
from tests.fakes.databases import Databases

ANALYSIS = stored_analysis(
    Analysis("Zoë wanted a copy.", "resolved", {"due": {"amount": "12.50"}, "day": None}, "local", "rules", 40, 2),
    datetime(2026, 5, 3, 16, tzinfo=UTC),
)


def test_an_analysis_is_stored_as_version_1() -> None:
    assert ANALYSIS == {
        "v": 1,
        "summary": "Zoë wanted a copy.",
        "outcome": "resolved",
        "fields": {"due": {"amount": "12.50"}, "day": None},
        "provider": "local",
        "model": "rules",
        "input_tokens": 40,
        "output_tokens": 2,
        "error_code": None,
        "at": "2026-05-03T16:00:00+00:00",
    }
    failed = stored_analysis(Analysis(None, None, {}, "", "", 0, 0, "nothing_said"), START)
    assert (failed["error_code"], failed["provider"], failed["model"]) == ("nothing_said", None, None)


async def test_an_analysis_is_part_of_the_call_and_changes_nothing_else(store: Store, acme: OrganizationRow) -> None:
    call, other = a_call(acme.id, variables={"a": 1}), a_call(acme.id)
    await store.open_call(call)
    await store.open_call(other)
    ended = replace(call, ended_at=START, status="completed", end_reason="caller_hangup")
    await store.close_call(ended)
    await store.save_analysis(call.id, {"v": 1, "error_code": "timeout"})
    await store.save_analysis(call.id, ANALYSIS)
    assert await store.call(call.id) == replace(ended, analysis=ANALYSIS)
    await store.close_call(ended)
    assert {row.id: row.analysis for row in await store.calls(acme.id)} == {call.id: ANALYSIS, other.id: None}


@pytest.mark.parametrize("unknown", [str(uuid4()), "no uuid"], ids=["unknown", "no_uuid"])
async def test_the_analysis_of_an_unknown_session_is_refused(store: Store, unknown: str) -> None:
    with pytest.raises(NotFound, match="session"):
        await store.save_analysis(unknown, ANALYSIS)


@pytest.mark.server
async def test_the_overview_tells_summary_and_outcome(databases: Databases) -> None:
    connection = await asyncpg.connect(await databases.migrated())
    try:
        organization = await connection.fetchval("insert into organization (name) values ('Acme') returning id")
        await connection.execute(
            "insert into call_session (organization_id, analysis) values ($1, $2::text::jsonb), ($1, null)",
            organization,
            '{"v": 1, "summary": "All well.", "outcome": "resolved"}',
        )
        found = await connection.fetch(
            "select analysis_summary, analysis_outcome from session_overview order by 1 nulls last"
        )
        assert [tuple(row) for row in found] == [("All well.", "resolved"), (None, None)]
        options = await connection.fetchval("select reloptions from pg_class where relname = 'session_overview'")
        assert options == ["security_invoker=true"]
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("update call_session set analysis = '[]'")
    finally:
        await connection.close()
