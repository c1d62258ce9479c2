"""What routes ask of a request: who sends it, in which organization, and which part of a list."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Header, Query, Request
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from api.access import Caller, Principal
from api.problems import Problem
from api.services import Services
from runtime.store.row_access import Condition, Order, Rows

__all__ = ["CallerDep", "Page", "PageDep", "ServicesDep", "authenticated", "caller", "listed", "page_of", "services"]

Json = Any

_SCHEME = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="An API key (`pb_…`) or the access token of a signed-in Supabase user.",
)


def services(request: HTTPConnection) -> Services:
    """Return what the process's requests share."""
    return cast("Services", request.app.state.services)


async def authenticated(request: HTTPConnection) -> Principal:
    """Return who sends the request, asked once for each. Raises the problem 401."""
    known = getattr(request.state, "principal", None)
    if known is not None:
        return cast("Principal", known)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.casefold() != "bearer" or not token.strip():
        raise Problem(
            401,
            "unauthenticated",
            "The request brings no token.",
            remedy="Send Authorization: Bearer followed by an API key (patchbay key create) or a user's access token.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    principal = await services(request).authenticator.principal(token.strip())
    request.state.principal = principal
    return principal


async def caller(
    request: Request,
    _scheme: Annotated[object, Depends(_SCHEME)],
    x_organization_id: Annotated[
        str | None,
        Header(
            pattern=r"^[0-9a-fA-F-]{36}$",
            description="The organization that the request is about; needed by a user who belongs to several.",
        ),
    ] = None,
) -> Caller:
    """Return who sends the request, with their way to the rows."""
    asked = x_organization_id.lower() if x_organization_id else None
    principal = await authenticated(request)
    return Caller(principal, request.state.request_id, services(request).access, asked)


CallerDep = Annotated[Caller, Depends(caller)]
ServicesDep = Annotated[Services, Depends(services)]


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted: at most `limit` rows beyond the row whose sort columns are `after`."""

    limit: int
    after: Sequence[Json] | None = None


def _page(
    limit: Annotated[int, Query(ge=1, le=500, description="How many items at most.")] = 50,
    after: Annotated[
        str | None, Query(max_length=500, description="`next` of the page before; without it the list's beginning.")
    ] = None,
) -> Page:
    return Page(limit, _decoded(after) if after is not None else None)


PageDep = Annotated[Page, Depends(_page)]


async def listed(
    rows: Rows,
    page: Page,
    table: str,
    *,
    where: Sequence[Condition],
    order: Sequence[Order],
    columns: Sequence[str] = (),
) -> dict[str, Json]:
    """Return a page of a table's rows as `{"items", "next"}`; `order` tells them all apart, in one direction."""
    asked = await rows.select(table, columns=columns, where=where, order=order, after=page.after, limit=page.limit + 1)
    return page_of(asked, page, [column for column, _ in order])


def page_of(rows: Sequence[Mapping[str, Json]], page: Page, columns: Sequence[str]) -> dict[str, Json]:
    """Return `{"items", "next"}` of rows that were asked for with `limit + 1`; `columns` are those they are sorted by."""
    items = list(rows[: page.limit])
    more = len(rows) > page.limit
    return {"items": items, "next": _encoded([items[-1][column] for column in columns]) if more else None}


def _encoded(values: Sequence[Json]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _decoded(cursor: str) -> Sequence[Json]:
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        values = None
    if not isinstance(values, list) or not all(
        isinstance(value, str | int) and not isinstance(value, bool) for value in values
    ):
        raise Problem(
            422,
            "invalid_request",
            "`after` is no cursor of this list.",
            remedy="Send `next` of the page before, as it is.",
        )
    return values
