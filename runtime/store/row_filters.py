"""Conditions on rows, orders and cursors, as PostgREST reads them in a URL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from runtime.store.row_access import Condition, Order, RowsFault
from runtime.store.row_faults import bad_cursor, like_pattern, storable

__all__ = ["Parameters", "cursor_filter", "filters", "is_impossible", "ordered"]

Json = Any
Parameters = list[tuple[str, str | int | float | bool | None]]  # as httpx has them


def is_impossible(where: Sequence[Condition]) -> bool:
    """Tell whether no row can satisfy all of it: one of no values is wanted, or null is compared with."""
    return any(not value if operator == "in" else value is None and operator != "is" for _, operator, value in where)


def filters(where: Sequence[Condition]) -> Parameters:
    """Return a parameter for each condition; raises `RowsFault` for a text that no URL has room for."""
    return [(column, _filter(operator, value)) for column, operator, value in where]


def ordered(order: Sequence[Order]) -> Parameters:
    return [("order", ",".join(f"{column}.{how}" for column, how in order))] if order else []


def cursor_filter(order: Sequence[Order], after: Sequence[Json]) -> Parameters:
    """Return what holds for the rows beyond the one whose columns `order` have the values `after`."""
    if len(after) != len(order):
        raise bad_cursor(len(after), len(order))
    beyond = "lt" if order[0][1] == "desc" else "gt"
    equal: list[str] = []
    choices: list[str] = []
    for (column, _), value in zip(order, after, strict=True):
        quoted = _quoted(value)
        choices.append(f"and({','.join([*equal, f'{column}.{beyond}.{quoted}'])})")
        equal.append(f"{column}.eq.{quoted}")
    return [("or", f"({','.join(choices)})")]


def _filter(operator: str, value: Json) -> str:
    match operator:
        case "is":
            return f"is.{'null' if value is None else str(bool(value)).lower()}"
        case "in":
            return f"in.({','.join(_quoted(each) for each in value)})"
        case "ilike":  # PostgREST's own has no way to write an asterisk
            return f"imatch.{_as_expression(_text(value))}"
        case _:
            return f"{operator}.{_text(value)}"


def _quoted(value: Json) -> str:
    return '"' + _text(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(value: Json) -> str:
    text = storable(value)  # refuses what is no Unicode
    if isinstance(value, str):
        text = value
    elif text.startswith('"'):  # a time or a UUID
        text = text[1:-1]
    if "\0" in text:
        raise RowsFault("refused", "A text with a NUL character cannot be looked for.")
    return text


def _as_expression(pattern: str) -> str:
    """Return the regular expression that says the same as a pattern of `like`."""
    parts = re.findall(r"\\.|%|_|[^\\%_]+", like_pattern(pattern), re.DOTALL)
    return "^" + "".join(map(_part, parts)) + "$"


def _part(part: str) -> str:
    if part in {"%", "_"}:
        return ".*" if part == "%" else "."
    return re.escape(part.removeprefix("\\") if len(part) == 2 and part[0] == "\\" else part)
