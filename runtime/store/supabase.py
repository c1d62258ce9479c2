"""The store over Supabase's own API, by supabase-py: the project's URL and its secret key are all it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.session.ports import OrganizationRow, VersionRow, WorkspaceVariableRow
from runtime.store import faults
from runtime.store.supabase_after_call import AfterCalls
from runtime.store.supabase_fleet import Fleets
from runtime.store.supabase_numbers import Numbers
from runtime.store.supabase_records import as_id, built, built_all

__all__ = ["SupabaseStore"]


class SupabaseStore(AfterCalls, Fleets, Numbers):
    """A `Store` on the project at `url`; `key` is its service role's.

    `database`, of the same project, takes what comes in bulk and tells of changes; it belongs to whoever opened it.
    """

    async def ensure_organization(self, name: str) -> OrganizationRow:
        found = await self.ask("organization", name=name)
        return OrganizationRow(id=found["id"], name=found["name"])

    async def save_draft(self, organization_id: str, workflow_name: str, config: Mapping[str, Any]) -> VersionRow:
        given = {"organization_id": organization_id, "workflow_name": workflow_name, "config": dict(config)}
        return built(VersionRow, await self.ask("save_draft", **given))

    async def publish(self, version_id: str) -> VersionRow:
        found = await self.ask("publish", version_id=as_id(version_id))
        if found is None:
            raise faults.no_version(version_id)
        return built(VersionRow, found)

    async def version(self, version_id: str) -> VersionRow:
        found = await self.ask("version", version_id=as_id(version_id))
        if found is None:
            raise faults.no_version(version_id)
        return built(VersionRow, found)

    async def published_version(self, organization_id: str, workflow: str) -> VersionRow:
        found = await self.ask("published", organization_id=organization_id, workflow=workflow)
        if found is None:
            raise await self.no_workflow(organization_id, workflow)
        if found["published"] is None:
            raise faults.no_published(workflow, found["versions"])
        return built(VersionRow, found["published"])

    async def versions(self, organization_id: str, workflow: str) -> list[VersionRow]:
        found = await self.ask("versions", organization_id=organization_id, workflow=workflow)
        if found is None:
            raise await self.no_workflow(organization_id, workflow)
        return built_all(VersionRow, found)

    async def set_variable(self, organization_id: str, name: str, value: str, *, is_secret: bool) -> None:
        given = {"organization_id": organization_id, "name": name, "value": value}
        await self.ask("set_variable", **given, is_secret=is_secret)

    async def remove_variable(self, organization_id: str, name: str) -> None:
        if not await self.ask("remove_variable", organization_id=organization_id, name=name):
            raise faults.no_variable(name, [each.name for each in await self.variables(organization_id)])

    async def replace_secret(self, organization_id: str, name: str, old: str, new: str) -> bool:
        return bool(await self.ask("replace_secret", organization_id=organization_id, name=name, old=old, new=new))

    async def variables(self, organization_id: str) -> list[WorkspaceVariableRow]:
        return built_all(WorkspaceVariableRow, await self.ask("variables", organization_id=organization_id))
