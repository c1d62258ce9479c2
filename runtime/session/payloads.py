"""Payloads of events beside their JSON: encoded once, for the log's line and for the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

__all__ = ["Payload", "from_text", "json_of", "plain_mapping", "with_json"]


class Payload(dict[str, Any]):
    """A payload and what it is in JSON (UTF-8, one line); made by `with_json`. Not to be changed: the two would differ."""

    __slots__ = ("json",)

    json: bytes


def with_json(payload: Mapping[str, Any]) -> Payload:
    """Return the payload with its JSON. Raises `PydanticSerializationError`, a `ValueError`, where it cannot be JSON."""
    if isinstance(payload, Payload):
        return payload
    made = Payload(payload)
    made.json = to_json(payload, fallback=plain_mapping)
    return made


def from_text(json: bytes) -> Payload:
    """Return the payload that the JSON is of. Raises `ValueError` where it is no JSON object."""
    made = Payload(from_json(json))
    made.json = json
    return made


def json_of(payload: Mapping[str, Any]) -> bytes:
    """Return the payload as JSON, as it stands there already where it does. Raises as `with_json` does."""
    return payload.json if isinstance(payload, Payload) else to_json(payload, fallback=plain_mapping)


def plain_mapping(value: Any) -> Any:
    """For `to_json(fallback=…)`: frozen values hold read-only mappings, which the serializer does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
