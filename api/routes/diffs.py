"""What differs between two versions of a workflow."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from api.access import Caller
from api.answers import answers
from api.diffing import diff
from api.idempotency import PatchbayRoute
from api.models.diffs import DiffBody
from api.problems import found
from api.requests import CallerDep
from runtime.store.row_access import Condition

__all__ = ["router"]

router = APIRouter(tags=["versions"], route_class=PatchbayRoute)

Json = Any
Row = dict[str, Json]

_COLUMNS = ("id", "workflow_id", "organization_id", "version", "status", "config")


@router.get("/workflow-versions/{version_id}/diff", response_model=DiffBody, responses=answers(404))
async def compare_versions(
    caller: CallerDep,
    version_id: UUID,
    against: Annotated[
        UUID | None,
        Query(description="The version to compare with: without it the workflow's published one, else the one before."),
    ] = None,
) -> Json:
    """Compare a version with another one: agents, tools and paths by their ids, variables by their names."""
    after = await _named(caller, version_id)
    before = await _named(caller, against) if against is not None else await _usual(caller, after)
    result = await asyncio.to_thread(diff, before["config"] if before else {}, after["config"])
    return asdict(result) | {"before": before, "after": after}


async def _named(caller: Caller, version_id: UUID) -> Row:
    rows = await caller.rows.select(
        "workflow_version", columns=_COLUMNS, where=[("id", "eq", str(version_id))], limit=1
    )
    row = found(rows, "version", str(version_id))
    caller.need("workflows:read", row["organization_id"])
    return row


async def _usual(caller: Caller, row: Row) -> Row | None:
    conditions: list[Condition] = [("status", "eq", "published"), ("version", "lt", row["version"])]
    for condition in conditions if row["status"] != "published" else conditions[1:]:
        rows = await caller.rows.select(
            "workflow_version",
            columns=_COLUMNS,
            where=[("workflow_id", "eq", row["workflow_id"]), condition],
            order=[("version", "desc")],
            limit=1,
        )
        if rows:
            return rows[0]
    return None
