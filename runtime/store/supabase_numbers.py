"""Who answers which number, what an organization may use up, and the directory: a part of the store over Supabase's API."""

from __future__ import annotations

from runtime.errors import NotFound
from runtime.session.ports import DirectorySnapshot, Limits, NumberRow, OrganizationLoad, WorkflowRow
from runtime.store import faults
from runtime.store.supabase_api import Api
from runtime.store.supabase_records import built, built_all, directory_snapshot

__all__ = ["Numbers"]


class Numbers(Api):
    """The workflows' names, the numbers, limits and the directory of a `Store`."""

    async def workflows(self, organization_id: str) -> list[WorkflowRow]:
        return built_all(WorkflowRow, await self.ask("workflows", organization_id=organization_id))

    async def no_workflow(self, organization_id: str, workflow: str) -> NotFound:
        """Return the error for a workflow that is not there, naming those that are."""
        return faults.no_workflow(workflow, [each.name for each in await self.workflows(organization_id)])

    async def numbers(self, organization_id: str) -> list[NumberRow]:
        return built_all(NumberRow, await self.ask("numbers", organization_id=organization_id))

    async def set_number(
        self, organization_id: str, number: str, workflow: str, *, description: str | None = None
    ) -> NumberRow:
        given = {"organization_id": organization_id, "number": number, "workflow": workflow}
        found = await self.ask("set_number", **given, description=description)
        if found is None:
            raise await self.no_workflow(organization_id, workflow)
        return built(NumberRow, found)

    async def remove_number(self, organization_id: str, number: str) -> None:
        if not await self.ask("remove_number", organization_id=organization_id, number=number):
            raise faults.no_number(number, [each.number for each in await self.numbers(organization_id)])

    async def set_default_workflow(self, organization_id: str, workflow: str | None) -> None:
        found = await self.ask("set_default_workflow", organization_id=organization_id, workflow=workflow)
        if found is None:
            raise faults.no_organization(organization_id)
        if not found:
            raise await self.no_workflow(organization_id, workflow or "")

    async def set_limits(self, organization_id: str, limits: Limits) -> None:
        found = await self.ask(
            "set_limits",
            organization_id=organization_id,
            max_concurrent_calls=limits.max_concurrent_calls,
            max_minutes_a_day=limits.max_minutes_a_day,
            dial_prefixes=list(limits.dial_prefixes),
        )
        if not found:
            raise faults.no_organization(organization_id)

    async def load(self, organization_id: str) -> OrganizationLoad:
        found = await self.ask("load", organization_id=organization_id)
        return OrganizationLoad(found["active_calls"], float(found["minutes_today"]))

    async def directory(self) -> DirectorySnapshot:
        return directory_snapshot(await self.ask("directory"))
