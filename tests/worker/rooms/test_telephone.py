"""What LiveKit's SIP service answers, as our outcomes; its errors as livekit-api raises them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import api

from runtime.conversation.events import Reason
from runtime.session.ports import TransferOutcome
from runtime.voice.rooms import Dial
from worker.legs import NotAnswered
from worker.rooms import telephone

ORDER = Dial(to="+15550123", trunk_id="ST_1", from_number="+15550100", ringing_s=20)


def livekit(error: BaseException | None, asked: list[Any] | None = None) -> api.LiveKitAPI:
    async def answer(request: Any, **_: Any) -> None:
        if asked is not None:
            asked.append(request)
        if error is not None:
            raise error

    sip = SimpleNamespace(create_sip_participant=answer, transfer_sip_participant=answer)
    return cast("api.LiveKitAPI", SimpleNamespace(sip=sip))


def sip_error(status: int, phrase: str = "") -> api.ServerError:
    metadata = {"sip_status_code": str(status), "sip_status": phrase}
    return api.SipCallError("resource_exhausted", "the call failed", status=429, metadata=metadata)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (sip_error(486, "Busy Here"), "busy"),
        (sip_error(600), "busy"),
        (sip_error(408), "no_answer"),
        (sip_error(480), "no_answer"),
        (sip_error(487), "no_answer"),
        (sip_error(404, "Not Found"), "not_connected"),
        (sip_error(503), "not_connected"),
        (api.ServerError("deadline_exceeded", "", status=408), "no_answer"),
        (api.ServerError("unavailable", "no response from servers", status=503), "not_connected"),
        (TimeoutError(), "no_answer"),
        (OSError("away"), "not_connected"),
    ],
)
async def test_why_a_call_was_not_taken(error: BaseException, reason: Reason) -> None:
    with pytest.raises(NotAnswered) as refused:
        await telephone.dial(livekit(error), ORDER, "call-1")
    assert refused.value.reason == reason


async def test_a_call_goes_out_through_the_trunk_and_is_waited_for() -> None:
    asked: list[Any] = []
    await telephone.dial(livekit(None, asked), ORDER, "call-1")
    request = asked[0]
    assert (request.sip_trunk_id, request.sip_call_to, request.sip_number) == ("ST_1", "+15550123", "+15550100")
    assert (request.room_name, request.participant_identity) == ("call-1", telephone.callee_identity(ORDER))
    assert request.wait_until_answered
    assert request.ringing_timeout.seconds == 20


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, TransferOutcome(ok=True, sip_status=200)),
        (sip_error(486), TransferOutcome(ok=False, sip_status=486, why="the call failed")),
        (
            api.ServerError("unavailable", "no response from servers", status=503),
            TransferOutcome(ok=False, sip_status=503, why="no response from servers"),
        ),
        (
            api.ServerError("not_found", "participant does not exist", status=404),
            TransferOutcome(ok=False, why="participant does not exist"),
        ),
        (TimeoutError(), TransferOutcome(ok=False, why="LiveKit did not answer: TimeoutError")),
    ],
)
async def test_how_a_transfer_ends(error: BaseException | None, outcome: TransferOutcome) -> None:
    assert await telephone.transfer(livekit(error), "call-1", "sip_1", "+15550123") == outcome


async def test_a_number_is_transferred_to_as_tel() -> None:
    asked: list[Any] = []
    for to in ("+15550123", "sip:desk@example.org"):
        await telephone.transfer(livekit(None, asked), "call-1", "sip_1", to)
    assert [request.transfer_to for request in asked] == ["tel:+15550123", "sip:desk@example.org"]
