"""A room whose agent has died: who the caller is, which participants are what is left of the agent."""

from __future__ import annotations

from typing import Final

import structlog
from livekit import rtc

from runtime.session.ports import CallRow
from worker.legs import CallRequest, Channel
from worker.rooms.presence import wait_for_caller

__all__ = ["callers_identity", "mark", "predecessors", "request_of_row"]

_log = structlog.get_logger("rooms")

# What an agent says of itself, for whoever takes its call over: a dead one stays in its room for 20 seconds.
_SESSION: Final = "patchbay.session"
_CALLER: Final = "patchbay.caller"
_CHANNELS: Final[dict[str, Channel]] = {"phone": "phone", "web": "web", "voice_test": "voice_test"}


async def mark(room: rtc.Room, session_id: str, caller: str) -> None:
    """Say in the room which call this agent runs, and with whom."""
    try:
        await room.local_participant.set_attributes({_SESSION: session_id, _CALLER: caller})
    except Exception as error:  # noqa: BLE001 - the client raises plain Exceptions; a call goes on without its mark
        _log.info("room_not_marked", room=room.name, why=type(error).__name__)


def predecessors(room: rtc.Room, session_id: str) -> list[str]:
    """Return the identities of the agents that ran this call before."""
    return [each.identity for each in _agents(room, session_id)]


async def callers_identity(room: rtc.Room, row: CallRow, within_s: float) -> str | None:
    """Return who the call is with, or None where nobody is there who could be.

    As the dead agent says, while it is in the room; else a telephone by its call's id, or the first person.
    """
    for agent in _agents(room, row.id):
        return agent.attributes.get(_CALLER) or None
    for each in room.remote_participants.values():
        ids = {each.attributes.get("sip.callIDFull"), each.attributes.get("sip.callID")} - {None}
        if row.external_session_id in ids:
            return each.identity
    caller = await wait_for_caller(room, None, within_s)
    return caller.identity if caller is not None else None


def request_of_row(row: CallRow) -> CallRequest:
    """Return who called whom, as the call's row has it."""
    return CallRequest(
        channel=_CHANNELS.get(row.channel, "web"),
        direction="outbound" if row.direction == "outbound" else "inbound",
        caller=row.from_number,
        dialled=row.to_number,
        workflow_version_id=row.workflow_version_id,
        external_session_id=row.external_session_id,
        room=row.room,
    )


def _agents(room: rtc.Room, session_id: str) -> list[rtc.RemoteParticipant]:
    kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
    people = list(room.remote_participants.values())
    return [each for each in people if each.kind == kind and each.attributes.get(_SESSION) == session_id]
