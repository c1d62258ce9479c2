"""A caller in a LiveKit room: from the job that was dispatched to the hang-up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import structlog
from livekit import api, rtc
from livekit.protocol.room import DeleteRoomRequest, RoomParticipantIdentity

from runtime.errors import PatchbayError
from runtime.session.ports import CallRow, TransferOutcome
from runtime.tasks import spawn
from runtime.voice.live_call import LiveCall
from runtime.voice.rooms import DispatchMetadata
from worker.legs import CallRequest, Departure
from worker.rooms import telephone
from worker.rooms.ffi import narrow_room
from worker.rooms.presence import Presence, wait_for_caller
from worker.rooms.rejoining import callers_identity, mark, predecessors, request_of_row
from worker.rooms.request import read_metadata, request_of
from worker.rooms.sound import RoomSound, open_sound

__all__ = ["CALLER_WITHIN_S", "Confirm", "Nobody", "RoomJob", "RoomLeg"]

_log = structlog.get_logger("rooms")

Confirm = Callable[[bool], Awaitable[None]]
"""Makes sure that calls of another worker's were abandoned (`Leg.abandon`); `True` where there is reason to doubt."""

CALLER_WITHIN_S: Final = 30.0
_BACK_WITHIN_S: Final = 2.0
_REFUSALS: Final = (api.ServerError, aiohttp.ClientError, TimeoutError, OSError)
_SENT_OUT: Final = (rtc.DisconnectReason.PARTICIPANT_REMOVED, rtc.DisconnectReason.DUPLICATE_IDENTITY)
_CLOSE_S: Final = 5.0
_BLINK_S: Final = 2.0


class Nobody(PatchbayError):
    """A job was dispatched into a room that cannot be joined, or where no caller appeared."""


@dataclass(frozen=True, slots=True)
class RoomJob:
    """A dispatched job: the server to join, the agent's own token, and what the dispatch said (JSON or empty)."""

    url: str
    token: str
    room: str
    metadata: str = ""


async def _certain(_doubted: bool) -> None:
    """Without a fleet nobody takes a call over."""


