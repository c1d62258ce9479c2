"""Rows under a user's role over Postgres: each operation is one transaction that becomes the user first."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import asyncpg

from runtime.errors import PatchbayError, StoreUnreachable
from runtime.store.pool import Connection, Database
from runtime.store.row_access import Claims, Condition, Order, Row
from runtime.store.row_faults import bad_cursor, fault_of, lacks_schema, like_pattern, storable, took_too_long

__all__ = ["PostgresRowAccess", "PostgresRows", "become"]

Json = Any
T = TypeVar("T")

_STATEMENT_TIMEOUT_S = 10.0
# In a transaction of its own, so that nobody else who is lent the connection is still this user. The service stays whoever
# connected: no policy holds the tables' owner, and not every plain Postgres lets them become service_role.
_BECOME = """
select set_config('role', $1, true), set_config('request.jwt.claims', $2, true), set_config('patchbay.request_id', $3, true),
       set_config('statement_timeout', $4, true), set_config('timezone', 'UTC', true)
"""
_COMPARED: Final = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
# What the arguments of a function are, by name.
_SIGNATURE = """
select p.proretset as is_set, p.prorettype = 'void'::regtype as is_void,
       (select coalesce(jsonb_object_agg(a.name, pg_catalog.format_type(a.type, null)), '{}')
        from unnest(p.proargnames[:p.pronargs], p.proargtypes::oid[]) a (name, type))::text as types
from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where n.nspname = 'public' and p.proname = $1 and coalesce(p.proargnames[:p.pronargs], '{}') @> $2::text[]
order by p.pronargs limit 1
"""


async def become(connection: Connection, claims: Claims, *, timeout_s: float = _STATEMENT_TIMEOUT_S) -> None:
    """Make the rest of the connection's transaction the user's; a statement of it ends after `timeout_s`.

    Raises `StoreUnreachable` where whoever connected may not become the role.
    """
    role = "none" if claims.role == "service_role" else claims.role
    milliseconds = str(max(1, int(timeout_s * 1000)))
    try:
        await connection.execute(_BECOME, role, storable(claims.as_json()), claims.request_id or "", milliseconds)
    except asyncpg.InsufficientPrivilegeError as error:
        raise StoreUnreachable(
            f"The database does not let its user become {role}.",
            remedy=f"Run as an administrator: grant {role} to the user of DATABASE_URL.",
        ) from error


class PostgresRowAccess:
    """The rows of the database that `database` leads to; a statement takes at most `timeout_s`."""

    def __init__(self, database: Database, *, timeout_s: float = _STATEMENT_TIMEOUT_S) -> None:
        self._database = database
        self._timeout_s = timeout_s

    def of(self, claims: Claims) -> PostgresRows:
        return PostgresRows(self._database, claims, timeout_s=self._timeout_s)


class PostgresRows:
    """`Rows` over asyncpg. Values are cast to their columns' types by the database."""

    def __init__(self, database: Database, claims: Claims, *, timeout_s: float = _STATEMENT_TIMEOUT_S) -> None:
        self._database = database
        self._claims = claims
        self._timeout_s = timeout_s

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
        given = _Given(table)
        conditions = given.conditions(where)
        if after is not None:
            conditions = f"{conditions} and {given.beyond(order, after)}"
        listed = ", ".join(f"t.{_name(column)}" for column in columns) or "t.*"
        ordered = ", ".join(f"t.{_name(column)} {how}" for column, how in order)
        inner = f"select {listed} from public.{_name(table)} t where {conditions}"  # noqa: S608 - our own names
        inner += f" order by {ordered}" if ordered else ""
        inner += f" limit {int(limit)}" if limit is not None else ""
        return await self._rows(f"select to_jsonb(r) from ({inner}) r", given, repeatable=True)  # noqa: S608

    async def insert(self, table: str, row: Mapping[str, Json], *, returning: Sequence[str] = ()) -> Row:
        return await self._insert(table, row, "", returning)

    async def upsert(
        self, table: str, row: Mapping[str, Json], *, conflict: Sequence[str], returning: Sequence[str] = ()
    ) -> Row:
        changed = [column for column in row if column not in conflict] or conflict
        assigned = ", ".join(f"{_name(column)} = excluded.{_name(column)}" for column in changed)
        keys = ", ".join(map(_name, conflict))
        return await self._insert(table, row, f" on conflict ({keys}) do update set {assigned}", returning)

    async def update(
        self, table: str, where: Sequence[Condition], changes: Mapping[str, Json], *, returning: Sequence[str] = ()
    ) -> list[Row]:
        if not changes:
            return await self.select(table, columns=returning, where=where)
        given = _Given(table)
        conditions = given.conditions(where)
        assigned = ", ".join(f"{_name(column)} = {given.value(column, value)}" for column, value in changes.items())
        return await self._rows(
            f"update public.{_name(table)} t set {assigned} where {conditions} returning {_record(returning)}",  # noqa: S608
            given,
        )

    async def delete(self, table: str, where: Sequence[Condition], *, returning: Sequence[str] = ()) -> list[Row]:
        given = _Given(table)
        conditions = given.conditions(where)
        return await self._rows(
            f"delete from public.{_name(table)} t where {conditions} returning {_record(returning)}",  # noqa: S608
            given,
        )

    async def rpc(self, function: str, arguments: Mapping[str, Json]) -> Json:
        text = storable(dict(arguments))

        async def work(connection: Connection) -> Json:
            found = await connection.fetchrow(_SIGNATURE, function, list(arguments))
            if found is None:
                raise lacks_schema(f"function {function}({', '.join(arguments)}).", self._database.place)
            result = await connection.fetchval(_call(function, found, arguments), *([text] if arguments else []))
            return None if result is None else json.loads(result)

        return await self._do(work)

    async def _insert(self, table: str, row: Mapping[str, Json], beyond: str, returning: Sequence[str]) -> Row:
        given = _Given(table)
        columns = ", ".join(map(_name, row))
        values = ", ".join(given.value(column, value) for column, value in row.items())
        source = f"({columns}) select {values}" if row else "default values"
        rows = await self._rows(
            f"insert into public.{_name(table)} as t {source}{beyond} returning {_record(returning)}", given
        )
        return rows[0]

    async def _rows(self, statement: str, given: _Given, *, repeatable: bool = False) -> list[Row]:
        async def work(connection: Connection) -> list[Row]:
            return [json.loads(record[0]) for record in await connection.fetch(statement, *given.arguments)]

        return await self._do(work, repeatable=repeatable)

    async def _do(self, work: Callable[[Connection], Awaitable[T]], *, repeatable: bool = False) -> T:
        """Do `work` as the user; once more only where the database was away before anything that writes was sent."""
        begun = False

        async def as_user(connection: Connection) -> T:
            nonlocal begun
            async with connection.transaction():
                await become(connection, self._claims, timeout_s=self._timeout_s)
                begun = not repeatable
                return await work(connection)

        try:
            return await self._once(as_user)
        except StoreUnreachable as away:
            if begun or not isinstance(away.__cause__, _LOST):
                raise
        await self._database.fetch("select 1")  # starts the embedded one again
        return await self._once(as_user)

    async def _once(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            return await self._database.once(work)
        except asyncpg.PostgresError as error:
            raise self._fault(error) from error
        except StoreUnreachable as away:
            if isinstance(away.__cause__, asyncpg.QueryCanceledError | TimeoutError):
                raise took_too_long() from away
            raise

    def _fault(self, error: asyncpg.PostgresError) -> PatchbayError:
        told = {name: str(value) for name, value in error.as_dict().items() if value}
        return fault_of(
            error.sqlstate or "",
            told.get("message", ""),
            detail=told.get("detail", ""),
            hint=told.get("hint", ""),
            place=self._database.place,
        )


_LOST = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.OperatorInterventionError)


