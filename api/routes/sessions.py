"""Sessions and their events: calls and test calls, as they were and as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from api.access import Caller
from api.answers import answers
from api.idempotency import PatchbayRoute
from api.models.common import Listed, Storable
from api.models.sessions import EVENT_COLUMNS, Event, Session, Word
from api.problems import Problem, found
from api.requests import CallerDep, Page, PageDep, page_of

__all__ = ["no_cursor", "readable_session", "router"]

Json = Any

router = APIRouter(tags=["sessions"], route_class=PatchbayRoute)


@dataclass(frozen=True, slots=True)
class _Filters:
    given: Mapping[str, Json]


def _filters(  # noqa: PLR0913, PLR0917 - one parameter for each filter is what FastAPI reads
    workflow_id: Annotated[UUID | None, Query(description="Sessions on any version of this workflow.")] = None,
    workflow_version_id: Annotated[UUID | None, Query(description="Sessions on this version.")] = None,
    channel: Annotated[Word | None, Query(description="phone, web, voice_test or chat_test.")] = None,
    status: Annotated[
        Literal["active", "completed", "dropped"] | None, Query(description="How the session stands.")
    ] = None,
    from_: Annotated[
        datetime | None, Query(alias="from", description="Started at this time or later; UTC where it names no offset.")
    ] = None,
    to: Annotated[datetime | None, Query(description="Started before this time.")] = None,
    number: Annotated[
        Storable | None, Query(min_length=1, max_length=200, description="The caller's number or the dialled one.")
    ] = None,
    tests: Annotated[bool, Query(description="Tests too; they are left out otherwise.")] = False,
    is_test: Annotated[bool | None, Query(description="true: tests alone; false: none.")] = None,
) -> _Filters:
    return _Filters(
        {
            "workflow_id": _text(workflow_id),
            "workflow_version_id": _text(workflow_version_id),
            "channel": channel,
            "status": status,
            "from_time": _time(from_),
            "to_time": _time(to),
            "number": _number(number),
            "is_test": is_test if is_test is not None or tests else False,
        }
    )


@router.get("/sessions", response_model=Listed[Session], responses=answers())
async def list_sessions(
    caller: CallerDep, page: PageDep, filters: Annotated[_Filters, Depends(_filters)]
) -> dict[str, Json]:
    """List the organization's sessions, newest first; tests are left out unless `tests` or `is_test` asks for them."""
    organization = caller.need("sessions:read")
    started_at, session_id = page.after if page.after is not None and len(page.after) == 2 else _beginning(page)
    rows = await caller.rows.rpc(
        "sessions_page",
        {
            "organization_id": organization,
            "after_started_at": started_at,
            "after_id": session_id,
            "most": page.limit + 1,
            **filters.given,
        },
    )
    return page_of(rows, page, ("started_at", "id"))


@router.get("/sessions/{session_id}", response_model=Session, responses=answers(404))
async def read_session(caller: CallerDep, session_id: UUID) -> dict[str, Json]:
    """Read one session, with what it came to."""
    return await readable_session(caller, str(session_id))


@router.get("/sessions/{session_id}/events", response_model=Listed[Event], responses=answers(404))
async def list_events(
    caller: CallerDep,
    session_id: UUID,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Events beyond this `seq`; `next` fits here.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many items at most.")] = 200,
    event_type: Annotated[list[Word] | None, Query(max_length=20, description="Only events of these types.")] = None,
) -> dict[str, Json]:
    """List a session's events in order, while it runs and afterwards. Sensitive values are `•••`."""
    await readable_session(caller, str(session_id))
    wanted = [("event_type", "in", list(event_type))] if event_type else []
    rows = await caller.rows.select(
        "session_event",
        columns=EVENT_COLUMNS,
        where=[("session_id", "eq", str(session_id)), ("seq", "gt", after), *wanted],  # type: ignore[list-item]
        order=[("seq", "asc")],
        limit=limit + 1,
    )
    items = rows[:limit]
    return {"items": items, "next": str(items[-1]["seq"]) if len(rows) > limit else None}


async def readable_session(caller: Caller, session_id: str) -> dict[str, Json]:
    """Return the session's row; raises the problems 404 and 403."""
    row = found(
        await caller.rows.select("call_session", where=[("id", "eq", session_id)], limit=1), "session", session_id
    )
    caller.need("sessions:read", row["organization_id"])
    return row


def no_cursor() -> Problem:
    """Return the problem of an `after` that is none of this list's."""
    return Problem(
        422,
        "invalid_request",
        "`after` is no cursor of this list.",
        remedy="Send `next` of the page before, as it is.",
    )


def _beginning(page: Page) -> tuple[None, None]:
    if page.after is not None:
        raise no_cursor()
    return None, None


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _time(value: datetime | None) -> str | None:
    if value is None:
        return None
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()


def _number(number: str | None) -> str | None:
    """Return the number; a `+` that was not encoded arrives as a space."""
    return "+" + number[1:] if number is not None and number.startswith(" ") else number
