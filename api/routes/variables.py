"""Workspace variables and secrets: a secret's value goes in and never comes out."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response

from api.access import Caller
from api.answers import answers, created
from api.idempotency import PatchbayRoute
from api.models.common import Listed
from api.models.workspace import Variable, VariableChange
from api.problems import found
from api.putting import put
from api.requests import CallerDep, PageDep, ServicesDep, listed

__all__ = ["router"]

router = APIRouter(tags=["variables"], route_class=PatchbayRoute)

Json = Any
_COLUMNS: Final = ("id", "organization_id", "name", "value", "is_secret", "created_at", "updated_at")
NamePath = Annotated[
    str, Path(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$", description="Letters, digits and underscores, at most 100.")
]


@router.get("/variables", response_model=Listed[Variable], responses=answers())
async def list_variables(caller: CallerDep, page: PageDep) -> Json:
    """List variables and secrets by name, secrets without their values."""
    organization = caller.need("variables:read")
    return await listed(
        caller.rows,
        page,
        "workspace_variable",
        columns=_COLUMNS,
        where=[("organization_id", "eq", organization)],
        order=[("name", "asc")],
    )


@router.get("/variables/{name}", response_model=Variable, responses=answers(404))
async def read_variable(caller: CallerDep, name: NamePath) -> Json:
    """Return a variable; a secret without its value."""
    rows = await _named(caller, caller.need("variables:read"), name)
    return found(rows, "variable", name)


@router.put("/variables/{name}", response_model=Variable, responses=created(Variable) | answers(409, 413))
async def set_variable(
    caller: CallerDep, services: ServicesDep, name: NamePath, body: VariableChange, response: Response
) -> Json:
    """Set a variable or a secret; 201 where there was none of this name."""
    organization = caller.need("variables:write")
    is_secret = body.is_secret
    if is_secret is None:
        known = await _named(caller, organization, name)
        is_secret = bool(known and known[0]["is_secret"])
    token = await asyncio.to_thread(services.keyring.encrypt, body.value) if is_secret else None
    row, made = await put(
        caller.rows,
        "workspace_variable",
        {"organization_id": organization, "name": name},
        {"value": None if is_secret else body.value, "secret": token},
        returning=_COLUMNS,
    )
    if made:
        response.status_code = 201
        response.headers["Location"] = f"/api/variables/{name}"
    return row


@router.delete("/variables/{name}", status_code=204, responses=answers(404))
async def remove_variable(caller: CallerDep, name: NamePath) -> None:
    """Remove a variable or a secret."""
    organization = caller.need("variables:write")
    gone = await caller.rows.delete(
        "workspace_variable", [("organization_id", "eq", organization), ("name", "eq", name)], returning=["id"]
    )
    found(gone, "variable", name)


async def _named(caller: Caller, organization: str, name: str) -> list[dict[str, Json]]:
    return await caller.rows.select(
        "workspace_variable",
        columns=_COLUMNS,
        where=[("organization_id", "eq", organization), ("name", "eq", name)],
        limit=1,
    )
