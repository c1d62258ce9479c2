"""What may befall a call in a LiveKit room: a worker that drains or is full, a server that goes away, strangers, no SIP service."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.tasks import spawn
from runtime.voice.rooms import Dial, DispatchMetadata, dispatch, join_token
from tests.fakes.databases import Databases
from tests.fakes.hearing import spoken_s
from tests.fakes.livekit_server import LiveKitServer, livekit_server
from tests.fakes.room_caller import RoomCaller, caller_process, stranger_token
from tests.fakes.working import agent, ends, leads
from tests.fakes.working_rooms import RoomDesk, a_room, working_rooms
from tests.live.test_room_line import agent_of, mischief, refused

pytestmark = pytest.mark.live

CANCEL = "i want to cancel my contract"
TRANSFER = "transfer me please"
LONG = {"silence": {"after_s": 120}}


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    """With SIP's API, and no SIP service behind it."""
    with livekit_server(tmp_path_factory.mktemp("livekit"), redis=True) as server:
        yield server


@pytest.fixture
def name() -> str:
    """An agent's name of the test's own: jobs of another test are none of its workers'."""
    return f"patchbay-{uuid.uuid4().hex[:6]}"


async def test_a_worker_that_drains_finishes_its_call_and_leaves_new_ones_to_others(
    livekit: LiveKitServer, databases: Databases, tmp_path: Path, name: str, warmed: None
) -> None:
    url = await databases.migrated()
    async with working_rooms(livekit, url, tmp_path, PATCHBAY_AGENT_NAME=name) as old:
        await old.publish(agent(paths=[ends(CANCEL)], session=LONG))
        await old.answer_all()
        async with (
            old.browser() as before,
            working_rooms(livekit, url, tmp_path, name="second", PATCHBAY_AGENT_NAME=name) as new,
        ):
            draining = spawn(old.worker.drain(60), name="drain")
            async with new.browser() as after:
                await asyncio.gather(before.answered(), after.answered())
                assert not draining.done()
                await before.say(CANCEL)
                finished = await before.result()
                await draining
                assert old.worker.switchboard.calls == 0
                await new.worker.drain(0.1)
                cut = await after.result()
                await after.caller.left.wait()
                assert after.voice_s() > 0.65 * spoken_s("drained")
            assert len(old.calls) == 1
    assert (finished.row.status, finished.row.end_reason) == ("completed", "agent_hangup")
    assert finished.said == ("Hello.", "Thank you for calling, goodbye.")
    assert (cut.row.status, cut.row.end_reason) == ("completed", "drained")
    assert cut.said[-1].startswith("I'm sorry, I have to end this call now.")


async def test_a_full_worker_leaves_the_job_to_another(
    livekit: LiveKitServer, databases: Databases, tmp_path: Path, name: str, warmed: None
) -> None:
    url = await databases.migrated()
    full = {"PATCHBAY_AGENT_NAME": name, "PATCHBAY_MAX_CALLS": "1"}
    async with (
        working_rooms(livekit, url, tmp_path, **full) as one,
        working_rooms(livekit, url, tmp_path, name="other", **full) as two,
    ):
        await one.publish(agent(session=LONG))
        await asyncio.gather(one.answer_all(), two.answer_all())
        rooms = [a_room(), a_room()]
        async with (
            RoomCaller(livekit.url, join_token(one.settings, rooms[0], "anna")) as first,
            RoomCaller(livekit.url, join_token(one.settings, rooms[1], "anna")) as second,
        ):
            await one.until(lambda: bool(one.calls) and bool(two.calls))
            assert {one.calls[0].row.room, two.calls[0].row.room} == set(rooms)
            await asyncio.gather(first.hears(0.0), second.hears(0.0))
            assert (one.worker.switchboard.calls, two.worker.switchboard.calls) == (1, 1)
            assert not one.worker.switchboard.has_room()
        await asyncio.gather(one.happened(one.calls[0], "call_ended"), two.happened(two.calls[0], "call_ended"))


