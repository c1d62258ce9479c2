"""The store on Postgres, by asyncpg: hosted Supabase, any server from version 15 on, or the embedded one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from runtime.errors import PatchbayError
from runtime.session.ports import (
    CallRow,
    EventRow,
    OrganizationRow,
    TestSessionRow,
    VersionRow,
    WorkflowRow,
    WorkspaceVariableRow,
)
from runtime.store import faults, queries, rows
from runtime.store.pool import Connection
from runtime.store.postgres_after_call import AfterCalls
from runtime.store.postgres_analysis import Analyses
from runtime.store.postgres_fleet import Fleets
from runtime.store.postgres_numbers import Numbers, workflow_id_of

__all__ = ["PostgresStore"]


class PostgresStore(AfterCalls, Analyses, Fleets, Numbers):
    """A `Store` on the database of `url`. Connects at the first use, and again after a connection was lost."""

    async def ensure_organization(self, name: str) -> OrganizationRow:
        async def work(connection: Connection) -> OrganizationRow:
            found = await connection.fetchrow(queries.ORGANIZATION, name)
            if found is None:
                async with connection.transaction():
                    await connection.execute(queries.ORGANIZATION_LOCK, name)
                    found = await connection.fetchrow(queries.ORGANIZATION, name)
                    found = found or await connection.fetchrow(queries.ORGANIZATION_INSERT, name)
            return OrganizationRow(id=str(found["id"]), name=found["name"])

        return await self.run(work)

    async def save_draft(self, organization_id: str, workflow_name: str, config: Mapping[str, Any]) -> VersionRow:
        content = rows.as_json(dict(config))

        async def work(connection: Connection) -> VersionRow:
            version_id = await connection.fetchval(queries.SAVE_DRAFT, organization_id, workflow_name, content)
            return rows.version_row(await connection.fetchrow(queries.VERSION, version_id))

        return await self.run(work)

    async def publish(self, version_id: str) -> VersionRow:
        async def work(connection: Connection) -> VersionRow:
            await connection.fetchval(queries.PUBLISH, rows.as_uuid(version_id))
            return await _version(connection, version_id)

        return await self.run(work)

    async def version(self, version_id: str) -> VersionRow:
        return await self.run(lambda connection: _version(connection, version_id))

    async def published_version(self, organization_id: str, workflow: str) -> VersionRow:
        async def work(connection: Connection) -> VersionRow:
            workflow_id = await workflow_id_of(connection, organization_id, workflow)
            found = await connection.fetchrow(queries.VERSION_PUBLISHED, workflow_id)
            if found is None:
                numbers = await connection.fetch(queries.VERSION_NUMBERS, workflow_id)
                raise faults.no_published(workflow, [row["version"] for row in numbers])
            return rows.version_row(found)

        return await self.run(work)

    async def workflows(self, organization_id: str) -> list[WorkflowRow]:
        return [rows.workflow_row(row) for row in await self.fetch(queries.WORKFLOWS, organization_id)]

    async def versions(self, organization_id: str, workflow: str) -> list[VersionRow]:
        async def work(connection: Connection) -> list[VersionRow]:
            workflow_id = await workflow_id_of(connection, organization_id, workflow)
            return [rows.version_row(row) for row in await connection.fetch(queries.VERSIONS, workflow_id)]

        return await self.run(work)

    async def set_variable(self, organization_id: str, name: str, value: str, *, is_secret: bool) -> None:
        await self.fetch(queries.VARIABLE_SET, organization_id, name, value, is_secret)

    async def remove_variable(self, organization_id: str, name: str) -> None:
        if not await self.fetch(queries.VARIABLE_REMOVE, organization_id, name):
            raise faults.no_variable(name, [variable.name for variable in await self.variables(organization_id)])

    async def replace_secret(self, organization_id: str, name: str, old: str, new: str) -> bool:
        return bool(await self.fetch(queries.VARIABLE_REPLACE, organization_id, name, old, new))

    async def variables(self, organization_id: str) -> list[WorkspaceVariableRow]:
        return [WorkspaceVariableRow(**row) for row in await self.fetch(queries.VARIABLES, organization_id)]

    async def open_call(self, row: CallRow) -> None:
        await self.fetch(queries.CALL_OPEN, *rows.call_arguments(row))

    async def append(self, events: Sequence[EventRow]) -> None:
        if not events:
            return
        columns = rows.event_columns(events)
        try:
            done = await self.run(lambda connection: connection.execute(queries.APPEND, *columns))
        except PatchbayError as refusal:
            if not isinstance(refusal.__cause__, asyncpg.UniqueViolationError):
                raise
            done = await self.run(lambda connection: connection.execute(queries.APPEND_BESIDE, *columns))
        if done != f"INSERT 0 {len(events)}":  # the others are stored already, or came late
            await self.look_for_late(events)

    async def close_call(self, row: CallRow) -> bool:
        found = await self.fetch(queries.CALL_CLOSE, *rows.close_arguments(row))
        if not found:
            raise faults.no_call(row.id)
        return bool(found[0][0])

    async def call(self, session_id: str) -> CallRow:
        found = await self.fetch(queries.CALL, rows.as_uuid(session_id))
        if not found:
            raise faults.no_call(session_id)
        return rows.call_row(found[0])

    async def calls(self, organization_id: str, *, limit: int = 20, tests: bool = True) -> list[CallRow]:
        return [rows.call_row(row) for row in await self.fetch(queries.CALLS, organization_id, limit, tests)]

    async def events(self, session_id: str) -> list[EventRow]:
        found = await self.fetch(queries.EVENTS, rows.as_uuid(session_id))
        if not found:
            await self.call(session_id)
        return [rows.event_row(row) for row in found]

    async def save_test(self, row: TestSessionRow) -> None:
        await self.fetch(queries.TEST_SAVE, *rows.test_arguments(row))

    async def tests(self, organization_id: str, *, limit: int = 20) -> list[TestSessionRow]:
        return [rows.test_row(row) for row in await self.fetch(queries.TESTS, organization_id, limit)]


async def _version(connection: Connection, version_id: str) -> VersionRow:
    found = await connection.fetchrow(queries.VERSION, rows.as_uuid(version_id))
    if found is None:
        raise faults.no_version(version_id)
    return rows.version_row(found)
