"""What CEL is given: the types of variables and facts, and their values converted to those types."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias

from cel_expr_python import cel

from runtime.workflow.cel_text import ASKED

__all__ = ["CALLER_FIELDS", "CALL_FIELDS", "bound_fact", "bound_value", "environment"]

Json: TypeAlias = Any

CALL_FIELDS = frozenset({"id", "channel", "direction"})
CALLER_FIELDS = frozenset({"number", "dialled"})

_TEXTS = cel.Type.Map(cel.Type.STRING, cel.Type.STRING)
_FACTS = {
    "attempts": cel.Type.INT,
    "visits": cel.Type.INT,
    "call": _TEXTS,
    "caller": _TEXTS,
    "workspace": _TEXTS,
    "now": cel.Type.TIMESTAMP,
}
_TYPES = {
    "integer": cel.Type.INT,
    "number": cel.Type.DOUBLE,
    "boolean": cel.Type.BOOL,
    "datetime": cel.Type.TIMESTAMP,
    "currency": _TEXTS,
}


@lru_cache(maxsize=16)
def environment(types: tuple[tuple[str, str], ...], asked: tuple[str, ...]) -> Any:
    """Return the CEL environment for variables (name and data type) and those that are asked about with `is_set`."""
    declared = {name: _TYPES.get(data_type, cel.Type.STRING) for name, data_type in types}
    return cel.NewEnv(variables={**declared, **_FACTS, **{ASKED + name: cel.Type.BOOL for name in asked}})


def bound_value(data_type: str, value: Json) -> Any:
    """Return a kept value as CEL takes it. Raises `TypeError`, `ValueError` or `OverflowError` where it is none."""
    match data_type:
        case "datetime":
            return _timestamp(value)
        case "currency":
            return {str(key): str(part) for key, part in dict(value).items()}
        case "number":
            return float(value)
        case "integer":
            return int(value)
        case "boolean" if not isinstance(value, bool):
            raise TypeError(f"{value!r} is neither true nor false")
        case "boolean":
            return value
        case _:
            return str(value)


def bound_fact(name: str, value: Json) -> Any:
    """Return a fact (`attempts`, `call`, `now`, …) as CEL takes it; an unknown number or field is empty text."""
    if name == "now":
        return _timestamp(value)
    if name in {"attempts", "visits"}:
        return int(value)
    texts = {str(key): "" if text is None else str(text) for key, text in dict(value).items()}
    known = CALL_FIELDS if name == "call" else CALLER_FIELDS if name == "caller" else ()
    return {**dict.fromkeys(known, ""), **texts}


def _timestamp(value: Json) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
