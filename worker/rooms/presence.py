"""Who in a room is the caller, and whether they are still there."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from livekit import rtc

from worker.legs import Departure

__all__ = ["Presence", "wait_for_caller"]

_log = structlog.get_logger("rooms")

_PEOPLE: Final = (rtc.ParticipantKind.PARTICIPANT_KIND_SIP, rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD)
_GOODBYES: Final = (rtc.DisconnectReason.CLIENT_INITIATED, rtc.DisconnectReason.USER_REJECTED)
# LiveKit has waited for them already, or somebody has sent them out.
_FINAL: Final = (
    rtc.DisconnectReason.CONNECTION_TIMEOUT,
    rtc.DisconnectReason.PARTICIPANT_REMOVED,
    rtc.DisconnectReason.ROOM_DELETED,
    rtc.DisconnectReason.ROOM_CLOSED,
)
LOST: Final = Departure("connection_lost", "dropped")


def _by_sip(participant: rtc.Participant) -> bool:
    return participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_SIP


def _is_caller(participant: rtc.RemoteParticipant, identity: str | None) -> bool:
    """A dead worker's agent stays in its room for 20 seconds: its kind tells it from a person."""
    return participant.kind in _PEOPLE and identity in {None, participant.identity}


async def wait_for_caller(room: rtc.Room, identity: str | None, within_s: float) -> rtc.RemoteParticipant | None:
    """Return the first person in the room, a telephone before a browser, or None where nobody has come in time.

    With an `identity` nobody else will do.
    """
    arrival: asyncio.Future[rtc.RemoteParticipant] = asyncio.get_running_loop().create_future()

    def arrived(participant: rtc.RemoteParticipant) -> None:
        if _is_caller(participant, identity) and not arrival.done():
            arrival.set_result(participant)

    room.on("participant_connected", arrived)
    try:
        for participant in sorted(room.remote_participants.values(), key=_by_sip, reverse=True):
            arrived(participant)
        async with asyncio.timeout(within_s):
            return await arrival
    except TimeoutError:
        return None
    finally:
        room.off("participant_connected", arrived)


class Presence:
    """Watches the caller of a connected room until they have left for good.

    A telephone that was hung up has. One whose connection broke may come back within `return_s` seconds, under the
    same identity, and has then never been away. A browser's goodbye stands after `blink_s` seconds: LiveKit's clients
    also say it when they begin a full reconnection, and are back within half a second.
    """

    def __init__(self, room: rtc.Room, identity: str, *, return_s: float = 20.0, blink_s: float = 1.5) -> None:
        self._room = room
        self.identity = identity
        self._return_s = return_s
        self._blink_s = blink_s
        self._departure: asyncio.Future[Departure] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._going: Departure | None = None
        self._handlers = (
            ("participant_connected", self._connected),
            ("participant_disconnected", self._disconnected),
            ("participant_attributes_changed", self._attributes_changed),
            ("disconnected", self._room_lost),
        )
        for event, handler in self._handlers:
            room.on(event, handler)  # type: ignore[arg-type]
        if identity not in room.remote_participants:  # left between being found and being watched
            self._away(self._return_s, LOST)

    @property
    def here(self) -> rtc.RemoteParticipant | None:
        """The caller as the room knows them now."""
        return self._room.remote_participants.get(self.identity)

    async def gone(self) -> Departure:
        """Wait until the caller has left for good, and say how."""
        return await asyncio.shield(self._departure)

    def left(self, departure: Departure | None = None) -> None:
        """Take the caller for gone, by default as they seemed to go; the first word counts."""
        departure = departure or self._going or LOST
        self._come_back()
        if not self._departure.done():
            _log.debug("caller_gone", room=self._room.name, reason=departure.reason)
            self._departure.set_result(departure)

    def close(self) -> None:
        """Stop watching. Idempotent."""
        for event, handler in self._handlers:
            self._room.off(event, handler)  # type: ignore[arg-type]
        self.left()

    def _connected(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity == self.identity:
            self._come_back()

    def _disconnected(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity != self.identity:
            return
        reason, sip = participant.disconnect_reason, _by_sip(participant)
        if sip and (reason in _GOODBYES or participant.attributes.get("sip.callStatus") == "hangup"):
            self.left(Departure())
        elif reason in _GOODBYES:
            self._away(self._blink_s, Departure())
        elif reason in _FINAL:
            self.left()
        else:
            self._away(self._return_s, LOST)

    def _attributes_changed(self, changed: dict[str, str], participant: rtc.Participant) -> None:
        if participant.identity == self.identity and changed.get("sip.callStatus") == "hangup" and _by_sip(participant):
            self.left(Departure())

    def _room_lost(self, _reason: object = None) -> None:
        """LiveKit's client has given up on the server, or was sent out of the room."""
        self.left()

    def _away(self, seconds: float, going: Departure) -> None:
        if self._timer is None:
            self._going = going  # also where the empty room is closed before they could be back
            self._timer = asyncio.get_running_loop().call_later(seconds, self.left)

    def _come_back(self) -> None:
        self._going = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
