"""What `supabase_query` and `supabase_rpc` share: names, values, and the organization's database with faults as `ToolError`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import structlog
from pydantic import AfterValidator

from runtime.store.tool_database import ToolDatabase, ToolDatabases
from runtime.store.tool_database_faults import FaultKind, ToolDatabaseFault
from tools.base import ToolContext, ToolError
from tools.handles import Database, Filter
from tools.http_templates import check_json, compiled, json_body
from tools.scrub import cut

__all__ = ["Column", "Place", "Tables", "Values", "database_of", "databases", "filled"]

Json = Any

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
_OUTPUT = re.compile(r"(\{\{.*?\}\})", re.DOTALL)
_WILD = re.compile(r"([\\%_])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_LONGEST_SAID = 300

_SENTENCES: Mapping[FaultKind, tuple[str, str, bool]] = {
    "not_allowed": ("not_allowed", "This may not be done from here.", False),
    "bad_query": ("bad_query", "This is not possible: it is set up wrongly. Go on with something else.", False),
    "invalid_arguments": ("invalid_arguments", "Not done: a value does not fit. Ask the caller for it again.", False),
    "constraint": ("constraint", "Not done: it does not fit with what is already there.", False),
    "too_large": ("response_too_large", "There is too much of it to be read.", False),
    "timeout": ("timeout", "The database did not answer in time.", True),
    "unreachable": ("unreachable", "The database cannot be reached at the moment.", True),
}

_log = structlog.get_logger("tools")


def _checked_column(name: str) -> str:
    if not re.fullmatch(_NAME, name):
        raise ValueError("a column is named as in the database: letters, digits and _")
    return name


def _checked_place(name: str) -> str:
    if not re.fullmatch(rf"(?:{_NAME}\.)?{_NAME}", name):
        raise ValueError("it is named as in the database: orders, or with its schema: shop.orders")
    return name


def _checked_values(value: Json) -> Json:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str) and "{%" in each:
            raise ValueError("a value holds {{ … }} and no {% … %}")
    return check_json(value)


Column = Annotated[str, AfterValidator(_checked_column)]
"""A column's or argument's name, as a field of a tool's config."""

Place = Annotated[str, AfterValidator(_checked_place)]
"""A table's or function's name, with or without its schema (`public`)."""

Values = Annotated[Any, AfterValidator(_checked_values)]
"""What a column is compared with: a template, a constant, or a list of them."""


def filled(template: Json, values: Mapping[str, Json], *, pattern: bool = False) -> Json:
    """Return the value of a filter; one bare `{{ name }}` keeps its type.

    With `pattern` what is filled in matches itself only, wildcards and all. Raises `ToolError` where something filled
    in is empty: without its value a condition would let other rows through.
    """
    if isinstance(template, list):
        return [filled(each, values, pattern=pattern) for each in template]
    if not isinstance(template, str):
        return template
    parts = [part for part in _OUTPUT.split(template.strip()) if part]
    if len(parts) == 1 and not pattern:
        return _part(parts[0], values)
    return "".join(_text(part, values, pattern=pattern) for part in parts)


def _part(part: str, values: Mapping[str, Json]) -> Json:
    value = json_body(part, values)
    if part.startswith("{{") and (value is None or value == [] or (isinstance(value, str) and not value.strip())):
        raise ToolError(
            "missing_value", "Not done: something that this needs is not known yet. Ask the caller for it first."
        )
    return value


def _text(part: str, values: Mapping[str, Json], *, pattern: bool) -> str:
    _part(part, values)
    text = compiled(part).render(values)
    return _WILD.sub(r"\\\1", text) if pattern and part.startswith("{{") else text


def database_of(context: ToolContext) -> Database:
    """Return the organization's database. Raises `ToolError` where this process has none."""
    if context.database is None:
        _log.warning("no_tool_database", remedy="Run the call with a database: DATABASE_URL, or the embedded one.")
        raise ToolError("not_available", "This is not available here.")
    return context.database


def databases(source: ToolDatabases) -> Callable[[str], Database]:
    """Return what gives each organization its `Database`."""
    return lambda organization_id: Tables(source.of(organization_id))


class Tables:
    """A `Database` on the store's: its faults are logged for the operator, and become sentences for the model."""

    def __init__(self, database: ToolDatabase) -> None:
        self._database = database

    async def select(
        self,
        table: str,
        *,
        columns: Sequence[str] = (),
        filters: Sequence[Filter] = (),
        order: Sequence[tuple[str, bool]] = (),
        limit: int = 20,
        timeout_s: float = 10.0,
    ) -> list[dict[str, Json]]:
        conditions = [(each.column, each.operator, each.value) for each in filters]
        try:
            return await self._database.select(
                table, columns=columns, filters=conditions, order=order, limit=limit, timeout_s=timeout_s
            )
        except ToolDatabaseFault as fault:
            raise _error(fault, table) from fault

    async def rpc(self, function: str, arguments: Mapping[str, Json], *, timeout_s: float = 10.0) -> Json:
        try:
            return await self._database.rpc(function, arguments, timeout_s=timeout_s)
        except ToolDatabaseFault as fault:
            raise _error(fault, function) from fault


def _error(fault: ToolDatabaseFault, asked: str) -> ToolError:
    error = _told(fault)
    # Postgres writes the offending value into these messages, and it may be the caller's.
    reason = "" if fault.kind in {"invalid_arguments", "constraint", "refused"} else fault.message
    _log.warning("database_tool_failed", asked=asked, code=error.code, reason=reason, remedy=fault.remedy)
    return error


def _told(fault: ToolDatabaseFault) -> ToolError:
    if fault.kind == "refused":  # the builder's own function says why, in words that are meant to be heard
        said = cut(_CONTROL.sub(" ", fault.said).strip(), _LONGEST_SAID)
        return ToolError("refused", f"Not done: {said}")
    code, sentence, passing = _SENTENCES[fault.kind]
    return ToolError(code, sentence, passing=passing)
