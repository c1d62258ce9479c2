"""Who answers which number, what an organization may use up, and word of every change: a part of the store on Postgres."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from runtime.session.ports import DirectorySnapshot, Limits, NumberRow, OrganizationLoad
from runtime.store import faults, queries, rows
from runtime.store.listening import listening
from runtime.store.pool import Connection, Database

__all__ = ["Numbers", "workflow_id_of"]


class Numbers(Database):
    """The numbers, limits and the directory of a `Store`."""

    async def numbers(self, organization_id: str) -> list[NumberRow]:
        return [rows.number_row(row) for row in await self.fetch(queries.NUMBERS, organization_id)]

    async def set_number(
        self, organization_id: str, number: str, workflow: str, *, description: str | None = None
    ) -> NumberRow:
        async def work(connection: Connection) -> NumberRow:
            workflow_id = await workflow_id_of(connection, organization_id, workflow)
            await connection.execute(queries.NUMBER_SET, organization_id, number, workflow_id, description)
            return rows.number_row(await connection.fetchrow(queries.NUMBER, organization_id, number))

        return await self.run(work)

    async def remove_number(self, organization_id: str, number: str) -> None:
        if not await self.fetch(queries.NUMBER_REMOVE, organization_id, number):
            raise faults.no_number(number, [row.number for row in await self.numbers(organization_id)])

    async def set_default_workflow(self, organization_id: str, workflow: str | None) -> None:
        async def work(connection: Connection) -> list[Any]:
            chosen = await workflow_id_of(connection, organization_id, workflow) if workflow is not None else None
            return list(await connection.fetch(queries.DEFAULT_WORKFLOW_SET, organization_id, chosen))

        if not await self.run(work):
            raise faults.no_organization(organization_id)

    async def set_limits(self, organization_id: str, limits: Limits) -> None:
        calls, minutes, prefixes = limits.max_concurrent_calls, limits.max_minutes_a_day, list(limits.dial_prefixes)
        if not await self.fetch(queries.LIMITS_SET, organization_id, calls, minutes, prefixes):
            raise faults.no_organization(organization_id)

    async def load(self, organization_id: str) -> OrganizationLoad:
        (row,) = await self.fetch(queries.LOAD, organization_id)
        return OrganizationLoad(**row)

    async def directory(self) -> DirectorySnapshot:
        (row,) = await self.fetch(queries.DIRECTORY)
        return rows.directory_snapshot(row)

    def listen(self, on_change: Callable[[str, str], None]) -> AbstractAsyncContextManager[None]:
        return listening(self, on_change)


async def workflow_id_of(connection: Connection, organization_id: str, workflow: str) -> Any:
    """Return the id of the organization's workflow of this name or id; raises `NotFound` naming what there is."""
    found = await connection.fetchval(queries.WORKFLOW_ID, organization_id, workflow)
    if found is None:
        names = await connection.fetch(queries.WORKFLOW_NAMES, organization_id)
        raise faults.no_workflow(workflow, [row["name"] for row in names])
    return found
