"""Test sessions: a chat with any version of a workflow, turn by turn or as a script, and what is kept of tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.access import Caller
from api.idempotency import PatchbayRoute
from api.problems import Problem, found, of_error, problems
from api.requests import CallerDep, PageDep, ServicesDep, listed
from api.services import Services
from api.testing.bodies import ChatAnswer, ChatRequest, TestSessionBody, TestSessionList
from api.testing.calls import TestCall, TestOrder
from api.testing.chat import play, steps_of
from api.testing.streaming import EVENT_STREAM, EventQueue, stream
from runtime.errors import PatchbayError, ProviderMissing
from runtime.session.ports import VersionRow

__all__ = ["problem_of", "router", "version_to_test"]

Json = Any
router = APIRouter(tags=["tests"], route_class=PatchbayRoute)

_EVERYWHERE = (401, 403, 422, 429, 503)
_STREAMED = {
    "description": "What the request came to. With `Accept: text/event-stream` it comes as it happens: "
    "`session_event` for each stored event, then `result` with this object, or `problem`.",
    "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
}
_COLUMNS = ("id", "organization_id", "workflow_version_id", "session_id", "created_at")


@router.post(
    "/workflow-versions/{version_id}/test/chat",
    summary="Chat with a version",
    response_model=ChatAnswer,
    responses=problems(*_EVERYWHERE, 404, 409, 504) | {200: _STREAMED},
)
async def chat(
    version_id: UUID, body: ChatRequest, caller: CallerDep, services: ServicesDep, request: Request
) -> Response | ChatAnswer:
    """Say something to a version of any status, or play a whole script; the real engine answers.

    Without `test_session_id` a session begins, and the agent's greeting is in the answer. With `messages` the caller
    hangs up after the last answer; with `message` the session stays open until it is ended, left alone for 10 minutes,
    or an hour old. Needs the permission `tests:run`.
    """
    version = await version_to_test(caller, services, version_id)
    steps = steps_of(body)
    call = await _call(body, version, caller, services)
    leave = body.messages is not None
    if not _wants_stream(request):
        return await play(services.tests, call, steps, leave=leave).answer()
    queue = EventQueue()
    played = play(services.tests, call, steps, leave=leave, watch=queue.put)
    return stream(played, queue, caller.request_id, problem_of)


@router.get(
    "/test-sessions",
    summary="List test sessions",
    responses=problems(*_EVERYWHERE, 400),
)
async def list_test_sessions(
    caller: CallerDep,
    page: PageDep,
    workflow_version_id: Annotated[UUID | None, Query(description="Those of this version alone.")] = None,
) -> TestSessionList:
    """Return the organization's test sessions by chat and by voice, newest first, without their transcripts."""
    where: list[Any] = [("organization_id", "eq", caller.need("sessions:read"))]
    if workflow_version_id is not None:
        where.append(("workflow_version_id", "eq", str(workflow_version_id)))
    found_page = await listed(
        caller.rows, page, "test_session", columns=_COLUMNS, where=where, order=[("created_at", "desc"), ("id", "desc")]
    )
    calls = await _calls_of(caller, found_page["items"])
    return TestSessionList(items=[_body(row, calls) for row in found_page["items"]], next=found_page["next"])


@router.get(
    "/test-sessions/{test_session_id}",
    summary="Read a test session",
    responses=problems(*_EVERYWHERE, 404),
)
async def read_test_session(test_session_id: UUID, caller: CallerDep) -> TestSessionBody:
    """Return a test session, with its transcript so far where it still runs."""
    row = await _row(caller, test_session_id)
    caller.need("sessions:read", row["organization_id"])
    return _body(row, await _calls_of(caller, [row]))


