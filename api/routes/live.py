"""Live events over WebSocket, and the tickets with which browsers open one."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, WebSocket
from starlette.websockets import WebSocketDisconnect

from api.access import Caller, Principal
from api.answers import answers
from api.idempotency import PatchbayRoute
from api.live import Feed, OrganizationFeed, SessionFeed, stream
from api.models.sessions import LiveTicket, Word
from api.open_sockets import OpenSockets
from api.problems import Problem, of_error
from api.requests import CallerDep, ServicesDep, authenticated, services
from api.routes.sessions import readable_session
from api.services import Services
from runtime.errors import PatchbayError
from runtime.store.event_notices import EventNotices
from runtime.store.row_access import SERVICE

__all__ = ["router"]

Json = Any

_TICKET_S = 60
_CLOSE_S = 5.0
_SOCKETS = """
The sockets, `?ticket=` or the `Authorization` header telling who asks:

* `/api/sessions/{session_id}/live?after=SEQ&event_type=…`: the session's events beyond `after`, then those that come, each once
  and in the order of `seq`; closes with 1000 once `call_ended` was sent. After a cut, `after` takes the last `seq` that was seen.
* `/api/live?workflow_id=…&channel=…&tests=false&event_type=…&organization_id=…`: those of every running session, each session's in
  order and from its beginning; a session and its `seq` name an event that was seen already.

Messages are JSON: `{"type": "event", "event": {…}}`, `{"type": "ended"}`, and `{"type": "ping"}` where nothing else came for
20 seconds. A socket that fails is closed with 4000 + the HTTP status, and the problem's code as the reason: 4408 for a reader
that took nothing for 10 seconds, 4429 for one socket too many.
"""

router = APIRouter(tags=["live"], route_class=PatchbayRoute)

EventTypes = Annotated[list[Word] | None, Query(max_length=20)]


@router.post(
    "/live-tickets",
    status_code=201,
    response_model=LiveTicket,
    responses=answers(),
    description=f"Make a ticket for a socket: it stands for you, once, for {_TICKET_S} seconds.\n{_SOCKETS}",
)
async def make_ticket(caller: CallerDep, services: ServicesDep) -> dict[str, Json]:
    caller.need("sessions:read")
    rows = services.access.of(SERVICE)
    now = datetime.now(UTC)
    ticket, expires_at = secrets.token_urlsafe(32), (now + timedelta(seconds=_TICKET_S)).isoformat()
    await rows.delete("live_ticket", [("expires_at", "lt", now.isoformat())], returning=["expires_at"])
    await rows.insert(
        "live_ticket",
        {"ticket_hash": _hash(ticket), "principal": _as_json(caller.principal), "expires_at": expires_at},
        returning=["expires_at"],
    )
    return {"ticket": ticket, "expires_at": expires_at}


@router.websocket("/sessions/{session_id}/live")
async def session_live(
    socket: WebSocket,
    session_id: UUID,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    event_type: EventTypes = None,
) -> None:
    async def feed(caller: Caller) -> Feed:
        await readable_session(caller, str(session_id))
        return SessionFeed(caller, str(session_id), after)

    await _serve(socket, feed, str(session_id), event_type)


@router.websocket("/live")
async def organization_live(
    socket: WebSocket,
    workflow_id: UUID | None = None,
    channel: Word | None = None,
    tests: bool = False,
    event_type: EventTypes = None,
) -> None:
    filters = {
        "workflow_id": None if workflow_id is None else str(workflow_id),
        "channel": channel,
        "include_tests": tests,
    }

    async def feed(caller: Caller) -> Feed:
        return OrganizationFeed(caller, caller.need("sessions:read"), filters)

    await _serve(socket, feed, None, event_type)


async def _serve(
    socket: WebSocket, feed_of: Callable[[Caller], Awaitable[Feed]], session_id: str | None, event_type: EventTypes
) -> None:
    """Accept first: a browser sees why a socket was closed, but not why it was refused."""
    await socket.accept()
    try:
        caller = await _caller(socket)
        with _sockets(socket).held(caller.principal.actor):
            feed = await feed_of(caller)
            async with _notices(socket).watching(session_id) as watch:
                await stream(socket, feed, watch, lambda row: event_type is None or row["event_type"] in event_type)
    except WebSocketDisconnect:
        return
    except Problem as problem:
        await _close(socket, 4000 + problem.status, problem.code)
    except PatchbayError as error:
        await _close(socket, 4000 + of_error(error).status, of_error(error).code)
    else:
        await _close(socket, 1000, "ended")


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(_CLOSE_S):
            await socket.close(code, reason)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        return  # it has gone, or takes nothing at all: the server cuts it off


def _notices(socket: WebSocket) -> EventNotices:
    """Return the process's own, made at the first socket; it lasts as long as the application."""
    state = socket.app.state
    if not hasattr(state, "event_notices"):
        state.event_notices = EventNotices(services(socket).database)
    notices: EventNotices = state.event_notices
    return notices


def _sockets(socket: WebSocket) -> OpenSockets:
    """Return the process's own count."""
    state = socket.app.state
    if not hasattr(state, "open_sockets"):
        state.open_sockets = OpenSockets()
    sockets: OpenSockets = state.open_sockets
    return sockets


async def _caller(socket: WebSocket) -> Caller:
    """Return who opens the socket, by its ticket or by its header. Raises the problems 401 and 422."""
    ticket = socket.query_params.get("ticket")
    if ticket is None:
        principal = await authenticated(socket)
    else:
        principal = socket.state.principal = await _redeemed(services(socket), ticket)
    asked = socket.query_params.get("organization_id") or socket.headers.get("x-organization-id")
    if asked is not None and not re.fullmatch(r"[0-9a-fA-F-]{36}", asked):
        raise Problem(422, "invalid_request", "organization_id is no id.")
    return Caller(principal, socket.state.request_id, services(socket).access, asked.lower() if asked else None)


async def _redeemed(services: Services, ticket: str) -> Principal:
    known = await services.access.of(SERVICE).delete(
        "live_ticket", [("ticket_hash", "eq", _hash(ticket))], returning=["principal", "expires_at"]
    )
    if not known or datetime.fromisoformat(known[0]["expires_at"]) <= datetime.now(UTC):
        raise Problem(
            401,
            "unauthenticated",
            "The ticket is unknown, was used already or has expired.",
            remedy="Ask for another: POST /api/live-tickets.",
        )
    return _principal(known[0]["principal"])


def _hash(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()


def _as_json(principal: Principal) -> dict[str, Json]:
    return {
        "kind": principal.kind,
        "id": principal.id,
        "organizations": dict(principal.organizations),
        "scopes": None if principal.scopes is None else sorted(principal.scopes),
    }


def _principal(stored: Json) -> Principal:
    given = json.loads(stored) if isinstance(stored, str) else stored
    scopes = None if given["scopes"] is None else frozenset(given["scopes"])
    return Principal(given["kind"], given["id"], given["organizations"], scopes)
