"""Who belongs to an organization, and as what; an owner's to change."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from api.access import PERMISSIONS, Caller, Role, permissions_of
from api.answers import CREATED, answers
from api.idempotency import PatchbayRoute
from api.models.common import Listed
from api.models.organizations import Member, MemberChange, NewMember
from api.problems import Problem, conflicting, found
from api.requests import CallerDep, PageDep, listed
from runtime.store.row_access import Condition

__all__ = ["router"]

router = APIRouter(tags=["members"], route_class=PatchbayRoute)

Json = Any


@router.get("/members", response_model=Listed[Member], responses=answers())
async def list_members(caller: CallerDep, page: PageDep) -> Json:
    """List the organization's members, who came first first."""
    organization = caller.need("organization:read")
    return await listed(
        caller.rows,
        page,
        "organization_member",
        where=[("organization_id", "eq", organization)],
        order=[("created_at", "asc"), ("user_id", "asc")],
    )


@router.post("/members", status_code=201, response_model=Member, responses=CREATED | answers(409, 413))
async def add_member(caller: CallerDep, body: NewMember, response: Response) -> Json:
    """Have a user belong to the organization. A key that scopes narrow gives nobody more than it has itself."""
    organization = caller.need("organization:write")
    _refuse_more(caller, organization, body.role)
    row = {"organization_id": organization, "user_id": str(body.user_id), "role": body.role}
    with conflicting(
        "This user belongs to the organization already.",
        remedy=f"Change the role with PATCH /api/members/{body.user_id}",
    ):
        made = await caller.rows.insert("organization_member", row)
    response.headers["Location"] = f"/api/members/{body.user_id}"
    return made


@router.patch("/members/{user_id}", response_model=Member, responses=answers(404, 409, 413))
async def change_member(caller: CallerDep, user_id: UUID, body: MemberChange) -> Json:
    """Give a member another role; 409 for the last owner."""
    organization = caller.need("organization:write")
    _refuse_more(caller, organization, body.role)
    changed = await caller.rows.update("organization_member", _of(organization, user_id), {"role": body.role})
    return found(changed, "member", str(user_id))


@router.delete("/members/{user_id}", status_code=204, responses=answers(404, 409))
async def remove_member(caller: CallerDep, user_id: UUID) -> None:
    """Have a user belong to the organization no longer; 409 for the last owner."""
    organization = caller.need("organization:write")
    gone = await caller.rows.delete("organization_member", _of(organization, user_id), returning=["user_id"])
    found(gone, "member", str(user_id))


def _refuse_more(caller: Caller, organization: str, role: Role) -> None:
    """Refuse a role that may more than the key that gives it."""
    more = sorted(each for each in PERMISSIONS & permissions_of(role) if not caller.principal.may(each, organization))
    if more:
        raise Problem(
            403,
            "forbidden",
            f"A {role} would have permissions that your key has not: {', '.join(more)}.",
            remedy="Do it as a signed-in owner, or with a key that has them.",
        )


def _of(organization: str, user_id: UUID) -> list[Condition]:
    return [("organization_id", "eq", organization), ("user_id", "eq", str(user_id))]
