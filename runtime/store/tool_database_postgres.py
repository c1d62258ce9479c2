"""Tools' queries over Postgres: a transaction each, as the role `patchbay_tool` and with the organization as a claim."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import asyncpg

from runtime.errors import StoreUnreachable
from runtime.store.pool import Connection, Database
from runtime.store.tool_database_faults import ToolDatabaseFault, fault_of, timed_out, unreachable

__all__ = ["PostgresTransport"]

Json = Any

# For the transaction only: what comes after it on this connection is nobody's tool.
_BECOME = """
select pg_catalog.set_config('statement_timeout', $1, true), pg_catalog.set_config('request.jwt.claims', $2, true),
       pg_catalog.set_config('role', 'patchbay_tool', true)
"""
_CALLS = {
    "patchbay_select": "select public.patchbay_select(query => $1::text::jsonb)::text",
    "patchbay_rpc": "select public.patchbay_rpc(called => $1, arguments => $2::text::jsonb)::text",
}


class PostgresTransport:
    """Calls over `database`, which whoever opened it closes. `revive` is awaited once where it cannot be connected to."""

    def __init__(self, database: Database, *, revive: Callable[[], Awaitable[object]] | None = None) -> None:
        self._database = database
        self._revive = revive

    async def call(self, organization_id: str, function: str, arguments: Mapping[str, Json], timeout_s: float) -> Json:
        texts = [value if isinstance(value, str) else _as_json(value) for value in arguments.values()]
        try:
            async with asyncio.timeout(timeout_s), AsyncExitStack() as stack:
                connection = await self._lent(stack)
                found = await _answer(connection, (organization_id, timeout_s), function, texts)
        except TimeoutError as error:
            raise timed_out(timeout_s) from error
        except StoreUnreachable as error:
            raise unreachable(error.message, error.remedy) from error
        return None if found is None else json.loads(found)

    async def _lent(self, stack: AsyncExitStack) -> Connection:
        """Only connecting is tried twice: what was sent may have been done, whatever became of the connection."""
        try:
            return await stack.enter_async_context(self._database.connection())
        except StoreUnreachable:
            if self._revive is None:
                raise
        await self._revive()
        return await stack.enter_async_context(self._database.connection())


async def _answer(connection: Connection, who: tuple[str, float], function: str, texts: list[str]) -> str | None:
    """Ask within one transaction; every error of Postgres becomes a fault, and only that of the connection goes on."""
    organization_id, timeout_s = who
    claims = json.dumps({"role": "patchbay_tool", "organization_id": organization_id})
    milliseconds = str(max(1, int(timeout_s * 1000)))
    try:
        async with connection.transaction(readonly=function == "patchbay_select"):
            await connection.execute(_BECOME, milliseconds, claims)
            found: str | None = await connection.fetchval(_CALLS[function], *texts)
            return found
    except asyncpg.PostgresError as error:
        raise fault_of(
            error.sqlstate or "", str(error.args[0] if error.args else error), getattr(error, "hint", None)
        ) from error


def _as_json(value: Json) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise ToolDatabaseFault("invalid_arguments", f"A value is no JSON: {error}.") from error