@router.delete(
    "/test-sessions/{test_session_id}",
    summary="End a test session",
    status_code=204,
    responses=problems(*_EVERYWHERE, 404, 409),
)
async def end_test_session(test_session_id: UUID, caller: CallerDep, services: ServicesDep) -> None:
    """Hang up. What is stored of the test stays. Needs the permission `tests:run`."""
    row = await _row(caller, test_session_id)
    caller.need("tests:run", row["organization_id"])
    call = services.tests.get(str(test_session_id))
    if call is not None:
        await call.aclose()
        return
    held = (await _calls_of(caller, [row])).get(row["session_id"])
    if held is not None and held["status"] == "active":
        raise _elsewhere()


async def version_to_test(caller: Caller, services: Services, version_id: UUID) -> VersionRow:
    """Return a version that the caller may test. Raises the problems 404 and 403."""
    rows = await caller.rows.select(
        "workflow_version", columns=("id", "organization_id"), where=[("id", "eq", str(version_id))], limit=1
    )
    row = found(rows, "workflow version", str(version_id))
    caller.need("tests:run", row["organization_id"])
    return await services.store.version(row["id"])


def problem_of(error: BaseException) -> Problem:
    """Return the problem that a test's failure is; what is none of ours tells nothing of itself."""
    match error:
        case Problem():
            return error
        case ProviderMissing():
            remedy = 'Let the operator give the server what is missing, or send "offline": true.'
            return Problem(503, "unavailable", error.message, remedy=remedy)
        case PatchbayError():
            return of_error(error)
        case _:
            return Problem(500, "internal_error", "Something went wrong here.")


async def _call(body: ChatRequest, version: VersionRow, caller: Caller, services: Services) -> TestCall:
    if body.test_session_id is not None:
        return await _running(body.test_session_id, version, caller, services)
    order = TestOrder(
        version,
        version.organization_id,
        "chat_test",
        mocks=body.mocks,
        variables=body.variables,
        offline=body.offline,
        request_id=caller.request_id,
    )
    try:
        return await services.tests.open(order)
    except ProviderMissing as error:  # its message names the provider, the agent and the missing key; no host
        raise problem_of(error) from error


async def _running(test_session_id: UUID, version: VersionRow, caller: Caller, services: Services) -> TestCall:
    call = services.tests.get(str(test_session_id))
    if call is None or call.organization_id != version.organization_id:
        row = await _row(caller, test_session_id)
        held = (await _calls_of(caller, [row])).get(row["session_id"])
        if held is not None and held["status"] == "active":
            raise _elsewhere()
        raise Problem(409, "conflict", "The test session has ended.", remedy="Begin one without test_session_id.")
    if call.version.id != version.id or call.order.channel != "chat_test":
        raise Problem(
            422,
            "invalid_request",
            f"The test session is a {call.order.channel} of version {call.version.id}.",
            remedy="Send its turns where it began.",
        )
    if call.ended:
        raise Problem(409, "conflict", "The test session has ended.", remedy="Begin one without test_session_id.")
    return call


async def _row(caller: Caller, test_session_id: UUID) -> dict[str, Json]:
    rows = await caller.rows.select("test_session", where=[("id", "eq", str(test_session_id))], limit=1)
    return found(rows, "test session", str(test_session_id))


async def _calls_of(caller: Caller, rows: Sequence[Mapping[str, Json]]) -> dict[str, dict[str, Json]]:
    """Return the calls of these test sessions by their ids, as the caller may see them."""
    ids = [row["session_id"] for row in rows if row["session_id"] is not None]
    if not ids:
        return {}
    columns = ("id", "channel", "status", "end_reason")
    calls = await caller.rows.select("call_session", columns=columns, where=[("id", "in", ids)])
    return {call["id"]: call for call in calls}


def _body(row: Mapping[str, Json], calls: Mapping[str, Mapping[str, Json]]) -> TestSessionBody:
    call = calls.get(row["session_id"], {})
    state = {key: call.get(key) for key in ("channel", "status", "end_reason")}
    return TestSessionBody.model_validate({"transcript": [], **row, **state})


def _wants_stream(request: Request) -> bool:
    return EVENT_STREAM in request.headers.get("accept", "")


def _elsewhere() -> Problem:
    return Problem(409, "conflict", "The test session runs in another process of the API.", remedy="Ask that one.")
