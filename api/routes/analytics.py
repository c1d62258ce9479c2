"""What the calls of a version came to, in figures."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from api.access import Caller
from api.answers import answers
from api.idempotency import PatchbayRoute
from api.models.analytics import Analytics
from api.models.sessions import Word
from api.problems import Problem, found
from api.requests import CallerDep
from runtime.store.row_access import Row

__all__ = ["router"]

Json = Any

router = APIRouter(tags=["analytics"], route_class=PatchbayRoute)


@router.get("/workflow-versions/{version_id}/analytics", response_model=Analytics, responses=answers(404))
async def read_analytics(  # noqa: PLR0913, PLR0917 - one parameter for each filter is what FastAPI reads
    caller: CallerDep,
    version_id: UUID,
    from_: Annotated[date | None, Query(alias="from", description="The first day, in UTC.")] = None,
    to: Annotated[date | None, Query(description="The last day, in UTC and included.")] = None,
    channel: Annotated[Word | None, Query(description="phone, web, voice_test or chat_test.")] = None,
    tests: Annotated[bool, Query(description="Tests too; they are left out otherwise.")] = False,
    compare: Annotated[UUID | None, Query(description="Another version, to be compared with this one.")] = None,
) -> Json:
    """Read what a version's calls came to: funnel, paths, variables, tools, latency and cost, under the same filters."""
    if from_ is not None and to is not None and from_ > to:
        raise Problem(422, "invalid_request", "`from` is after `to`.", remedy="Name the earlier day in `from`.")
    version = await _version(caller, version_id)
    other = None if compare is None else await _version(caller, compare)
    if other is not None and other["organization_id"] != version["organization_id"]:
        raise Problem(404, "not_found", f"There is no workflow version '{compare}' in this organization.")
    return await caller.rows.rpc(
        "analytics",
        {
            "workflow_version_id": str(version_id),
            "from_day": from_ and from_.isoformat(),
            "to_day": to and to.isoformat(),
            "channel": channel,
            "include_tests": tests,
            "compare_with": compare and str(compare),
        },
    )


async def _version(caller: Caller, version_id: UUID) -> Row:
    rows = await caller.rows.select(
        "workflow_version",
        columns=["id", "organization_id"],
        where=[("id", "eq", str(version_id))],
        limit=1,
    )
    version = found(rows, "workflow version", str(version_id))
    caller.need("analytics:read", version["organization_id"])
    return version
