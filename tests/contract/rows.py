"""Rows to put into stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from runtime.session.ports import CallRow, EventRow

START = datetime(2026, 5, 3, 15, 30, 0, 123456, tzinfo=UTC)
CONFIG: dict[str, Any] = {"agents": [{"id": "intake", "name": "Intake", "instructions": "Ask."}]}


def a_call(organization_id: str, **fields: Any) -> CallRow:
    known = {
        "id": str(uuid4()),
        "workflow_version_id": None,
        "channel": "chat_test",
        "direction": "inbound",
        "is_test": True,
        "started_at": START,
    }
    return CallRow(organization_id=organization_id, **{**known, **fields})


def some_events(call: CallRow, *seqs: int, secret: str | None = None, epoch: int = 1) -> list[EventRow]:
    return [
        EventRow(
            session_id=call.id,
            organization_id=call.organization_id,
            seq=seq,
            event_type="user_turn",
            payload={"text": f"word {seq} – ü 😀", "v": 1, "values": [1, 2.5, None, {"a": True}]},
            agent_id=None if seq == 1 else "intake",
            occurred_at=START + timedelta(seconds=seq),
            secret=secret,
            epoch=epoch,
        )
        for seq in seqs
    ]
