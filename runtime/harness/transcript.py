"""The transcript of a test: what was said, by whom, as the events tell it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runtime.session.ports import EventRow

__all__ = ["transcript"]

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