class _Given:
    """The values of one statement, each as a JSON object that the database reads as a record of the table."""

    def __init__(self, table: str) -> None:
        self._table = table
        self.arguments: list[str] = []

    def value(self, column: str, value: Json) -> str:
        self.arguments.append(storable({column: value}))
        record = f"jsonb_populate_record(null::public.{_name(self._table)}, ${len(self.arguments)}::text::jsonb)"
        return f"({record}).{_name(column)}"

    def conditions(self, where: Sequence[Condition]) -> str:
        return " and ".join(map(self._condition, where)) or "true"

    def beyond(self, order: Sequence[Order], after: Sequence[Json]) -> str:
        if len(after) != len(order):
            raise bad_cursor(len(after), len(order))
        columns = ", ".join(f"t.{_name(column)}" for column, _ in order)
        values = ", ".join(self.value(column, value) for (column, _), value in zip(order, after, strict=True))
        return f"({columns}) {'<' if order[0][1] == 'desc' else '>'} ({values})"

    def _condition(self, condition: Condition) -> str:
        column, operator, value = condition
        named = f"t.{_name(column)}"
        if operator == "is":
            return f"{named} is {'null' if value is None else str(bool(value)).lower()}"
        if operator == "in":
            listed = [self.value(column, each) for each in value]
            return f"{named} in ({', '.join(listed)})" if listed else "false"
        if operator == "ilike":
            self.arguments.append(storable(like_pattern(value)))
            return f"{named} ilike (${len(self.arguments)}::text::jsonb #>> '{{}}')"
        return f"{named} {_COMPARED[operator]} {self.value(column, value)}"


def _call(function: str, found: Mapping[str, Any], arguments: Mapping[str, Json]) -> str:
    """Call by name, each argument cast to what the catalogue says it is; JSON's null is SQL's."""
    types: Mapping[str, str] = json.loads(found["types"])
    named = ", ".join(f"{_name(name)} => a.{_name(name)}" for name in arguments)
    given = ", ".join(f"{_name(name)} {types[name]}" for name in arguments)
    read = f"jsonb_to_record($1::text::jsonb) as a ({given}) cross join lateral " if arguments else ""
    shape = "null" if found["is_void"] else "to_jsonb(r)"
    if found["is_set"]:
        shape = f"coalesce(jsonb_agg({shape}), '[]')"
    return f"select {shape} from {read}public.{_name(function)}({named}) r"  # noqa: S608 - our own names


def _record(columns: Sequence[str]) -> str:
    if not columns:
        return "to_jsonb(t)"
    return "jsonb_build_object(" + ", ".join(f"{_text(column)}, t.{_name(column)}" for column in columns) + ")"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
