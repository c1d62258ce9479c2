"""What a receiver is told of a call that has ended: its stored row and events, and nothing that is not stored."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from runtime.aftercall.ports import Delivery
from runtime.session.after_call_ports import EndedCall
from runtime.session.ports import EventRow

__all__ = ["as_body", "call_ended"]

Json = Any


def call_ended(call: EndedCall, delivery: Delivery, *, events: bool | Collection[str] = False) -> dict[str, Json]:
    """Return the payload of an attempt. `events`: none, all, or those of these types.

    Of one delivery, only `sent_at` differs from attempt to attempt.
    """
    payload: dict[str, Json] = {
        "v": 1,
        "type": "call.ended",
        "delivery_id": delivery.id,
        "sent_at": delivery.sent_at,
        "session": asdict(call.row),
        "workflow": {
            "id": _workflow_id(call),
            "version_id": call.row.workflow_version_id,
            "name": call.workflow_name,
        },
    }
    if events is not False:
        wanted = [each for each in call.events if events is True or each.event_type in events]
        payload["events"] = [_event(each) for each in wanted]
    return payload


def as_body(payload: Mapping[str, Json]) -> bytes:
    """Return the JSON as it goes over the wire; times are ISO 8601 with an offset."""
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode()


def _workflow_id(call: EndedCall) -> str | None:
    started = next((event for event in call.events if event.event_type == "call_started"), None)
    found = started.payload.get("workflow_id") if started is not None else None
    return found if isinstance(found, str) else None


def _event(event: EventRow) -> dict[str, Json]:
    return {
        "seq": event.seq,
        "event_type": event.event_type,
        "agent_id": event.agent_id,
        "occurred_at": event.occurred_at,
        "payload": event.payload,
    }


def _plain(value: object) -> Json:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
