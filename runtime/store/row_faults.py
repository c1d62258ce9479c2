"""What the database says of a user's rows, in words for people and without the values of any row."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from runtime.errors import PatchbayError, StoreUnreachable
from runtime.store.row_access import RowsFault, RowsFaultKind

__all__ = ["bad_cursor", "fault_of", "lacks_schema", "like_pattern", "storable", "took_too_long"]

Json = Any

_KINDS: Final[Mapping[str, RowsFaultKind]] = {
    "23001": "conflict",
    "23503": "conflict",
    "23505": "conflict",
    "42501": "forbidden",
    "P0001": "refused",
    "PB404": "not_found",
    "PB412": "changed",
    "PGRST102": "refused",  # a body that Postgres' JSON has no room for
}
_REFUSED: Final = ("22", "23", "54", "PB")
_LACKING: Final = frozenset(
    {"3F000", "42P01", "42703", "42883", "PGRST106", "PGRST200", "PGRST202", "PGRST204", "PGRST205"}
)
_UNTRUSTED: Final = ("PGRST300", "PGRST301", "PGRST302", "PGRST303")
_KEY: Final = re.compile(r"Key \(([^)=]*)\)=")
_MISSING: Final = re.compile(r'is not present in table "([^"]*)"')
_USED_BY: Final = re.compile(r'referenced from table "([^"]*)"')
_COLUMN: Final = re.compile(r'column "([^"]*)"')
_CONSTRAINT: Final = re.compile(r'constraint "([^"]*)"')


def storable(value: Json) -> str:
    """Return the value as JSON that Postgres takes (times and UUIDs as text); raises `RowsFault` for what is none."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
        text.encode()
    except (ValueError, TypeError, RecursionError):  # a lone surrogate is a ValueError too
        raise RowsFault("refused", "A value cannot be stored: it is not JSON, or not Unicode text.") from None
    return text


def fault_of(sqlstate: str, message: str, *, detail: str = "", hint: str = "", place: str = "") -> PatchbayError:
    """Return the error for what Postgres (a SQLSTATE) or PostgREST (`PGRST…`) answered."""
    kind = _KINDS.get(sqlstate) or ("refused" if sqlstate.startswith(_REFUSED) else None)
    if kind is not None:
        return RowsFault(kind, _said(sqlstate, message, detail), remedy=hint, sqlstate=sqlstate)
    if sqlstate == "57014":
        return took_too_long()
    if sqlstate in _LACKING:
        return lacks_schema(message, place)
    remedy = "Check DATABASE_URL or SUPABASE_URL, and that the server runs."
    if sqlstate in _UNTRUSTED:
        remedy = "SUPABASE_JWT_SECRET is not the secret that the project's API checks tokens with."
    return StoreUnreachable(f"The database {place} cannot do this: {message} ({sqlstate}).", remedy=remedy)


def lacks_schema(message: str, place: str = "") -> StoreUnreachable:
    """Return the error for a table, column or function that this release knows and the database does not."""
    return StoreUnreachable(
        f"The database {place} lacks a part of the schema: {message}",
        remedy="Run: patchbay db migrate. Over Supabase's API then also: notify pgrst, 'reload schema'",
    )


def took_too_long() -> StoreUnreachable:
    return StoreUnreachable("The database took too long for this.", remedy="Ask for less, or try again later.")


def like_pattern(value: Json) -> str:
    """Return the pattern as it is; raises `RowsFault` for one that ends in the middle of an escape."""
    text = str(value)
    if (len(text) - len(text.rstrip("\\"))) % 2:
        raise RowsFault("refused", "A pattern must not end with its escape character.", sqlstate="22025")
    return text


def bad_cursor(count: int, columns: int) -> RowsFault:
    return RowsFault("refused", f"A cursor of this list has {columns} values, and {count} are given.")


def _said(sqlstate: str, message: str, detail: str) -> str:
    """Only names are taken from Postgres's own sentences: the rest of them quotes values, and whose those are is unknown."""
    keys, constraint = ", ".join(_KEY.findall(detail)), _name(_CONSTRAINT, message)
    named = keys or f"constraint {constraint}"  # row security hides the keys
    match sqlstate:
        case "23505":
            return (
                f"There is one already with the same value of {keys}." if keys else f"There is one already ({named})."
            )
        case "23503" | "23001" if found := _USED_BY.search(detail):
            return f"It is still used by {found[1]}."
        case "23503" if found := _MISSING.search(detail):
            return f"{named} names no {found[1]} that is there."
        case "23503":
            return f"Something that it belongs to is not there, or it is still in use ({named})."
        case "23502":
            return f"{_name(_COLUMN, message)} must not be empty."
        case "23514" if _CONSTRAINT.search(message):
            return f"A value is not one of those that are allowed ({named})."
        case _:
            return _capital(message.partition(': "')[0].partition("\n")[0]) + "."


def _name(pattern: re.Pattern[str], message: str) -> str:
    found = pattern.search(message)
    return found[1] if found else "a column"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(type(value).__name__)
