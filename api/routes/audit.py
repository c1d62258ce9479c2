"""The record of every change: who, what, before and after."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from api.answers import answers
from api.idempotency import PatchbayRoute
from api.models.common import Listed, Storable
from api.models.organizations import AuditEntry
from api.requests import CallerDep, PageDep, listed
from runtime.store.row_access import Condition

__all__ = ["router"]

router = APIRouter(tags=["audit log"], route_class=PatchbayRoute)


@router.get("/audit-log", response_model=Listed[AuditEntry], responses=answers())
async def list_changes(
    caller: CallerDep,
    page: PageDep,
    table: Annotated[Storable | None, Query(max_length=100, description="Only changes of this table.")] = None,
    row_id: Annotated[Storable | None, Query(max_length=200, description="Only changes of this row.")] = None,
    actor: Annotated[UUID | None, Query(description="Only what this user or API key did.")] = None,
) -> Any:
    """List the organization's changes, the newest first. Secrets show as `•••`."""
    where: list[Condition] = [("organization_id", "eq", caller.need("audit:read"))]
    asked = {"table_name": table, "row_id": row_id, "actor_id": str(actor) if actor is not None else None}
    where += [(column, "eq", value) for column, value in asked.items() if value is not None]
    return await listed(caller.rows, page, "audit_log", where=where, order=[("id", "desc")])
