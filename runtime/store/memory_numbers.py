"""Who answers which number, what an organization may use up, and word of every change: a part of the store in memory."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from runtime.errors import PatchbayError
from runtime.session.ports import (
    CallRow,
    DirectorySnapshot,
    Limits,
    NumberRow,
    OrganizationLoad,
    PublishedRow,
    TenantRow,
)
from runtime.store import faults
from runtime.store.memory_tables import Tables
from runtime.store.rows import by_number

__all__ = ["Numbers"]

_DAY = timedelta(hours=24)


class Numbers(Tables):
    """The numbers, limits and the directory of a `Store`."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers: dict[tuple[str, str], NumberRow] = {}
        self._defaults: dict[str, str | None] = {}
        self._limits: dict[str, Limits] = {}

    async def numbers(self, organization_id: str) -> list[NumberRow]:
        self._reach()
        return [row for (owner, _), row in sorted(self._numbers.items()) if owner == organization_id]

    async def set_number(
        self, organization_id: str, number: str, workflow: str, *, description: str | None = None
    ) -> NumberRow:
        self._reach()
        found = self._found(organization_id, workflow)
        if not re.fullmatch(r"\+[1-9][0-9]{1,14}", number):
            raise PatchbayError(f"The database does not take this: '{number}' is no number in E.164.")
        new = NumberRow(number, organization_id, found.id, found.name, is_default=False, description=None)
        row = self._numbers.get((organization_id, number), new)
        row = replace(row, workflow_id=found.id, workflow_name=found.name, description=description or row.description)
        self._numbers[organization_id, number] = row
        self._tell("phone_number", organization_id)
        return row

    async def remove_number(self, organization_id: str, number: str) -> None:
        self._reach()
        if self._numbers.pop((organization_id, number), None) is None:
            raise faults.no_number(number, [row.number for row in await self.numbers(organization_id)])
        self._tell("phone_number", organization_id)

    async def set_default_workflow(self, organization_id: str, workflow: str | None) -> None:
        self._reach()
        chosen = None if workflow is None else self._found(organization_id, workflow).id
        self._need_tenant(organization_id)
        self._defaults[organization_id] = chosen
        self._tell("organization", organization_id)

    async def set_limits(self, organization_id: str, limits: Limits) -> None:
        self._reach()
        self._need_tenant(organization_id)
        if (limits.max_concurrent_calls or 0) < 0 or (limits.max_minutes_a_day or 0) < 0:
            raise PatchbayError("The database does not take this: a limit is below 0.")
        if not all(re.fullmatch(r"\+[1-9][0-9]{0,14}", prefix) for prefix in limits.dial_prefixes):
            raise PatchbayError("The database does not take this: a prefix is not + and digits.")
        self._limits[organization_id] = limits
        self._tell("organization", organization_id)

    async def load(self, organization_id: str) -> OrganizationLoad:
        self._reach()
        now = datetime.now(UTC)
        mine = [row for row in self._calls.values() if row.organization_id == organization_id and not row.is_test]
        recent = [row for row in mine if row.started_at > now - _DAY and row.worker_id is not None]
        recent = [row for row in recent if row.ended_at is not None or row.started_at > now - self._longest(row)]
        return OrganizationLoad(
            active_calls=sum(row.ended_at is None for row in recent),
            minutes_today=sum(_minutes(row, now) for row in recent),
        )

    def _longest(self, row: CallRow) -> timedelta:
        """Return how long a call may last that has not been lost."""
        version = self._versions.get(row.workflow_version_id or "")
        session = version.config.get("session") if version else None
        seconds = session.get("max_duration_s") if isinstance(session, Mapping) else None
        return timedelta(seconds=600 + (min(seconds, 86400) if isinstance(seconds, int | float) else 3600))

    async def directory(self) -> DirectorySnapshot:
        self._reach()
        rows = sorted(self._numbers.values(), key=lambda row: (row.number, row.organization_id))
        published = (row for row in self._versions.values() if row.status == "published")
        return DirectorySnapshot(
            organizations={key: self._tenant(key) for key in self._organizations},
            numbers=by_number(rows),
            published={
                row.workflow_id: PublishedRow(
                    row.workflow_id, row.workflow_name, row.organization_id, row.id, row.version
                )
                for row in published
            },
        )

    @asynccontextmanager
    async def listen(self, on_change: Callable[[str, str], None]) -> AsyncIterator[None]:
        self._reach()
        self._listeners.append(on_change)
        try:
            yield
        finally:
            self._listeners.remove(on_change)

    def _need_tenant(self, organization_id: str) -> None:
        if organization_id not in self._organizations:
            raise faults.no_organization(organization_id)

    def _tenant(self, organization_id: str) -> TenantRow:
        default = self._workflows.get(self._defaults.get(organization_id) or "")
        return TenantRow(
            id=organization_id,
            name=self._organizations[organization_id].name,
            default_workflow_id=default.id if default else None,
            default_workflow_name=default.name if default else None,
            limits=self._limits.get(organization_id, Limits()),
        )


def _minutes(row: CallRow, now: datetime) -> float:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    counted = (row.ended_at or now) - max(row.answered_at or row.started_at, midnight)
    return max(counted.total_seconds(), 0) / 60