async def test_a_call_outlives_its_server_and_ends_where_the_caller_does_not_come_back(
    databases: Databases, tmp_path: Path, name: str, warmed: None
) -> None:
    """Both sides reconnect to a server that was started anew, and find each other in a room that it makes again."""
    with livekit_server(tmp_path) as server:
        async with working_rooms(server, await databases.migrated(), tmp_path, PATCHBAY_AGENT_NAME=name) as desk:
            version = await desk.publish(agent(paths=[ends(CANCEL)], session=LONG))
            await desk.answer_all()
            await desk.until(lambda: desk.would_run(version))
            async with desk.browser() as guest:
                await guest.answered()
                server.pause()
                await asyncio.sleep(5)  # the outage itself
                server.resume()
                await _restart(desk)
                await desk.until(lambda: len(guest.caller.tracks) == 2, within_s=30)  # the agent's sound is back
                await guest.say(CANCEL)
                survived = await guest.result()
            room = a_room()
            with caller_process(server.url, join_token(desk.settings, room, "anna")) as process:
                call = await desk.rung(room)
                await desk.happened(call, "agent_turn")
                server.stop()
                process.vanish()
                await desk.happened(call, "call_ended", within_s=40)
            lost = await desk.result(call)
            server.start()
            await desk.until(lambda: desk.worker.why_not_ready is None, within_s=40)
            async with desk.browser() as guest:
                await guest.answered()
                await guest.say(CANCEL)
                anew = await guest.result()
    assert [(each.row.status, each.row.end_reason) for each in (survived, lost, anew)] == [
        ("completed", "agent_hangup"),
        ("dropped", "connection_lost"),
        ("completed", "agent_hangup"),
    ]
    assert len(desk.calls) == 3


async def _restart(desk: RoomDesk) -> None:
    """Kill the server and start it anew; it has forgotten its rooms, and the worker is registered again on return."""
    desk.server.stop()
    await desk.until(lambda: not desk.source.registered)
    desk.server.start()
    await desk.until(lambda: desk.source.registered, within_s=40)


async def test_nobody_in_the_room_has_a_say_in_a_workers_call(
    livekit: LiveKitServer, databases: Databases, tmp_path: Path, name: str, warmed: None
) -> None:
    """A stranger with every grant and the caller's own token try it all; afterwards the caller is served as ever."""
    async with working_rooms(livekit, await databases.migrated(), tmp_path, PATCHBAY_AGENT_NAME=name) as desk:
        await desk.publish(agent(paths=[ends(CANCEL)], session=LONG))
        await desk.answer_all()
        async with desk.browser() as guest:
            await guest.answered()
            async with RoomCaller(livekit.url, stranger_token(desk.settings, guest.room)) as stranger:
                await mischief(stranger, agent_of(stranger))
                await stranger.say("i want to cancel my contract")
                await refused(guest.caller, agent_of(guest.caller))
                assert [event.event_type for event in guest.call.events] == [
                    "call_started",
                    "agent_entered",
                    "agent_turn",
                ]
                await guest.say(CANCEL)
                result = await guest.result()
                await guest.caller.left.wait()
                assert not stranger.left.is_set()  # whoever else is there stays
    assert [turn["text"] for turn in result.payloads("user_turn")] == [CANCEL]
    assert result.row.end_reason == "agent_hangup"
    assert not result.payloads("dtmf_received")
    assert not result.payloads("fault_raised")


async def test_without_a_sip_service_a_transfer_fails_and_a_call_does_not_go_out(
    livekit: LiveKitServer, databases: Databases, tmp_path: Path, name: str, warmed: None
) -> None:
    path = leads("Put through", TRANSFER, transfer_call={"to": "+15550111"})
    async with working_rooms(livekit, await databases.migrated(), tmp_path, PATCHBAY_AGENT_NAME=name) as desk:
        version = await desk.answer(agent(paths=[path, ends(CANCEL)], session=LONG))
        out = a_room()
        dial = Dial(to="+15550111", trunk_id="ST_none", ringing_s=5)
        await dispatch(desk.settings, out, DispatchMetadata(workflow_id=version.workflow_id, dial=dial))
        async with desk.telephone("+15550199") as guest:
            await guest.answered()
            await guest.say(TRANSFER)
            await guest.happened("transfer_failed")
            await guest.answered(2)
            await guest.say(CANCEL)
            stayed = await guest.result()
            await guest.caller.left.wait()
        placed = await desk.result(await desk.rung(out))
    failed = stayed.payloads("transfer_failed")[0]
    assert (failed["to"], failed["sip_status"]) == ("+15550111", 503)
    assert stayed.row.end_reason == "agent_hangup"
    assert (placed.row.direction, placed.row.to_number) == ("outbound", "+15550111")
    assert (placed.row.status, placed.row.end_reason) == ("completed", "not_connected")
    assert not placed.payloads("agent_turn")
