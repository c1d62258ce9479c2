"""What the local log holds: the opening, the events, the checkpoints and the closing of calls, one line of JSON with its checksum each."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias, assert_never

from pydantic_core import PydanticSerializationError, from_json, to_json

from runtime.session.fleet_ports import CheckpointRow
from runtime.session.payloads import from_text, json_of, plain_mapping
from runtime.session.ports import CallRow, EventRow

__all__ = ["Closed", "Opened", "Record", "decode", "encode", "name_of"]


@dataclass(frozen=True, slots=True)
class Opened:
    """The call's row must be in the store before its events."""

    row: CallRow


@dataclass(frozen=True, slots=True)
class Closed:
    """The call's last row, to be stored after its last event."""

    row: CallRow


Record: TypeAlias = Opened | EventRow | CheckpointRow | Closed

_TAIL = len(b',"crc":"00000000"}')
# An event's payload stands last, so that a line can be cut before it: it is encoded once, and the store takes these bytes.
_PAYLOAD = b',"payload":'
_CALL_FIELDS = frozenset(field.name for field in fields(CallRow))
_CHECKPOINT_FIELDS = frozenset(field.name for field in fields(CheckpointRow))
_CALL_TIMES = ("started_at", "answered_at", "ended_at")
_EVENT = (
    b'{"kind":"event","session_id":%b,"organization_id":%b,"seq":%d,"event_type":%b,"agent_id":%b,'
    b'"occurred_at":%b,"secret":%b,"epoch":%d'
)
# What one event has in common with the next is encoded once. Nothing secret is kept so.
_text = lru_cache(maxsize=2048)(to_json)


def encode(record: Record, **notes: str) -> bytes:
    """One line: a JSON object that ends with the CRC-32 of all that stands before it; `notes` are further keys.

    Raises `ValueError` naming the record where it holds something that JSON cannot carry.
    """
    try:
        if isinstance(record, EventRow):
            head = _head(record)
            if notes:
                head = to_json(from_json(head + b"}") | notes)[:-1]
            body = b"%b%b%b" % (head, _PAYLOAD, json_of(record.payload))
        else:
            body = to_json(_plain(record) | notes, fallback=plain_mapping)[:-1]
    except PydanticSerializationError as error:
        raise ValueError(f"{name_of(record)} cannot be written as JSON: {error}") from error
    return body + b',"crc":"%08x"}\n' % zlib.crc32(body)


def decode(line: bytes) -> Record | None:
    """Return the record of a line without its newline; None where the line is torn, damaged or of a later release."""
    if line[-_TAIL:] != b',"crc":"%08x"}' % zlib.crc32(line[:-_TAIL]):
        return None
    try:
        return _record(_parsed(line))
    except (KeyError, TypeError, ValueError):
        return None


def name_of(record: Record) -> str:
    """Name the record to a person, without anything it holds."""
    match record:
        case Opened(row):
            return f"the opening of session {row.id}"
        case Closed(row):
            return f"the closing of session {row.id}"
        case EventRow():
            return f"event {record.seq} ({record.event_type}) of session {record.session_id}"
        case CheckpointRow():
            return f"the checkpoint at event {record.seq} of session {record.session_id}"
        case _:
            assert_never(record)


def _head(row: EventRow) -> bytes:
    secret = row.secret
    return _EVENT % (
        _text(row.session_id),
        _text(row.organization_id),
        row.seq,
        _text(row.event_type),
        _text(row.agent_id),
        to_json(row.occurred_at),
        b"null" if secret is None else to_json(secret),
        row.epoch,
    )


def _plain(record: Opened | CheckpointRow | Closed) -> dict[str, Any]:
    match record:
        case CheckpointRow():
            return {"kind": "checkpoint"} | {name: getattr(record, name) for name in _CHECKPOINT_FIELDS}
        case Opened(row):
            return {"kind": "open", "row": _plain_call(row)}
        case Closed(row):
            return {"kind": "close", "row": _plain_call(row)}
        case _:
            assert_never(record)


def _plain_call(row: CallRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _CALL_FIELDS}


def _parsed(line: bytes) -> dict[str, Any]:
    """The line as an object, its payload as a `Payload` where it stands last: each half is JSON only where it was cut right."""
    head, _, payload = line[:-_TAIL].partition(_PAYLOAD)
    try:
        return {**from_json(head + b"}"), "payload": from_text(payload)}
    except ValueError:
        return dict(from_json(line))


def _record(line: dict[str, Any]) -> Record | None:
    match line["kind"]:
        case "event":
            return _event(line)
        case "checkpoint":
            return CheckpointRow(**{name: value for name, value in line.items() if name in _CHECKPOINT_FIELDS})
        case "open":
            return Opened(_call(line["row"]))
        case "close":
            return Closed(_call(line["row"]))
        case _:
            return None


def _event(line: dict[str, Any]) -> EventRow:
    return EventRow(
        line["session_id"],
        line["organization_id"],
        line["seq"],
        line["event_type"],
        line["payload"],
        line["agent_id"],
        datetime.fromisoformat(line["occurred_at"]),
        line["secret"],
        line.get("epoch", 1),
    )


def _call(row: dict[str, Any]) -> CallRow:
    known = {name: value for name, value in row.items() if name in _CALL_FIELDS}
    times = {name: datetime.fromisoformat(row[name]) for name in _CALL_TIMES if row.get(name)}
    return CallRow(**known | times)
