"""Organizations: mine, a new one, and what is known of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from api.access import Caller
from api.answers import CREATED, answers
from api.idempotency import PatchbayRoute
from api.models.common import Listed, changes_of
from api.models.organizations import NewOrganization, Organization, OrganizationChange, OrganizationDetails
from api.problems import Problem, found
from api.requests import CallerDep, PageDep, ServicesDep, listed
from api.routes.numbers import refuse_strange_workflow
from api.services import Services

__all__ = ["router"]

router = APIRouter(tags=["organizations"], route_class=PatchbayRoute)

Json = Any
Row = dict[str, Json]


@router.get("/organizations", response_model=Listed[Organization], responses=answers())
async def list_organizations(caller: CallerDep, page: PageDep) -> Json:
    """List the organizations one belongs to, each with one's role."""
    mine = caller.principal.organizations
    for organization in mine:
        caller.need("organization:read", organization)
    found_page = await listed(
        caller.rows, page, "organization", where=[("id", "in", sorted(mine))], order=[("name", "asc"), ("id", "asc")]
    )
    return found_page | {"items": [row | {"role": mine[row["id"]]} for row in found_page["items"]]}


@router.post("/organizations", status_code=201, response_model=Organization, responses=CREATED | answers(409, 413))
async def make_organization(caller: CallerDep, body: NewOrganization, response: Response) -> Json:
    """Make an organization of one's own; a signed-in user becomes its owner."""
    if caller.principal.kind != "user":
        raise Problem(
            403,
            "forbidden",
            "An API key belongs to its organization and makes no other.",
            remedy="Sign in as a user, or let the operator run: patchbay org create",
        )
    row = await caller.rows.rpc("create_organization", {"name": body.name})
    response.headers["Location"] = f"/api/organizations/{row['id']}"
    return row | {"role": "owner"}


@router.get("/organizations/{organization_id}", response_model=OrganizationDetails, responses=answers(404))
async def read_organization(caller: CallerDep, services: ServicesDep, organization_id: UUID) -> Json:
    """Return an organization with its limits and what it uses."""
    return await _details(caller, services, await _organization(caller, organization_id))


@router.patch("/organizations/{organization_id}", response_model=OrganizationDetails, responses=answers(404, 409, 413))
async def change_organization(
    caller: CallerDep, services: ServicesDep, organization_id: UUID, body: OrganizationChange
) -> Json:
    """Change the name, who answers numbers that are not mapped, or how long calls are kept. An owner's to do."""
    row = await _organization(caller, organization_id)
    caller.need("organization:write", row["id"])
    if changes := changes_of(body):
        await refuse_strange_workflow(caller, row["id"], changes.get("default_workflow_id"))
        changed = await caller.rows.update("organization", [("id", "eq", row["id"])], changes)
        row = found(changed, "organization", row["id"])
    return await _details(caller, services, row)


async def _organization(caller: Caller, organization_id: UUID) -> Row:
    rows = await caller.rows.select("organization", where=[("id", "eq", str(organization_id))], limit=1)
    row = found(rows, "organization", str(organization_id))
    caller.need("organization:read", row["id"])
    return row


async def _details(caller: Caller, services: Services, row: Mapping[str, Json]) -> Row:
    load = await services.store.load(row["id"])
    return {
        **row,
        "role": caller.principal.organizations[row["id"]],
        "active_calls": load.active_calls,
        "minutes_today": round(load.minutes_today, 2),
    }
