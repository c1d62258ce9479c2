"""Voice tests: how to join one, and the WebSocket over which it is spoken."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from urllib.parse import urlencode
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, WebSocket
from starlette.datastructures import State
from starlette.websockets import WebSocketDisconnect

from api.answers import answers
from api.idempotency import PatchbayRoute
from api.problems import Problem
from api.requests import CallerDep, ServicesDep
from api.routes.tests import problem_of, version_to_test
from api.services import Services
from api.testing.calls import TestOrder
from api.testing.voice import OUTPUT_RATE, speak_over
from api.testing.voice_bodies import LiveKitVoiceTest, VoiceTest, VoiceTestRequest, WebSocketVoiceTest
from api.testing.voice_tickets import VoiceTickets
from runtime.errors import ProviderMissing
from runtime.harness.phone import RATE
from runtime.harness.wire import RATES, told
from runtime.session.ports import VersionRow
from runtime.voice.rooms import DispatchMetadata, join_token
from tools.calls import runnable

__all__ = ["router"]

router = APIRouter(tags=["tests"], route_class=PatchbayRoute)

_JOIN_WITHIN: Final = timedelta(minutes=10)
_CLOSE_S: Final = 5.0


@router.post(
    "/workflow-versions/{version_id}/test/voice",
    summary="Call a version",
    status_code=201,
    response_model=VoiceTest,
    responses=answers(404, 409),
)
async def start_voice_test(
    version_id: UUID, caller: CallerDep, services: ServicesDep, request: Request, body: VoiceTestRequest | None = None
) -> LiveKitVoiceTest | WebSocketVoiceTest:
    """Make a test call by voice of a version of any status, and say how to join it.

    The call begins when somebody joins; nobody does in time, and it ends as `not_connected`. Needs the permission
    `tests:run`.
    """
    version = await version_to_test(caller, services, version_id)
    wanted = body or VoiceTestRequest.model_validate({})
    if _transport(wanted, services) == "livekit":
        return await _room(services, version, wanted)
    order = TestOrder(
        version,
        version.organization_id,
        "voice_test",
        mocks=wanted.mocks,
        variables=wanted.variables,
        offline=wanted.offline,
        request_id=caller.request_id,
    )
    return await _socket(services, order, request)


@router.websocket("/test-sessions/{test_session_id}/voice", name="speak")
async def speak(socket: WebSocket, test_session_id: str) -> None:
    """Speak a voice test (docs/voice-api.md). Who may, has a ticket; no other token is looked at."""
    try:
        call = _tickets(socket.app.state).redeem(test_session_id, socket.query_params.get("ticket", ""))
        try:
            await speak_over(socket, call, _rate(socket.query_params.get("rate")))
        finally:  # the ticket is used up, so that nobody else will ever speak
            call.end("not_connected", "dropped")
    except Problem as problem:
        await _refuse(socket, problem)


def _transport(wanted: VoiceTestRequest, services: Services) -> Literal["livekit", "websocket"]:
    configured = services.settings.livekit_url is not None
    here_alone = wanted.offline or bool(wanted.mocks)
    if wanted.transport is None:
        return "livekit" if configured and not here_alone else "websocket"
    if wanted.transport == "livekit" and not configured:
        raise Problem(
            422,
            "invalid_request",
            "This server has no LiveKit.",
            remedy="Ask for the transport websocket, or set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.",
        )
    if wanted.transport == "livekit" and here_alone:
        raise Problem(
            422,
            "invalid_request",
            "`mocks` and `offline` do not reach the worker that answers in a LiveKit room.",
            remedy="Ask for the transport websocket, or leave both out.",
        )
    return wanted.transport


async def _room(services: Services, version: VersionRow, wanted: VoiceTestRequest) -> LiveKitVoiceTest:
    await asyncio.to_thread(runnable, version, offline=True)  # what cannot run at all is told here, not by an apology
    test_id, room, identity = str(uuid4()), f"test-{secrets.token_hex(8)}", f"tester-{secrets.token_hex(4)}"
    metadata = DispatchMetadata(workflow_version_id=version.id, test_session_id=test_id, variables=wanted.variables)
    return LiveKitVoiceTest(
        transport="livekit",
        test_session_id=test_id,
        url=services.settings.livekit_url or "",
        token=join_token(services.settings, room, identity, metadata=metadata, keypad=True, ttl=_JOIN_WITHIN),
        room=room,
        identity=identity,
        expires_at=datetime.now(UTC) + _JOIN_WITHIN,
    )


async def _socket(services: Services, order: TestOrder, request: Request) -> WebSocketVoiceTest:
    try:
        call = await services.tests.open(order)
    except ProviderMissing as error:  # its message names the provider, the agent and the missing key; no host
        raise problem_of(error) from error
    ticket, expires_at = _tickets(request.app.state).issue(call)
    scheme = "wss" if request.url.scheme == "https" else "ws"
    path = request.app.url_path_for("speak", test_session_id=call.test_session_id)
    return WebSocketVoiceTest(
        transport="websocket",
        test_session_id=call.test_session_id,
        session_id=call.session_id,
        url=f"{scheme}://{request.url.netloc}{path}?{urlencode({'ticket': ticket})}",
        ticket=ticket,
        sample_rate=RATE,
        input_rates=list(RATES),
        output_rate=OUTPUT_RATE,
        expires_at=expires_at,
    )


def _rate(named: str | None) -> int:
    if named is None:
        return RATE
    if named not in {str(rate) for rate in RATES}:
        raise Problem(422, "invalid_request", f"`rate` is one of {', '.join(map(str, RATES))}.")
    return int(named)


def _tickets(state: State) -> VoiceTickets:
    """Return the process's own, made with the first; the calls that they are for live in this process, too."""
    if not hasattr(state, "voice_tickets"):
        state.voice_tickets = VoiceTickets()
    tickets: VoiceTickets = state.voice_tickets
    return tickets


async def _refuse(socket: WebSocket, problem: Problem) -> None:
    """Accept first: a browser sees why a socket was closed, but not why it was refused."""
    with suppress(TimeoutError, RuntimeError, WebSocketDisconnect):  # it has gone, or takes nothing at all
        async with asyncio.timeout(_CLOSE_S):
            await socket.accept()
            await socket.send_text(
                told("error", code=problem.code, message=f"{problem.detail} {problem.remedy}".strip())
            )
            await socket.close(4000 + problem.status, problem.code)
