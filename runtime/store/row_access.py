"""Rows of tables as a user may see and change them: every operation runs under the user's own role, row security in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from runtime.errors import PatchbayError

__all__ = ["SERVICE", "Claims", "Condition", "Order", "RowAccess", "Rows", "RowsFault", "RowsFaultKind"]

Json = Any
Row = dict[str, Json]
Operator = Literal["eq", "neq", "lt", "lte", "gt", "gte", "in", "is", "ilike"]
Condition = tuple[str, Operator, Json]
"""Column, operator and value; `in` takes a list, `is` None, True or False, `ilike` a pattern with `%`."""
Order = tuple[str, Literal["asc", "desc"]]
RowsFaultKind = Literal["refused", "conflict", "forbidden", "not_found", "changed"]


@dataclass(frozen=True, slots=True)
class Claims:
    """Who asks, as the database is told; one of both ids, or none for the service, whom no policy holds.

    `token` is the user's own, for a way to the rows that checks it itself.
    """

    user_id: str | None = None
    api_key_id: str | None = None
    request_id: str | None = None
    token: str | None = field(default=None, repr=False, compare=False)

    @property
    def role(self) -> Literal["authenticated", "service_role"]:
        return "authenticated" if self.user_id or self.api_key_id else "service_role"

    def as_json(self) -> dict[str, str]:
        """Return the claims as a token carries them."""
        ids = {"sub": self.user_id, "api_key_id": self.api_key_id}
        return {"role": self.role} | {name: value for name, value in ids.items() if value}


SERVICE: Final = Claims()


class RowsFault(PatchbayError):
    """The database does not do it. `sqlstate` is Postgres's (or PostgREST's) code.

    `kind`: `refused` the values do not fit, `conflict` something is there already, is still in use or does not change
    any more, `forbidden` the role may not, `not_found` what the operation names is not there, `changed` it is not any more what the operation expects.
    """

    def __init__(self, kind: RowsFaultKind, message: str, *, remedy: str = "", sqlstate: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.kind = kind
        self.sqlstate = sqlstate


class Rows(Protocol):
    """Tables of the schema `public` for one user; columns come as JSON has them (times as ISO 8601 text, UTC).

    Raises `RowsFault`, and `StoreUnreachable` where the database is away. Nothing that writes is done twice. Names of
    tables and columns are the program's own, never a request's.
    """

    async def select(
        self,
        table: str,
        *,
        columns: Sequence[str] = (),
        where: Sequence[Condition] = (),
        order: Sequence[Order] = (),
        after: Sequence[Json] | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        """Return rows (all columns where none are named); `after` holds the last row's values of `order`'s columns.

        With `after` the order's directions are all the same.
        """
        ...

    async def insert(self, table: str, row: Mapping[str, Json], *, returning: Sequence[str] = ()) -> Row:
        """Insert one row and return its columns (all where none are named)."""
        ...

    async def upsert(
        self, table: str, row: Mapping[str, Json], *, conflict: Sequence[str], returning: Sequence[str] = ()
    ) -> Row:
        """Insert one row, or where one with these columns `conflict` is there change the others to what is given."""
        ...

    async def update(
        self, table: str, where: Sequence[Condition], changes: Mapping[str, Json], *, returning: Sequence[str] = ()
    ) -> list[Row]:
        """Change rows and return them; none where there is none that the user may change."""
        ...

    async def delete(self, table: str, where: Sequence[Condition], *, returning: Sequence[str] = ()) -> list[Row]: ...

    async def rpc(self, function: str, arguments: Mapping[str, Json]) -> Json:
        """Call a function by named arguments and return its result as JSON; a set of rows as a list."""
        ...


class RowAccess(Protocol):
    """The way to the rows, for anybody."""

    def of(self, claims: Claims) -> Rows:
        """Return the rows as this user has them; costs nothing."""
        ...
