"""What the calls of a load test left in the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from runtime.harness.load.transcripts import Heard, read_stored
from runtime.session.ports import CallRow, EventRow
from runtime.store.memory import MemoryStore
from tests.runtime.harness.load.samples import call

NOW = datetime(2026, 5, 3, tzinfo=UTC)
EVENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("user_turn", {"text": "My bill, please.", "by": "speech"}),
    ("user_turn", {"text": "4271", "by": "dtmf"}),
    ("agent_turn", {"response_ms": 420, "text": "Good day."}),
    ("agent_turn", {"response_ms": None, "text": "Yes?"}),
    ("user_turn", {"text": "my bill", "by": "speech"}),
    ("fault_raised", {"component": "tts", "code": "late"}),
)


class Ended(MemoryStore):
    """A store in which the sessions of these rooms have ended."""

    def __init__(self, *rooms: str, open_room: str = "") -> None:
        super().__init__()
        row = CallRow("", "org", None, "web", "inbound", is_test=False, started_at=NOW, status="completed")
        self._rows = [replace(row, id=room, room=room, ended_at=NOW, end_reason="caller_hangup") for room in rooms]
        if open_room:
            self._rows.append(replace(row, id=open_room, room=open_room, status="active"))

    async def calls(self, organization_id: str, *, limit: int = 20, tests: bool = True) -> list[CallRow]:
        assert organization_id == "org"
        assert limit > len(self._rows)
        return self._rows

    async def events(self, session_id: str) -> list[EventRow]:
        return [EventRow(session_id, "org", at, kind, told, None, NOW) for at, (kind, told) in enumerate(EVENTS, 1)]


async def test_words_faults_and_latencies_of_each_call() -> None:
    found = await read_stored(Ended("load-x-1", "another"), "org", [call(1)])
    assert set(found) == {1}
    assert (found[1].events, found[1].reason, found[1].faults) == (6, "caller_hangup", ("tts/late",))
    assert found[1].response_ms == (420.0,)
    assert found[1].heard == Heard(words=6, words_lost=1, utterances=2, utterances_lost=0)


async def test_calls_that_are_not_there_are_waited_for_and_then_missing() -> None:
    found = await read_stored(
        Ended("load-x-1", open_room="load-x-2"), "org", [call(1), call(2), call(3)], within_s=0.01
    )
    assert set(found) == {1, 2}
    assert found[2].status == "active"
