"""When things happened in a call, read from its events."""

from __future__ import annotations

from datetime import datetime, timedelta

from runtime.session.event_log import CallLog
from runtime.session.ports import EventRow

__all__ = ["FirstSound", "began_at"]


def began_at(row: EventRow) -> datetime:
    """Return when the call began, told by any of its events; all its `…_ms` count from there."""
    return row.occurred_at - timedelta(milliseconds=row.payload.get("elapsed_ms") or 0)


class FirstSound:
    """Finds the first agent_turn that was heard: how long after the answer it began."""

    def __init__(self, log: CallLog) -> None:
        self._log = log
        self._found = False

    def seconds(self, row: EventRow) -> float | None:
        """Return the seconds from the answer (or, where none is known, the begin) to the first sound, once."""
        start_ms: int | None = row.payload.get("start_ms")
        if self._found or row.event_type != "agent_turn" or start_ms is None:
            return None
        self._found = True
        answered_at = self._log.row.answered_at
        waited = (began_at(row) - answered_at).total_seconds() if answered_at else 0.0
        return max(0.0, waited + start_ms / 1000)
