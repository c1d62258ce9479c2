"""`supabase_query`: rows of one of the builder's own tables, the organization's only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.docstrings import describe_fields
from tools.base import Json, Tool, ToolConfig, ToolContext, ToolResult
from tools.handles import Filter, Operator
from tools.jsonpaths import Path, selected
from tools.schema import Parameters
from tools.tables import Column, Place, Values, database_of, filled

__all__ = ["ColumnFilter", "ColumnOrder", "SupabaseQuery", "SupabaseQueryConfig"]

_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
_NOTHING = "Nothing was found."


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_fields, hide_input_in_errors=True)


class ColumnFilter(_Part):
    """One condition; all of a query's hold at once."""

    column: Column
    operator: Operator = "eq"
    value: Values
    """A template, a constant or, with `in`, a list. A template that comes to nothing refuses the run."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.operator == "is" and not (self.value is None or isinstance(self.value, bool)):
            raise ValueError("with is, the value is null, true or false")
        if self.operator != "is" and self.value is None:
            raise ValueError("null is compared by is")
        if isinstance(self.value, list) != (self.operator == "in") and not _is_template(self):
            raise ValueError("in takes a list, and the other operators one value")
        return self


class ColumnOrder(_Part):
    """Rows without a value come last."""

    column: Column
    descending: bool = False


class SupabaseQueryConfig(ToolConfig):
    """Templates read `arguments`, the variables by name, `caller`, `call`, `workspace` and `secrets`."""

    parameters: Parameters = Field(default_factory=lambda: dict(_NO_PARAMETERS))
    """The JSON Schema of the arguments."""
    table: Place
    """A table that `patchbay.expose_table` exposes."""
    columns: list[Column] = Field(default_factory=list)
    """What is read; none: all that are exposed."""
    filters: list[ColumnFilter] = Field(default_factory=list)
    order: list[ColumnOrder] = Field(default_factory=list)
    limit: int = Field(default=20, ge=1, le=100)
    """Rows at most."""
    single: bool = False
    """The first row as an object (null where there is none) instead of a list."""
    result: Path | None = None
    """A JSONPath: what of the rows the model reads. `assign` reads the whole of it."""


class SupabaseQuery(Tool[SupabaseQueryConfig]):
    """Reads, and changes nothing."""

    tool_type: ClassVar[str] = "supabase_query"
    Config: ClassVar[type[BaseModel]] = SupabaseQueryConfig

    def parameters(self) -> Mapping[str, Json]:
        return self.config.parameters

    def is_repeatable(self, arguments: Mapping[str, Json]) -> bool:  # noqa: ARG002 - the port's
        return True

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolResult:
        config, values = self.config, context.names(arguments)
        rows = await database_of(context).select(
            config.table,
            columns=config.columns,
            filters=[_filter(each, values) for each in config.filters],
            order=[(each.column, each.descending) for each in config.order],
            limit=1 if config.single else config.limit,
            timeout_s=context.remaining_s(),
        )
        if not rows:
            return ToolResult(None if config.single else [], _NOTHING)
        value: Json = rows[0] if config.single else rows
        shown = value if config.result is None else selected(config.result, value)
        return ToolResult(value, shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False))


def _filter(wanted: ColumnFilter, values: Mapping[str, Json]) -> Filter:
    value = filled(wanted.value, values, pattern=wanted.operator in {"like", "ilike"})
    if wanted.operator == "in" and not isinstance(value, list):
        value = [value]
    return Filter(wanted.column, wanted.operator, value)


def _is_template(wanted: ColumnFilter) -> bool:
    return isinstance(wanted.value, str) and "{{" in wanted.value
