"""API keys: for programs, shown once, revoked for good."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Response

from api.access import PERMISSIONS, Caller, permissions_of
from api.answers import CREATED, answers
from api.auth import hash_of, new_key
from api.idempotency import PatchbayRoute
from api.models.common import Listed
from api.models.organizations import ApiKey, KeyChange, NewApiKey, NewKey
from api.problems import Problem, found
from api.requests import CallerDep, PageDep, ServicesDep, listed
from runtime.store.row_access import Condition

__all__ = ["router"]

router = APIRouter(tags=["keys"], route_class=PatchbayRoute)

Json = Any
Row = dict[str, Json]

_COLUMNS: Final = (
    "id",
    "organization_id",
    "name",
    "prefix",
    "role",
    "scopes",
    "created_by",
    "created_at",
    "expires_at",
    "revoked_at",
)
_PREFIX_LENGTH: Final = 9


@router.get("/keys", response_model=Listed[ApiKey], responses=answers())
async def list_keys(caller: CallerDep, page: PageDep) -> Json:
    """List the organization's keys, the newest first, revoked ones as well; never the keys themselves."""
    organization = caller.need("organization:write")
    return await listed(
        caller.rows,
        page,
        "api_key",
        columns=_COLUMNS,
        where=[("organization_id", "eq", organization)],
        order=[("created_at", "desc"), ("id", "desc")],
    )


@router.post("/keys", status_code=201, response_model=NewApiKey, responses=CREATED | answers(409, 413))
async def make_key(caller: CallerDep, body: NewKey, response: Response) -> Json:
    """Make a key; `key` of the answer is the only time it is shown. A key makes none that may more than itself."""
    organization = caller.need("organization:write")
    await _refuse_more(caller, organization, body)
    key = new_key()
    row = {
        "organization_id": organization,
        "name": body.name,
        "prefix": key[:_PREFIX_LENGTH],
        "key_hash": hash_of(key),
        "role": body.role,
        "scopes": sorted(set(body.scopes)) if body.scopes is not None else None,
        "expires_at": body.expires_at.isoformat() if body.expires_at is not None else None,
    }
    made = await caller.rows.insert("api_key", row, returning=_COLUMNS)
    response.headers["Location"] = f"/api/keys/{made['id']}"
    return made | {"key": key}


@router.get("/keys/{key_id}", response_model=ApiKey, responses=answers(404))
async def read_key(caller: CallerDep, key_id: UUID) -> Json:
    """Return what is known of a key."""
    return await _key(caller, key_id)


@router.patch("/keys/{key_id}", response_model=ApiKey, responses=answers(404, 409, 413))
async def rename_key(caller: CallerDep, key_id: UUID, body: KeyChange) -> Json:
    """Give a key another name."""
    row = await _key(caller, key_id)
    changed = await caller.rows.update("api_key", [("id", "eq", row["id"])], {"name": body.name}, returning=_COLUMNS)
    return found(changed, "key", row["id"])


@router.delete("/keys/{key_id}", status_code=204, responses=answers(404))
async def revoke_key(caller: CallerDep, services: ServicesDep, key_id: UUID) -> None:
    """Revoke a key: it is refused from now on, and for good. Its row stays, for the record."""
    row = await _key(caller, key_id)
    where: list[Condition] = [("id", "eq", row["id"]), ("revoked_at", "is", None)]
    await caller.rows.update("api_key", where, {"revoked_at": datetime.now(UTC).isoformat()}, returning=["id"])
    services.authenticator.forget(row["id"])


async def _key(caller: Caller, key_id: UUID) -> Row:
    """Return a key of an organization whose owner asks."""
    owned = [each for each in caller.principal.organizations if caller.principal.may("organization:write", each)]
    if not owned:
        caller.need("organization:write")
    where: list[Condition] = [("id", "eq", str(key_id)), ("organization_id", "in", owned)]
    return found(await caller.rows.select("api_key", columns=_COLUMNS, where=where, limit=1), "key", str(key_id))


async def _refuse_more(caller: Caller, organization: str, body: NewKey) -> None:
    """Refuse a moment that has passed, and a key that may more, or longer, than the key that makes it."""
    if body.expires_at is not None and body.expires_at <= datetime.now(UTC):
        raise Problem(422, "invalid_request", "`expires_at` has passed.", remedy="Name a moment to come.")
    if caller.principal.kind != "api_key":
        return
    wanted = permissions_of(body.role) if body.scopes is None else permissions_of(body.role) & frozenset(body.scopes)
    more = sorted(each for each in PERMISSIONS & wanted if not caller.principal.may(each, organization))
    if more:
        raise _too_much(f"It would have permissions that your key has not: {', '.join(more)}.")
    own = await caller.rows.select(
        "api_key", columns=["expires_at"], where=[("id", "eq", caller.principal.id)], limit=1
    )
    ends = own[0]["expires_at"] if own else None
    if ends is not None and (body.expires_at is None or body.expires_at > datetime.fromisoformat(ends)):
        raise _too_much(f"It would outlive your key, which expires at {ends}.")


def _too_much(detail: str) -> Problem:
    return Problem(403, "forbidden", detail, remedy="Ask for less, or make it as a signed-in owner.")
