"""How a call ends whose process died: the events and the row that it can no longer write itself. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from runtime.session.ports import CallRow, EventRow, SessionStatus

__all__ = ["Ending", "ending_of"]

_ENDS = {
    "tool_started": ("tool_failed", "tool_call_id", frozenset({"tool_succeeded", "tool_failed"})),
    "transfer_started": ("transfer_failed", "to", frozenset({"transfer_succeeded", "transfer_failed"})),
}
_VALUES = frozenset({"variable_collected", "variable_corrected", "variable_confirmed"})


@dataclass(frozen=True, slots=True)
class Ending:
    """What is to be appended, and the call's last row."""

    events: tuple[EventRow, ...]
    row: CallRow


def ending_of(row: CallRow, events: Sequence[EventRow]) -> Ending:
    """End the call of `row`, whose stored events by seq are `events`, at its last sign of life.

    A call that wrote its `call_ended` ends as that says. A call without any event has only its row closed: a
    `call_ended` may not be a session's first event.
    """
    if not events:
        return Ending((), replace(row, status="dropped", end_reason="worker_lost", ended_at=row.started_at))
    last = events[-1]
    if last.event_type == "call_ended":
        return Ending((), _closed(row, last.payload, last.occurred_at))
    missing = [_failed(started, last) for started in _unfinished(events)]
    missing.append(_call_ended(events))
    numbered = tuple(replace(event, seq=last.seq + 1 + index, epoch=row.epoch) for index, event in enumerate(missing))
    return Ending(numbered, _closed(row, numbered[-1].payload, last.occurred_at))


def _closed(row: CallRow, ended: Any, at: datetime) -> CallRow:
    status: SessionStatus = "completed" if ended.get("status") == "completed" else "dropped"
    variables = ended.get("variables") or {}
    return replace(row, status=status, end_reason=ended.get("reason"), ended_at=at, variables=variables)


def _unfinished(events: Sequence[EventRow]) -> list[EventRow]:
    open_: dict[tuple[str, object], EventRow] = {}
    for event in events:
        for started, (_, key, ends) in _ENDS.items():
            if event.event_type == started:
                open_[started, event.payload.get(key)] = event
            elif event.event_type in ends:
                open_.pop((started, event.payload.get(key)), None)
    return list(open_.values())


def _failed(started: EventRow, last: EventRow) -> EventRow:
    elapsed_ms = _elapsed_ms(last)
    payload = {**started.payload, "turn": _turn(last), "elapsed_ms": elapsed_ms, "caused_by": started.seq}
    if started.event_type == "tool_started":
        payload |= {
            "duration_ms": max(0, elapsed_ms - _elapsed_ms(started)),
            "result_preview": "",
            "error_code": "worker_lost",
        }
    else:
        payload["sip_status"] = None
    return replace(
        started, event_type=_ENDS[started.event_type][0], payload=payload, occurred_at=last.occurred_at, secret=None
    )


def _call_ended(events: Sequence[EventRow]) -> EventRow:
    last = events[-1]
    elapsed_ms = max(map(_elapsed_ms, events))
    turns = max(map(_turn, events))
    payload = {
        "v": 1,
        "turn": turns,
        "elapsed_ms": elapsed_ms,
        "caused_by": None,
        "status": "dropped",
        "reason": "worker_lost",
        "duration_ms": elapsed_ms,
        "turns": turns,
        "variables": {
            event.payload["name"]: event.payload.get("value")
            for event in events
            if event.event_type in _VALUES and event.payload.get("confirmed", True) and "name" in event.payload
        },
    }
    return replace(last, event_type="call_ended", payload=payload, secret=None)


def _elapsed_ms(event: EventRow) -> int:
    value = event.payload.get("elapsed_ms")
    return value if isinstance(value, int) else 0


def _turn(event: EventRow) -> int:
    value = event.payload.get("turn")
    return value if isinstance(value, int) else 0
