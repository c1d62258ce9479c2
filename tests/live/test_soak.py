"""Long outages: the store is away for ten minutes while calls go on, and nothing is lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtime.session.event_log import EventLog
from runtime.session.ports import CallRow
from runtime.store.memory import MemoryStore

OUTAGE_S = 600
CALLS = 5
EVENTS_A_SECOND = 20


@pytest.mark.soak
@pytest.mark.timeout(1500)
async def test_ten_minutes_without_a_store_lose_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    organization = await store.ensure_organization("soak")
    async with asyncio.timeout(OUTAGE_S + 300):
        log = await EventLog.open(tmp_path, store)
        calls = [log.open_call(call_row(organization.id, number)) for number in range(CALLS)]
        await log.flush()
        store.away = True
        for tick in range(OUTAGE_S * EVENTS_A_SECOND):
            calls[tick % CALLS].write("user_turn", {"n": tick}, agent_id=None, occurred_at=datetime.now(UTC))
            if tick % EVENTS_A_SECOND == 0:
                await asyncio.sleep(1)
        assert log.depth > 0
        store.away = False
        for call in calls:
            await call.close(call.row)
        assert await log.flush(60)
        await log.aclose()
    for call in calls:
        events = await store.events(call.row.id)
        assert [event.seq for event in events] == list(range(1, OUTAGE_S * EVENTS_A_SECOND // CALLS + 1))
    assert list(tmp_path.glob("*.ndjson")) == []


def call_row(organization_id: str, number: int) -> CallRow:
    return CallRow(
        id=f"00000000-0000-4000-8000-{number:012d}",
        organization_id=organization_id,
        workflow_version_id=None,
        channel="phone",
        direction="inbound",
        is_test=True,
        started_at=datetime.now(UTC),
    )
