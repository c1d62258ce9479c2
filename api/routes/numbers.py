"""Telephone numbers: who answers which, and which one calls that go out show."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from api.access import Caller
from api.answers import answers, created
from api.idempotency import PatchbayRoute
from api.models.common import Listed, changes_of
from api.models.workspace import NumberChange, PhoneNumber
from api.problems import Problem, found
from api.putting import put
from api.requests import CallerDep, PageDep, listed
from runtime.numbers import e164
from runtime.store.row_access import Condition

__all__ = ["refuse_strange_workflow", "router"]

router = APIRouter(tags=["phone numbers"], route_class=PatchbayRoute)

Json = Any
NumberPath = Annotated[str, Path(max_length=40, description="With its country code, plus first: +15550100.")]


@router.get("/phone-numbers", response_model=Listed[PhoneNumber], responses=answers())
async def list_numbers(caller: CallerDep, page: PageDep) -> Json:
    """List the organization's numbers in order."""
    organization = caller.need("numbers:read")
    return await listed(
        caller.rows, page, "phone_number", where=[("organization_id", "eq", organization)], order=[("number", "asc")]
    )


@router.get("/phone-numbers/{number}", response_model=PhoneNumber, responses=answers(404))
async def read_number(caller: CallerDep, number: NumberPath) -> Json:
    """Return one number."""
    organization, wanted = caller.need("numbers:read"), _checked(number)
    where: list[Condition] = [("organization_id", "eq", organization), ("number", "eq", wanted)]
    return found(await caller.rows.select("phone_number", where=where, limit=1), "number", wanted)


@router.put("/phone-numbers/{number}", response_model=PhoneNumber, responses=created(PhoneNumber) | answers(409, 413))
async def set_number(caller: CallerDep, number: NumberPath, body: NumberChange, response: Response) -> Json:
    """Say who answers a number; 201 where it was not mapped yet. It is in force for the next call."""
    organization, wanted = caller.need("numbers:write"), _checked(number)
    await refuse_strange_workflow(caller, organization, str(body.workflow_id) if body.workflow_id else None)
    if body.is_default:
        await _take_default(caller, organization, wanted)
    keys = {"organization_id": organization, "number": wanted}
    row, made = await put(caller.rows, "phone_number", keys, changes_of(body))
    if made:
        response.status_code = 201
        response.headers["Location"] = f"/api/phone-numbers/{wanted}"
    return row


@router.delete("/phone-numbers/{number}", status_code=204, responses=answers(404))
async def remove_number(caller: CallerDep, number: NumberPath) -> None:
    """Forget a number: the organization's default workflow answers it from now on."""
    organization, wanted = caller.need("numbers:write"), _checked(number)
    gone = await caller.rows.delete(
        "phone_number", [("organization_id", "eq", organization), ("number", "eq", wanted)], returning=["id"]
    )
    found(gone, "number", wanted)


async def refuse_strange_workflow(caller: Caller, organization: str, workflow_id: str | None) -> None:
    """Raise the problem 422 for a workflow that is not the organization's."""
    if workflow_id is None:
        return
    where: list[Condition] = [("id", "eq", workflow_id), ("organization_id", "eq", organization)]
    if not await caller.rows.select("workflow", columns=["id"], where=where, limit=1):
        raise Problem(
            422,
            "invalid_request",
            f"The organization has no workflow '{workflow_id}'.",
            remedy="Send the id of one of GET /api/workflows.",
        )


async def _take_default(caller: Caller, organization: str, number: str) -> None:
    """Take the mark from the number that has it: the database allows one."""
    await caller.rows.update(
        "phone_number",
        [("organization_id", "eq", organization), ("is_default", "is", True), ("number", "neq", number)],
        {"is_default": False},
        returning=["id"],
    )


def _checked(number: str) -> str:
    wanted = e164(number)
    if wanted is None:
        raise Problem(
            422,
            "invalid_request",
            "This is no telephone number with its country code.",
            remedy="Write it in E.164, plus and country code first: +15550100",
        )
    return wanted
