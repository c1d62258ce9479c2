"""What LiveKit's SIP service does for a call: ring somebody up, hand somebody over, press keys."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
import structlog
from google.protobuf.duration_pb2 import Duration
from livekit import api, rtc
from livekit.protocol.sip import CreateSIPParticipantRequest, TransferSIPParticipantRequest

from runtime.conversation.events import Reason
from runtime.session.ports import TransferOutcome
from runtime.voice.rooms import Dial
from worker.legs import NotAnswered

__all__ = ["callee_identity", "dial", "send_keys", "transfer"]

_log = structlog.get_logger("rooms")

_KEYS: Final = "0123456789*#ABCD"
_KEY_S: Final = 0.2
_WAIT_S: Final = 0.5
_REASONS: Final[dict[int, Reason]] = {
    486: "busy",
    600: "busy",
    408: "no_answer",
    480: "no_answer",
    487: "no_answer",
    603: "no_answer",
}


def callee_identity(order: Dial) -> str:
    """Return the identity under which the one who is rung up joins the room."""
    return f"sip_{order.to}"


async def dial(livekit: api.LiveKitAPI, order: Dial, room: str) -> None:
    """Ring somebody up and wait until they have answered; raises `NotAnswered`."""
    request = CreateSIPParticipantRequest(
        sip_trunk_id=order.trunk_id,
        sip_call_to=order.to,
        sip_number=order.from_number or "",
        room_name=room,
        participant_identity=callee_identity(order),
        wait_until_answered=True,
        ringing_timeout=Duration(seconds=round(order.ringing_s)),
    )
    try:
        await livekit.sip.create_sip_participant(request, timeout=order.ringing_s + 10)
    except api.ServerError as error:
        raise _not_answered(error) from None
    except TimeoutError:
        raise NotAnswered("no_answer", f"{order.to} did not answer within {order.ringing_s:g} seconds.") from None
    except (aiohttp.ClientError, OSError) as error:
        raise NotAnswered("not_connected", f"LiveKit did not answer: {type(error).__name__}.") from None


def _not_answered(error: api.ServerError) -> NotAnswered:
    status = _sip_status(error)
    if status is not None:
        reason = _REASONS.get(status, "not_connected")
        return NotAnswered(
            reason, f"The call was not taken: SIP {status} {error.metadata.get('sip_status', '')}".strip()
        )
    if error.code == api.ServerErrorCode.DEADLINE_EXCEEDED:
        return NotAnswered("no_answer", "The call was not answered.")
    return NotAnswered("not_connected", f"LiveKit could not place the call: {error.message or error.code}.")


async def transfer(livekit: api.LiveKitAPI, room: str, identity: str, to: str) -> TransferOutcome:
    """Hand the participant over to `to` (E.164, `tel:…` or `sip:…`) and wait for the result."""
    address = to if ":" in to else f"tel:{to}"
    request = TransferSIPParticipantRequest(room_name=room, participant_identity=identity, transfer_to=address)
    try:
        await livekit.sip.transfer_sip_participant(request)
    except api.ServerError as error:
        none_there = 503 if error.status == 503 else None  # no SIP service has answered the server
        return TransferOutcome(ok=False, sip_status=_sip_status(error) or none_there, why=error.message or error.code)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return TransferOutcome(ok=False, why=f"LiveKit did not answer: {type(error).__name__}")
    return TransferOutcome(ok=True, sip_status=200)


def _sip_status(error: api.ServerError) -> int | None:
    text = error.metadata.get("sip_status_code", "")
    return int(text) if text.isdecimal() else None


async def send_keys(room: rtc.Room, keys: str) -> str | None:
    """Press keys towards the others in the room; `w` waits half a second, what is no key is passed over.

    Return why not, where it failed.
    """
    for key in keys.upper():
        if key == "W":
            await asyncio.sleep(_WAIT_S)
        elif key in _KEYS:
            try:
                await room.local_participant.publish_dtmf(code=_KEYS.index(key), digit=key)
            except rtc.participant.PublishDTMFError as error:
                return str(error)
            await asyncio.sleep(_KEY_S)
    return None
