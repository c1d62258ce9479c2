"""The store in memory, with the semantics of the one on Postgres: for tests, and for runs that keep nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

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
from runtime.store import faults
from runtime.store.memory_after_call import AfterCalls
from runtime.store.memory_analysis import Analyses
from runtime.store.memory_fleet import Fleets
from runtime.store.memory_numbers import Numbers
from runtime.store.memory_tables import kept

__all__ = ["MemoryStore"]


class MemoryStore(AfterCalls, Analyses, Fleets, Numbers):
    """A `Store` that forgets. While `away` is true every method raises `StoreUnreachable`."""

    async def ensure_organization(self, name: str) -> OrganizationRow:
        self._reach()
        for row in self._organizations.values():
            if name in {row.id, row.name}:
                return row
        made = kept(self._organizations, OrganizationRow(id=str(uuid4()), name=name))
        self._tell("organization", made.id)
        return made

    async def save_draft(self, organization_id: str, workflow_name: str, config: Mapping[str, Any]) -> VersionRow:
        self._reach()
        self._need_organization(organization_id)
        workflow = self._named(organization_id, workflow_name) or self._new_workflow(organization_id, workflow_name)
        versions = self._versions_of(workflow.id)
        for row in versions:
            if _content(row.config) == _content(config):
                return row
        return kept(
            self._versions,
            VersionRow(
                id=str(uuid4()),
                workflow_id=workflow.id,
                workflow_name=workflow.name,
                organization_id=organization_id,
                version=versions[0].version + 1 if versions else 1,
                status="draft",
                config=json.loads(_content(config)),
                created_at=_now(),
                published_at=None,
            ),
        )

    async def publish(self, version_id: str) -> VersionRow:
        chosen = await self.version(version_id)
        if chosen.status == "published":
            return chosen
        for row in self._versions_of(chosen.workflow_id):
            if row.status == "published":
                self._versions[row.id] = replace(row, status="archived")
                self._tell("workflow", row.organization_id)
        published = kept(self._versions, replace(chosen, status="published", published_at=_now()))
        self._tell("workflow_version", version_id)
        return published

    async def version(self, version_id: str) -> VersionRow:
        self._reach()
        try:
            return self._versions[version_id]
        except KeyError:
            raise faults.no_version(version_id) from None

    async def published_version(self, organization_id: str, workflow: str) -> VersionRow:
        versions = await self.versions(organization_id, workflow)
        for row in versions:
            if row.status == "published":
                return row
        raise faults.no_published(workflow, [row.version for row in versions])

    async def workflows(self, organization_id: str) -> list[WorkflowRow]:
        self._reach()
        mine = [self._counted(row) for row in self._workflows.values() if row.organization_id == organization_id]
        return sorted(mine, key=lambda row: row.name)

    async def versions(self, organization_id: str, workflow: str) -> list[VersionRow]:
        self._reach()
        return self._versions_of(self._found(organization_id, workflow).id)

    async def set_variable(self, organization_id: str, name: str, value: str, *, is_secret: bool) -> None:
        self._reach()
        self._need_organization(organization_id)
        row = WorkspaceVariableRow(name=name, value=value, is_secret=is_secret, updated_at=_now())
        self._variables[organization_id, name] = row
        self._tell("workspace_variable", organization_id)

    async def remove_variable(self, organization_id: str, name: str) -> None:
        self._reach()
        if self._variables.pop((organization_id, name), None) is None:
            raise faults.no_variable(name, [variable.name for variable in await self.variables(organization_id)])
        self._tell("workspace_variable", organization_id)

    async def replace_secret(self, organization_id: str, name: str, old: str, new: str) -> bool:
        self._reach()
        row = self._variables.get((organization_id, name))
        if row is None or not row.is_secret or row.value != old:
            return False
        await self.set_variable(organization_id, name, new, is_secret=True)
        return True

    async def variables(self, organization_id: str) -> list[WorkspaceVariableRow]:
        self._reach()
        return [row for (owner, _), row in sorted(self._variables.items()) if owner == organization_id]

    async def open_call(self, row: CallRow) -> None:
        self._reach()
        self._need_organization(row.organization_id)
        self._need_version(row.workflow_version_id)
        if row.id not in self._calls:
            self._calls[row.id] = replace(row, variables=json.loads(_content(row.variables)))
            self._events[row.id] = {}
            self._first_lease(row)

    async def append(self, events: Sequence[EventRow]) -> None:
        self._reach()
        for event in events:
            if event.session_id not in self._calls:
                raise PatchbayError(f"The database does not take this: there is no session '{event.session_id}'.")
        kept = [replace(event, payload=json.loads(_content(event.payload))) for event in events]
        for event in kept:
            if self._late(event):
                continue
            self._heard[event.session_id] = _now()
            secret = event.secret if self._calls[event.session_id].ended_at is None else None
            self._events[event.session_id].setdefault(event.seq, replace(event, secret=secret))

    async def close_call(self, row: CallRow) -> bool:
        open_row = await self.call(row.id)
        if row.epoch < open_row.epoch:
            return False
        self._calls[row.id] = replace(
            open_row,
            ended_at=row.ended_at or open_row.ended_at or _now(),
            status=row.status,
            end_reason=row.end_reason,
            variables=json.loads(_content(row.variables)),
            answered_at=row.answered_at,
            cost=row.cost,
        )
        self._remember_after_call(self._calls[row.id])
        self._events[row.id] = {seq: replace(event, secret=None) for seq, event in self._events[row.id].items()}
        self._forget_lease(row.id)
        return True

    async def call(self, session_id: str) -> CallRow:
        self._reach()
        try:
            return self._calls[session_id]
        except KeyError:
            raise faults.no_call(session_id) from None

    async def calls(self, organization_id: str, *, limit: int = 20, tests: bool = True) -> list[CallRow]:
        self._reach()
        mine = [row for row in self._calls.values() if row.organization_id == organization_id]
        chosen = [row for row in mine if tests or not row.is_test]
        return sorted(chosen, key=lambda row: row.started_at, reverse=True)[:limit]

    async def events(self, session_id: str) -> list[EventRow]:
        await self.call(session_id)
        return [event for _, event in sorted(self._events[session_id].items())]

    async def save_test(self, row: TestSessionRow) -> None:
        self._reach()
        self._need_organization(row.organization_id)
        self._need_version(row.workflow_version_id)
        self._tests[row.id] = replace(row, transcript=[dict(line) for line in row.transcript])

    async def tests(self, organization_id: str, *, limit: int = 20) -> list[TestSessionRow]:
        self._reach()
        mine = [row for row in self._tests.values() if row.organization_id == organization_id]
        return sorted(mine, key=lambda row: row.created_at, reverse=True)[:limit]

    async def aclose(self) -> None:
        """Keep everything: a store in memory may be opened again."""


def _content(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), sort_keys=True, allow_nan=False)


def _now() -> datetime:
    return datetime.now(UTC)
