"""What Supabase's API answers as the rows of the `Store` port, and back: everything as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from runtime.session.fleet_ports import CheckpointRow, Lease, WorkerRow
from runtime.session.outbox_ports import AfterCallRow, DeliveryRow
from runtime.session.ports import (
    CallRow,
    DirectorySnapshot,
    EventRow,
    NumberRow,
    PublishedRow,
    TestSessionRow,
    VersionRow,
    WorkflowRow,
    WorkspaceVariableRow,
)
from runtime.store import rows

__all__ = ["as_id", "as_object", "built", "built_all", "directory_snapshot"]

Json = Any
R = TypeVar(
    "R",
    AfterCallRow,
    CallRow,
    CheckpointRow,
    DeliveryRow,
    EventRow,
    Lease,
    NumberRow,
    PublishedRow,
    TestSessionRow,
    VersionRow,
    WorkerRow,
    WorkflowRow,
    WorkspaceVariableRow,
)


def built(kind: type[R], record: Mapping[str, Json]) -> R:
    """Return the record as a row; keys that only a later release's database knows are left out."""
    return kind(**{name: _read(name, record[name]) for name in _names(kind) if name in record})


def built_all(kind: type[R], records: Sequence[Mapping[str, Json]]) -> list[R]:
    return [built(kind, record) for record in records]


def as_object(
    given: AfterCallRow | CallRow | CheckpointRow | DeliveryRow | EventRow | TestSessionRow | WorkerRow,
) -> dict[str, Json]:
    """Return the row as a JSON object: times as ISO 8601."""
    return {name: _written(getattr(given, name)) for name in _names(type(given))}


def as_id(text: str) -> str | None:
    """Return the UUID that `text` spells, or None: what is no UUID is the id of nothing."""
    found = rows.as_uuid(text)
    return None if found is None else str(found)


def directory_snapshot(record: Mapping[str, Json]) -> DirectorySnapshot:
    return DirectorySnapshot(
        organizations={item["id"]: rows.tenant_row(item) for item in record["organizations"]},
        numbers=rows.by_number(built_all(NumberRow, record["numbers"])),
        published={item["workflow_id"]: built(PublishedRow, item) for item in record["published"]},
    )


def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


def _read(name: str, value: Json) -> Json:
    if value is None:
        return None
    if name == "cost":
        return float(value)
    return datetime.fromisoformat(value).astimezone(UTC) if name.endswith("_at") or name == "leased_until" else value


def _written(value: Any) -> Json:
    match value:
        case datetime():
            return value.isoformat()
        case Mapping():
            return dict(value)
        case str() | None:
            return value
        case Sequence():
            return [_written(each) for each in value]
        case _:
            return value
