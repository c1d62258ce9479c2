"""What is kept of a test: what was said, by whom, as the events tell it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from runtime.session.ports import CallRow, EventRow, Store, TestSessionRow

__all__ = ["save_test", "transcript"]

Json = Any


def transcript(events: Iterable[EventRow]) -> list[dict[str, Json]]:
    """Return one `{"role", "agent", "text", "turn"}` for each turn, in order; what is sensitive is masked already."""
    rows = []
    for event in events:
        if event.event_type not in {"user_turn", "agent_turn"}:
            continue
        caller = event.event_type == "user_turn"
        rows.append(
            {
                "role": "user" if caller else "agent",
                "agent": event.payload.get("agent_name"),
                "text": event.payload["text" if caller else "spoken_text"],
                "turn": event.payload["turn"],
            }
        )
    return rows


async def save_test(store: Store, row: CallRow, events: Iterable[EventRow], test_id: str | None = None) -> None:
    """Store the test session of a call that runs or has ended, over what was saved of it before.

    `test_id` is a UUID, a new one where there is none. A call that runs on no version has no test session.
    """
    if row.workflow_version_id is None:
        return
    await store.save_test(
        TestSessionRow(
            id=test_id or str(uuid.uuid4()),
            organization_id=row.organization_id,
            workflow_version_id=row.workflow_version_id,
            session_id=row.id,
            transcript=transcript(events),
            created_at=row.started_at,
        )
    )
