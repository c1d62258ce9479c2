"""A call's events without the call, written to a real log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runtime.session.event_log import CallLog, EventLog
from runtime.session.ports import CallRow
from runtime.store.memory import MemoryStore

__all__ = ["BEGAN", "SESSION", "play", "whole_call", "written_call"]

BEGAN = datetime(2026, 5, 3, 10, 0, 0, tzinfo=UTC)
SESSION = "6f1c1b86-0d6c-4c0e-9d0b-6a1f0a2b3c4d"
CALLER, DIALLED, WORDS = "+15550199", "+15550100", "my number is four two seven one"

Json = Any


@asynccontextmanager
async def written_call(folder: Path, **row: Any) -> AsyncIterator[CallLog]:
    """Open the log of one call, answered 300 ms before it began; afterwards everything is closed."""
    store = MemoryStore()
    organization = await store.ensure_organization("tests")
    whole = CallRow(
        **{
            "id": SESSION,
            "organization_id": organization.id,
            "workflow_version_id": None,
            "channel": "phone",
            "direction": "inbound",
            "is_test": False,
            "started_at": BEGAN,
            "answered_at": BEGAN - timedelta(milliseconds=300),
            "from_number": CALLER,
            "to_number": DIALLED,
            **row,
        }
    )
    events = await EventLog.open(folder, store, flush_s=0.01)
    try:
        call = events.open_call(whole)
        yield call
        await call.close(whole)
    finally:
        await events.aclose()


def play(log: CallLog, event_type: str, elapsed_ms: int, **payload: Json) -> None:
    """Write an event as a call does."""
    told = {"v": 1, "turn": 0, "elapsed_ms": elapsed_ms, "caused_by": None, **payload}
    log.write(
        event_type, told, agent_id=payload.get("agent_id"), occurred_at=BEGAN + timedelta(milliseconds=elapsed_ms)
    )


def whole_call(log: CallLog) -> None:
    """A call with two agents, two turns, a tool that fails, a path refused and taken, a fault and a transfer."""
    desk = {"agent_id": "a1", "agent_name": "Desk"}
    billing = {"agent_id": "a2", "agent_name": "Billing"}
    tool = {"tool_call_id": "t1", "tool_type": "http_request", "name": "check_order"}
    path = {"path_id": "p1", "path_name": "To Billing", "by": "model"}
    play(log, "call_started", 0, channel="phone", direction="inbound", caller=CALLER, dialled=DIALLED)
    play(log, "agent_entered", 0, **desk, cause="entry")
    play(log, "agent_turn", 2000, **desk, text="Hello.", spoken_text="Hello.", start_ms=200, end_ms=1900)
    play(log, "user_turn", 5000, **desk, text=WORDS, start_ms=3000, end_ms=4500, eou_delay_ms=400, stt_delay_ms=150)
    play(log, "tool_started", 5100, **desk, **tool, arguments={"number": "4271"})
    play(log, "tool_failed", 5600, **desk, **tool, duration_ms=500, error_code="timeout", result_preview="4271")
    play(log, "path_refused", 5700, **desk, **path, reason="missing", missing=["customer_id"])
    play(log, "fault_raised", 5750, **desk, component="llm", code="models_unavailable", message=f"{WORDS} failed")
    answer = {"llm_ttft_ms": 300, "tts_ttfb_ms": 120, "response_ms": 900, "start_ms": 5400, "end_ms": 7000}
    play(log, "agent_turn", 7100, **desk, text="One moment.", spoken_text="One", interrupted=True, **answer)
    play(log, "agent_interrupted", 7100, **desk, at_ms=1600)
    play(log, "path_taken", 7200, **desk, **path, from_agent_id="a1", to_agent_id="a2", latency_ms=3)
    play(log, "agent_exited", 7200, **desk, cause="path", dwell_ms=7200, turns=1)
    play(log, "agent_entered", 7200, **billing, cause="path", path_id="p1")
    play(log, "user_turn", 9000, **billing, text=WORDS, start_ms=8000, end_ms=8500, eou_delay_ms=300)
    spoken = {"response_ms": 500, "start_ms": 9000, "end_ms": 9900}
    play(log, "agent_turn", 10000, **billing, text="Goodbye.", spoken_text="Goodbye.", **spoken)
    play(log, "transfer_started", 10100, **billing, to="+15550177", mode="cold")
    play(log, "transfer_succeeded", 10900, **billing, to="+15550177", mode="cold", sip_status=200)
    play(log, "agent_exited", 11000, **billing, cause="transfer", dwell_ms=3800, turns=1)
    play(log, "call_ended", 11000, status="completed", reason="transferred", duration_ms=11000, turns=2, variables={})
