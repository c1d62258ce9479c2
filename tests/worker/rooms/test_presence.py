"""Who is the caller of a room, and when they have left for good; on a room that is told what happens."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from livekit import rtc

from tests.worker.rooms.told_room import STANDARD, Somebody, ToldRoom
from worker.legs import Departure
from worker.rooms.presence import Presence, wait_for_caller

SIP = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
LOST = Departure("connection_lost", "dropped")
Reason = rtc.DisconnectReason


async def found(room: ToldRoom, identity: str | None = None, within_s: float = 0.02) -> str | None:
    caller = await wait_for_caller(room.real, identity, within_s)
    return caller.identity if caller is not None else None


async def test_a_telephone_comes_before_a_browser_and_an_agent_is_nobody() -> None:
    people = (Somebody("agent-dead", AGENT), Somebody("web"), Somebody("sip", SIP))
    assert await found(ToldRoom(*people)) == "sip"
    assert await found(ToldRoom(*people[:2])) == "web"
    assert await found(ToldRoom(people[0])) is None


async def test_the_one_the_call_is_with_is_waited_for() -> None:
    room = ToldRoom(Somebody("early"))
    assert await found(room, "anna") is None
    asyncio.get_running_loop().call_soon(room.comes, Somebody("mallory"))
    asyncio.get_running_loop().call_soon(room.comes, Somebody("anna"))
    assert await found(room, "anna", 5) == "anna"


@pytest.mark.parametrize(
    ("kind", "attributes", "reason", "departure"),
    [
        (STANDARD, {}, Reason.CLIENT_INITIATED, Departure()),
        (SIP, {}, Reason.USER_REJECTED, Departure()),
        (SIP, {"sip.callStatus": "hangup"}, Reason.SIGNAL_CLOSE, Departure()),
        (STANDARD, {"sip.callStatus": "hangup"}, Reason.CONNECTION_TIMEOUT, LOST),
        (SIP, {"sip.callStatus": "active"}, Reason.CONNECTION_TIMEOUT, LOST),
        (STANDARD, {}, Reason.PARTICIPANT_REMOVED, LOST),
        (STANDARD, {}, Reason.ROOM_DELETED, LOST),
        (STANDARD, {}, Reason.STATE_MISMATCH, LOST),
        (STANDARD, {}, Reason.UNKNOWN_REASON, LOST),
        (STANDARD, {}, Reason.JOIN_FAILURE, LOST),
    ],
)
async def test_how_a_caller_leaves(kind: int, attributes: dict[str, str], reason: int, departure: Departure) -> None:
    caller = Somebody("anna", kind, attributes)
    room = ToldRoom(caller)
    presence = Presence(room.real, "anna", return_s=0.01, blink_s=0.01)
    room.goes(caller, reason)
    assert await presence.gone() == departure


async def test_others_may_come_and_go() -> None:
    caller, other = Somebody("anna"), Somebody("bob")
    room = ToldRoom(caller, other)
    presence = Presence(room.real, "anna", return_s=0.01, blink_s=0.01)
    room.goes(other, Reason.CLIENT_INITIATED)
    room.emit("participant_attributes_changed", {"sip.callStatus": "hangup"}, Somebody("bob", SIP))
    room.goes(caller, Reason.CLIENT_INITIATED)
    assert await presence.gone() == Departure()


async def test_a_telephone_that_says_it_was_hung_up_is_gone_before_it_leaves() -> None:
    caller = Somebody("anna", SIP)
    presence = Presence(ToldRoom(caller).real, "anna")
    room = cast("ToldRoom", presence._room)
    room.emit("participant_attributes_changed", {"sip.callStatus": "active"}, caller)
    room.emit("participant_attributes_changed", {"sip.callStatus": "hangup"}, caller)
    assert await presence.gone() == Departure()


async def test_one_who_comes_back_was_never_away() -> None:
    caller = Somebody("anna")
    room = ToldRoom(caller)
    presence = Presence(room.real, "anna", return_s=30, blink_s=30)
    for reason in (Reason.CLIENT_INITIATED, Reason.UNKNOWN_REASON, Reason.STATE_MISMATCH, Reason.DUPLICATE_IDENTITY):
        room.goes(caller, reason)
        assert presence._timer is not None
        room.comes(caller)
        assert presence._timer is None
    presence._blink_s = 0.01
    room.goes(caller, Reason.CLIENT_INITIATED)
    assert await presence.gone() == Departure()


async def test_a_room_that_is_lost_takes_the_caller_with_it() -> None:
    presence = Presence(ToldRoom(Somebody("anna")).real, "anna")
    cast("ToldRoom", presence._room).emit("disconnected", Reason.ROOM_DELETED)
    assert await presence.gone() == LOST
    presence.close()
    presence.close()


async def test_one_who_left_between_being_found_and_being_watched_may_come_back() -> None:
    presence = Presence(ToldRoom().real, "anna", return_s=0.01, blink_s=0.01)
    assert await presence.gone() == LOST


async def test_a_goodbye_stands_where_the_empty_room_is_closed_before_it_counts() -> None:
    caller = Somebody("anna")
    room = ToldRoom(caller)
    presence = Presence(room.real, "anna", blink_s=30)
    room.goes(caller, Reason.CLIENT_INITIATED)
    room.emit("disconnected", Reason.ROOM_CLOSED)
    assert await presence.gone() == Departure()
