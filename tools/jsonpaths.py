"""JSONPath expressions (RFC 9535) that pick values out of a tool's result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import jsonpath
import structlog
from pydantic import AfterValidator

__all__ = ["Path", "assigned", "checked_path", "selected"]

Json = Any

_log = structlog.get_logger("tools")
# What a query raises over a document it does not fit, beside its own errors.
_FAULTS = (jsonpath.JSONPathError, ValueError, TypeError, RecursionError)


def checked_path(text: str) -> str:
    """Return the expression. Raises ValueError where it is none."""
    try:
        jsonpath.compile(text)
    except _FAULTS as fault:
        raise ValueError(f"this is no JSONPath: {str(fault)[:200]}") from fault
    return text


Path = Annotated[str, AfterValidator(checked_path)]
"""A JSONPath, as a field of a tool's config."""


def selected(path: str, value: Json) -> Json:
    """Return what `path` finds: the value where it is one, a list where there are several, None where there is none."""
    found = _found(path, value)
    return found[0] if len(found) == 1 else found or None


def assigned(paths: Mapping[str, str], value: Json) -> dict[str, Json]:
    """Return, by variable, the first value its path finds; a variable whose path finds nothing is left out."""
    found = {name: _found(path, value) for name, path in paths.items()}
    return {name: values[0] for name, values in found.items() if values and values[0] is not None}


def _found(path: str, value: Json) -> list[Json]:
    if not isinstance(value, dict | list):
        return [value] if path.strip() == "$" and value is not None else []
    try:
        return list(jsonpath.findall(path, value))
    except _FAULTS as fault:
        _log.warning("jsonpath_failed", path=path, reason=type(fault).__name__)
        return []
