"""The rows of the store in memory, and who wants to hear of their changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar
from uuid import uuid4

from runtime.errors import PatchbayError, StoreUnreachable
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

__all__ = ["Tables", "kept"]

R = TypeVar("R", OrganizationRow, WorkflowRow, VersionRow)


class Tables:
    """What a store in memory holds. While `away` is true every method raises `StoreUnreachable`."""

    def __init__(self) -> None:
        self.away = False
        self._organizations: dict[str, OrganizationRow] = {}
        self._workflows: dict[str, WorkflowRow] = {}
        self._versions: dict[str, VersionRow] = {}
        self._variables: dict[tuple[str, str], WorkspaceVariableRow] = {}
        self._calls: dict[str, CallRow] = {}
        self._events: dict[str, dict[int, EventRow]] = {}
        self._tests: dict[str, TestSessionRow] = {}
        self._listeners: list[Callable[[str, str], None]] = []

    def _reach(self) -> None:
        if self.away:
            raise StoreUnreachable("The store in memory is away.", remedy="Set its `away` to False.")

    def _need_organization(self, organization_id: str) -> None:
        if organization_id not in self._organizations:
            raise PatchbayError(f"The database does not take this: there is no organization '{organization_id}'.")

    def _need_version(self, version_id: str | None) -> None:
        if version_id is not None and version_id not in self._versions:
            raise PatchbayError(f"The database does not take this: there is no workflow version '{version_id}'.")

    def _named(self, organization_id: str, name: str) -> WorkflowRow | None:
        mine = (row for row in self._workflows.values() if row.organization_id == organization_id)
        return next((row for row in mine if row.name == name), None)

    def _new_workflow(self, organization_id: str, name: str) -> WorkflowRow:
        now = datetime.now(UTC)
        return kept(self._workflows, WorkflowRow(str(uuid4()), organization_id, name, None, None, None, now, now))

    def _counted(self, row: WorkflowRow) -> WorkflowRow:
        versions = self._versions_of(row.id)
        published = next((version.version for version in versions if version.status == "published"), None)
        return replace(row, latest_version=versions[0].version if versions else None, published_version=published)

    def _versions_of(self, workflow_id: str) -> list[VersionRow]:
        mine = [row for row in self._versions.values() if row.workflow_id == workflow_id]
        return sorted(mine, key=lambda row: row.version, reverse=True)

    def _found(self, organization_id: str, workflow: str) -> WorkflowRow:
        found = self._workflows.get(workflow)
        if found is None or found.organization_id != organization_id:
            found = self._named(organization_id, workflow)
        if found is None:
            mine = (row for row in self._workflows.values() if row.organization_id == organization_id)
            raise faults.no_workflow(workflow, [row.name for row in mine])
        return found

    def _tell(self, what: str, which: str) -> None:
        for listener in tuple(self._listeners):
            listener(what, which)


def kept(rows: dict[str, R], row: R) -> R:
    """Put the row under its id and return it."""
    rows[row.id] = row
    return row
