"""Database records as the rows of the `Store` port, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from runtime.session.payloads import json_of
from runtime.session.ports import (
    CallRow,
    DirectorySnapshot,
    EventRow,
    Limits,
    NumberRow,
    PublishedRow,
    TenantRow,
    TestSessionRow,
    VersionRow,
    WorkflowRow,
)

__all__ = [
    "as_json",
    "as_uuid",
    "by_number",
    "call_arguments",
    "call_row",
    "close_arguments",
    "directory_snapshot",
    "event_columns",
    "event_row",
    "number_row",
    "plain",
    "tenant_row",
    "test_arguments",
    "test_row",
    "version_row",
    "workflow_row",
]

Record = Mapping[str, Any]
_JSON = frozenset({"analysis", "config", "payload", "transcript", "variables"})


def as_json(value: Any) -> str:
    """Return JSON that Postgres takes: NaN and infinities are refused with `ValueError`."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def as_uuid(text: str) -> UUID | None:
    """Return the UUID that `text` spells, or None: what is no UUID is the id of nothing."""
    try:
        return UUID(text)
    except ValueError:
        return None


def number_row(record: Record) -> NumberRow:
    return NumberRow(**plain(record))


def by_number(numbers: Iterable[NumberRow]) -> dict[str, list[NumberRow]]:
    """Return the rows by their numbers; each organization may map the same one."""
    found: dict[str, list[NumberRow]] = {}
    for row in numbers:
        found.setdefault(row.number, []).append(row)
    return found


def directory_snapshot(record: Record) -> DirectorySnapshot:
    """Return what `queries.DIRECTORY` brought: three columns, each a JSON array."""
    return DirectorySnapshot(
        organizations={item["id"]: tenant_row(item) for item in json.loads(record["organizations"])},
        numbers=by_number(NumberRow(**item) for item in json.loads(record["numbers"])),
        published={item["workflow_id"]: PublishedRow(**item) for item in json.loads(record["published"])},
    )


def tenant_row(item: Record) -> TenantRow:
    return TenantRow(
        id=item["id"],
        name=item["name"],
        default_workflow_id=item["default_workflow_id"],
        default_workflow_name=item["default_workflow_name"],
        limits=Limits(item["max_concurrent_calls"], item["max_minutes_a_day"], tuple(item["dial_prefixes"])),
    )


def workflow_row(record: Record) -> WorkflowRow:
    return WorkflowRow(**plain(record))


def version_row(record: Record) -> VersionRow:
    return VersionRow(**plain(record))


def call_row(record: Record) -> CallRow:
    return CallRow(**plain(record))


def event_row(record: Record) -> EventRow:
    return EventRow(**plain(record))


def test_row(record: Record) -> TestSessionRow:
    return TestSessionRow(**plain(record))


def call_arguments(row: CallRow) -> tuple[Any, ...]:
    """Return the columns of `queries.CALL_OPEN` in its order."""
    return (
        row.id,
        row.organization_id,
        row.workflow_version_id,
        row.channel,
        row.direction,
        row.is_test,
        row.started_at,
        row.external_session_id,
        row.from_number,
        row.to_number,
        row.worker_id,
        row.runtime_version,
        row.room,
        row.answered_at,
        row.ended_at,
        row.status,
        row.end_reason,
        row.cost,
        as_json(dict(row.variables)),
        row.epoch,
    )


def close_arguments(row: CallRow) -> tuple[Any, ...]:
    """Return the parameters of `queries.CALL_CLOSE` in its order."""
    variables = as_json(dict(row.variables))
    ended = (row.ended_at, row.status, row.end_reason, variables, row.answered_at, row.cost)
    return as_uuid(row.id), *ended, row.epoch


def event_columns(events: Sequence[EventRow]) -> tuple[list[Any], ...]:
    """Return the batch as `queries.APPEND` takes it: whose the events are, the events by columns, and their secrets."""
    places: dict[tuple[str, str, int], int] = {}
    place = [
        places.setdefault((event.session_id, event.organization_id, event.epoch), len(places) + 1) for event in events
    ]
    secrets = [
        (at, event.seq, event.secret) for at, event in zip(place, events, strict=True) if event.secret is not None
    ]
    return (
        [session_id for session_id, _, _ in places],
        [organization_id for _, organization_id, _ in places],
        [epoch for _, _, epoch in places],
        place,
        [event.seq for event in events],
        [event.event_type for event in events],
        [json_of(event.payload).decode() for event in events],
        [event.agent_id for event in events],
        [event.occurred_at.timestamp() for event in events],
        *([secret[column] for secret in secrets] for column in range(3)),
    )


def test_arguments(row: TestSessionRow) -> tuple[Any, ...]:
    """Return the columns of `queries.TEST_SAVE` in its order."""
    transcript = as_json([dict(line) for line in row.transcript])
    return row.id, row.organization_id, row.workflow_version_id, row.session_id, transcript, row.created_at


def plain(record: Record) -> dict[str, Any]:
    """Return the record with ids as texts and JSON as values."""
    return {key: _value(key, value) for key, value in record.items()}


def _value(key: str, value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return json.loads(value) if key in _JSON and isinstance(value, str) else value
