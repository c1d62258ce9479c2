"""Long outages: the store is away for ten minutes while calls go on, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import asyncpg
import pytest

from runtime.session.event_log import CallLog, EventLog
from runtime.session.ports import CallRow
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.migrations import migrate
from runtime.store.postgres import PostgresStore
from tests.fakes.store_outages import StoreOutages

OUTAGE_S = 600
CALLS = 5
EVENTS_A_SECOND = 20


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    server = EmbeddedPostgres(tmp_path / "home").start()
    try:
        connection = await asyncpg.connect(server.dsn)
        await migrate(connection)
        await connection.close()
        yield server.dsn
    finally:
        server.stop()


@pytest.mark.soak
@pytest.mark.timeout(1500)
async def test_ten_minutes_without_a_store_lose_nothing(url: str, tmp_path: Path) -> None:
    store = PostgresStore(url)
    organization = await store.ensure_organization("soak")
    outages = StoreOutages(store)
    async with asyncio.timeout(OUTAGE_S + 300):
        log = await EventLog.open(tmp_path / "events", cast("Any", outages))
        calls = [log.open_call(call_row(organization.id)) for _ in range(CALLS)]
        await log.flush()
        outages.away = True
        for second in range(OUTAGE_S):
            for tick in range(EVENTS_A_SECOND):
                write(calls[tick % CALLS], "user_turn" if second or tick >= CALLS else "call_started")
            await asyncio.sleep(1)
        assert log.depth >= OUTAGE_S * EVENTS_A_SECOND
        outages.away, outages.lost_answers = False, 3
        for call in calls:
            write(call, "call_ended")
            await call.close(replace(call.row, status="completed", ended_at=datetime.now(UTC)))
        assert await log.flush(60)
        await log.aclose()
    assert await what_is_stored(url) == (OUTAGE_S * EVENTS_A_SECOND + CALLS, CALLS, 0)
    assert list((tmp_path / "events").iterdir()) == []
    await store.aclose()


async def what_is_stored(url: str) -> tuple[int, int, int]:
    """Return how many events there are, how many calls have ended, and how many sessions have gaps."""
    connection = await asyncpg.connect(url)
    try:
        events, calls, gaps = [
            await connection.fetchval(sql)
            for sql in (
                "select count(*) from session_event",
                "select count(*) from call_session where status = 'completed'",
                "select count(*) from session_gap",
            )
        ]
    finally:
        await connection.close()
    return events, calls, gaps


def write(call: CallLog, event_type: str) -> None:
    payload = {"v": 1, "turn": 1, "elapsed_ms": call.last_seq}
    call.write(event_type, payload, agent_id=None, occurred_at=datetime.now(UTC))


def call_row(organization_id: str) -> CallRow:
    return CallRow(
        id=str(uuid4()),
        organization_id=organization_id,
        workflow_version_id=None,
        channel="phone",
        direction="inbound",
        is_test=True,
        started_at=datetime.now(UTC),
    )