class RoomLeg:
    """Implements `worker.legs.Leg` on a room that is connected on the running event loop."""

    def __init__(
        self, room: rtc.Room, livekit: api.LiveKitAPI, metadata: DispatchMetadata, confirm: Confirm = _certain
    ) -> None:
        self._room = room
        self._livekit = livekit
        self._metadata = metadata
        self._presence: Presence | None = None
        self._request = request_of(metadata, room=room.name)
        self._live: LiveCall | None = None
        self._sound: RoomSound | None = None
        self._closed = False
        self._confirm = confirm
        self._abandoned = False
        self._sent_out = False
        self._reconnected_at = -math.inf  # or began to
        room.on("reconnecting", self._reconnecting)
        room.on("reconnected", self._reconnecting)
        room.on("disconnected", self._disconnected)

    @classmethod
    async def open(
        cls,
        job: RoomJob,
        livekit: api.LiveKitAPI,
        *,
        caller_within_s: float = CALLER_WITHIN_S,
        confirm: Confirm = _certain,
    ) -> RoomLeg:
        """Join the job's room and find its caller (a call that goes out has none yet); raises `Nobody`."""
        metadata = read_metadata(job.metadata, room=job.room)
        room = await _joined(job)
        leg = cls(room, livekit, metadata, confirm)
        try:
            if metadata.dial is None:
                await leg._meet(metadata.participant, caller_within_s)
        except BaseException:
            await leg.aclose()
            raise
        return leg

    @classmethod
    async def rejoin(cls, job: RoomJob, livekit: api.LiveKitAPI, row: CallRow, confirm: Confirm) -> RoomLeg:
        """Join the room of a call that another worker ran; raises `Nobody`. A caller who left meanwhile is soon `gone`.

        That worker is sent out: dead, it would stay a participant for 20 s; alive after all, two would be heard.
        """
        room = await _joined(job)
        leg = cls(room, livekit, DispatchMetadata(), confirm)
        try:
            identity = await callers_identity(room, row, _BACK_WITHIN_S)
            for each in predecessors(room, row.id):
                await leg._remove(each)
        except BaseException:
            leg.abandon()
            await leg.aclose()
            raise
        leg._request = request_of_row(row)
        if identity is not None:
            leg._presence = Presence(room, identity, return_s=_BACK_WITHIN_S)
        return leg

    @property
    def alone(self) -> bool:
        """Whether there is nobody to talk with, and never was."""
        return self._presence is None

    async def _meet(self, identity: str | None, within_s: float) -> None:
        caller = await wait_for_caller(self._room, identity, within_s)
        if caller is None:
            raise Nobody(f"No caller came into room '{self._room.name}' within {within_s:g} seconds.")
        sip = caller.kind == rtc.ParticipantKind.PARTICIPANT_KIND_SIP
        self._request = request_of(self._metadata, room=self._room.name, attributes=caller.attributes, sip=sip)
        self._presence = Presence(self._room, caller.identity)

    # ------------------------------------------------------------ the Leg port

    @property
    def request(self) -> CallRequest:
        """Who calls whom."""
        return self._request

    async def answer(self) -> None:
        """Ring the other side up where the call goes out; raises `NotAnswered`.

        A caller who came in is answered by `connect`: LiveKit SIP picks up when the agent's track is there.
        """
        if (order := self._metadata.dial) is None or self._presence is not None:
            return
        await telephone.dial(self._livekit, order, self._room.name)
        await self._meet(telephone.callee_identity(order), _CLOSE_S)

    def refuse(self) -> None:
        """Turn the caller away: they are sent out of the room, which a telephone hears as busy."""
        spawn(self.aclose(), name="room-refuse")

    async def connect(self, live: LiveCall) -> None:
        """Give the session the caller's microphone and a track of its own, and the call the caller's keys."""
        assert self._presence is not None, "answer before you connect"
        identity = self._presence.identity
        self._live = live
        self._room.on("sip_dtmf_received", self._key_pressed)
        self._sound = open_sound(live, self._room, identity, states=self._request.channel != "phone")
        spawn(mark(self._room, live.plan.log.row.id, identity), name="room-mark")

    async def gone(self) -> Departure:
        """Wait until the caller has left for good (one whose connection broke may come back), and say how."""
        assert self._presence is not None, "answer before you wait"
        departure = await self._presence.gone()
        await self._confirm(self._sent_out)  # who was sent out of the room, or slept, may have been taken for dead
        return departure

    def lost(self) -> None:
        """Take the caller for gone: whoever is still in the room is none of ours any more."""
        if self._presence is not None:
            self._presence.left()

    def terminated(self) -> None:
        """The server takes the job back, which it also does, by mistake, when the agent begins a full reconnection."""
        asyncio.get_running_loop().call_later(_BLINK_S, self._lost_unless_reconnected)

    def _lost_unless_reconnected(self) -> None:
        if asyncio.get_running_loop().time() - self._reconnected_at > 2 * _BLINK_S:
            self.lost()

    def _reconnecting(self) -> None:
        self._reconnected_at = asyncio.get_running_loop().time()

    async def transfer(self, to: str) -> TransferOutcome:
        """Hand the caller over by SIP REFER; a browser cannot be handed over."""
        if self._presence is None or self._request.channel == "web":
            return TransferOutcome(ok=False, why="only a telephone can be transferred")
        return await telephone.transfer(self._livekit, self._room.name, self._presence.identity, to)

    async def send_keys(self, keys: str) -> str | None:
        """Press keys towards the caller; return why not, where it failed."""
        if not self._room.isconnected():
            return "the room is not connected"
        return await telephone.send_keys(self._room, keys)

    def abandon(self) -> None:
        """Leave the caller alone when this closes: the call is another worker's."""
        self._abandoned = True

    @property
    def closed(self) -> bool:
        """Whether we have left the room, or are about to."""
        return self._closed

    async def aclose(self) -> None:
        """Leave, and send the caller out, which hangs a telephone up, unless they are another worker's. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._room.off("sip_dtmf_received", self._key_pressed)
        if self._sound is not None:
            self._sound.ears.stop()
        if (presence := self._presence) is not None:
            presence.close()
        company = self._company()
        await _bounded(self._room.disconnect())
        if presence is not None and not self._abandoned:
            await self._confirm(self._sent_out)
            if not self._abandoned:
                await self._send_out(presence.identity, company)
        await _bounded(self._fall_silent())

    # ------------------------------------------------------------ the inside

    def _disconnected(self, reason: object = None) -> None:
        self._sent_out = reason in _SENT_OUT

    def _key_pressed(self, pressed: rtc.SipDTMF) -> None:
        """Anybody in a room may send keys: those of others than the caller are nobody's business."""
        who = pressed.participant
        if self._live is None or self._presence is None or who is None:
            return
        if who.identity == self._presence.identity and not self._live.call.state.ended:
            self._live.press(pressed.digit)

    def _company(self) -> tuple[str, ...]:
        """Return who else is in the room: a supervisor, another caller."""
        own = self._presence.identity if self._presence is not None else ""
        people = self._room.remote_participants.values() if self._room.isconnected() else ()
        agents = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        return tuple(each.identity for each in people if each.identity != own and each.kind != agents)

    async def _send_out(self, identity: str, company: tuple[str, ...]) -> None:
        """Delete the room, so that the next call of its name gets an agent; where there is company, only the caller."""
        name = self._room.name
        try:
            if company:
                await self._livekit.room.remove_participant(RoomParticipantIdentity(room=name, identity=identity))
            else:
                await self._livekit.room.delete_room(DeleteRoomRequest(room=name))
        except _REFUSALS as error:
            if not (isinstance(error, api.ServerError) and error.status == 404):  # gone already
                _log.warning("caller_not_sent_out", room=name, why=type(error).__name__)

    async def _remove(self, identity: str) -> None:
        try:
            order = RoomParticipantIdentity(room=self._room.name, identity=identity)
            await self._livekit.room.remove_participant(order)
        except _REFUSALS as error:
            _log.info("predecessor_not_removed", room=self._room.name, why=type(error).__name__)

    async def _fall_silent(self) -> None:
        if self._live is not None:  # what still speaks needs its mouth until it has stopped
            await self._live.session.aclose()
        if self._sound is not None:
            await self._sound.aclose()


async def _joined(job: RoomJob) -> rtc.Room:
    room = rtc.Room()
    try:
        await room.connect(job.url, job.token)
    except rtc.ConnectError as error:
        raise Nobody(f"Room '{job.room}' cannot be joined: {error.message}") from None
    narrow_room(room)
    return room


async def _bounded(closing: Coroutine[Any, Any, None]) -> None:
    """A part that does not close is left behind: the next one is to be closed, too."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_S):
            await closing
