"""Registration, admission, job status and outages, at a real livekit-server with desks that hold their callers."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from livekit.agents import AgentServer
from livekit.protocol.agent import JobStatus, WorkerMessage

from runtime.errors import Unreachable
from runtime.voice.rooms import DispatchMetadata, delete_room, dispatch, join_token
from tests.fakes.livekit_server import LiveKitServer, livekit_server
from tests.fakes.room_caller import RoomCaller, caller_process, sip_attributes, sip_token
from tests.worker.rooms.desk import HoldingDesk
from worker.legs import Departure
from worker.rooms.source import open_rooms

LOST = Departure("connection_lost", "dropped")


def room() -> str:
    return f"room-{uuid.uuid4().hex[:8]}"


@pytest.mark.server
async def test_a_caller_is_brought_to_the_desk_on_the_workers_own_loop(livekit: LiveKitServer) -> None:
    settings, desk, name = livekit.settings(), HoldingDesk(), room()
    threads = threading.active_count()
    metadata = DispatchMetadata(workflow_id="w", variables={"name": "Ada"})
    async with open_rooms(settings, desk) as source:
        assert source.registered
        async with RoomCaller(livekit.url, join_token(settings, name, "anna", metadata=metadata)) as caller:
            await desk.until(lambda: bool(desk.requests))
            assert not [thread for thread in threading.enumerate() if thread.name == "job_thread_runner"]
            assert desk.running == 1
        await desk.until(lambda: desk.running == 0)
        assert not caller.room.isconnected()
    assert not source.registered
    assert desk.departures == [Departure()]
    request = desk.requests[0]
    assert (request.channel, request.workflow_id, request.variables) == ("web", "w", {"name": "Ada"})
    assert threading.active_count() >= threads


@pytest.mark.server
async def test_a_telephone_rings_and_hangs_up(livekit: LiveKitServer) -> None:
    settings, desk, name = livekit.settings(), HoldingDesk(), room()
    token = sip_token(settings, name, attributes=sip_attributes())
    async with open_rooms(settings, desk), RoomCaller(livekit.url, token) as caller:
        await dispatch(settings, name)
        await desk.until(lambda: bool(desk.requests))
        await caller.set_attributes(sip__callStatus="hangup")
        await desk.until(lambda: bool(desk.departures))
        await caller.left.wait()  # the leg is hung up
    request = desk.requests[0]
    assert (request.channel, request.caller, request.dialled) == ("phone", "+15550199", "+15550100")
    assert desk.departures == [Departure()]


@pytest.mark.server
async def test_a_full_worker_leaves_the_job_to_another(livekit: LiveKitServer) -> None:
    settings, full, free = livekit.settings(agent_name="admission"), HoldingDesk(places=0), HoldingDesk()
    full.load = lambda: 0.0  # type: ignore[method-assign]  # asked first, whatever it says then
    async with open_rooms(settings, full), open_rooms(settings, free):
        for number in range(1, 4):
            async with RoomCaller(livekit.url, join_token(settings, room(), "anna")):
                await free.until(lambda number=number: len(free.requests) == number)  # type: ignore[misc]
    assert not full.requests
    assert full.turned_away


@pytest.mark.server
async def test_a_draining_worker_takes_no_new_jobs_and_keeps_its_calls(livekit: LiveKitServer) -> None:
    settings, old, new = livekit.settings(agent_name="draining"), HoldingDesk(), HoldingDesk()
    async with open_rooms(settings, old) as source, RoomCaller(livekit.url, join_token(settings, room(), "anna")):
        await old.until(lambda: bool(old.requests))
        source.drain()
        source.drain()
        async with open_rooms(settings, new):
            for number in range(1, 3):
                async with RoomCaller(livekit.url, join_token(settings, room(), "bob")):
                    await new.until(lambda number=number: len(new.requests) == number)  # type: ignore[misc]
        assert (len(old.requests), old.running, old.departures) == (1, 1, [])


@pytest.mark.server
@pytest.mark.parametrize(("well", "status"), [(True, JobStatus.JS_SUCCESS), (False, JobStatus.JS_FAILED)])
async def test_the_server_is_told_how_a_call_went(
    livekit: LiveKitServer, monkeypatch: pytest.MonkeyPatch, well: bool, status: int
) -> None:
    told: list[int] = []
    send = AgentServer._queue_msg

    async def listen(server: AgentServer, message: WorkerMessage) -> None:
        if message.WhichOneof("message") == "update_job":
            told.append(message.update_job.status)
        await send(server, message)

    monkeypatch.setattr(AgentServer, "_queue_msg", listen)
    settings, desk = livekit.settings(), HoldingDesk(well=well)
    async with open_rooms(settings, desk):
        async with RoomCaller(livekit.url, join_token(settings, room(), "anna")):
            await desk.until(lambda: bool(desk.requests))
        await desk.until(lambda: desk.running == 0)
        await until(lambda: len(told) == 2)
    assert told == [JobStatus.JS_RUNNING, status]


@pytest.mark.server
async def test_a_room_without_a_caller_is_left_again(livekit: LiveKitServer) -> None:
    settings, desk, name = livekit.settings(), HoldingDesk(), room()
    async with open_rooms(settings, desk, caller_within_s=0.2):
        await dispatch(settings, name)
        await desk.until(lambda: desk.taken == 1 and desk.running == 0)
    assert not desk.requests


@pytest.mark.server
async def test_a_caller_who_vanishes_is_dropped(livekit: LiveKitServer) -> None:
    settings, desk = livekit.settings(), HoldingDesk()
    async with open_rooms(settings, desk):
        with caller_process(livekit.url, join_token(settings, room(), "anna")) as caller:
            await desk.until(lambda: bool(desk.requests))
            caller.vanish()
            await desk.until(lambda: bool(desk.departures))  # LiveKit waits for them, some 20 seconds
    assert desk.departures == [LOST]


@pytest.mark.server
async def test_a_room_that_is_deleted_is_no_goodbye(livekit: LiveKitServer) -> None:
    settings, desk, name = livekit.settings(), HoldingDesk(), room()
    async with open_rooms(settings, desk), RoomCaller(livekit.url, join_token(settings, name, "anna")):
        await desk.until(lambda: bool(desk.requests))
        await delete_room(settings, name)
        await delete_room(settings, "nobody-was-ever-here")
        await desk.until(lambda: desk.running == 0)
    assert desk.departures == [LOST]


@pytest.mark.server
async def test_wrong_credentials_and_an_absent_server_are_one_clear_message(
    livekit: LiveKitServer, tmp_path: Path
) -> None:
    with pytest.raises(Unreachable, match="refuses LIVEKIT_API_KEY and LIVEKIT_API_SECRET"):
        async with open_rooms(livekit.settings(secret="wrong-" * 6), HoldingDesk()):
            pass
    with pytest.raises(Unreachable, match=r"does not answer at ws://127\.0\.0\.1"):
        async with open_rooms(LiveKitServer(tmp_path).settings(), HoldingDesk()):
            pass


@pytest.mark.server
async def test_a_server_that_stops_answering_for_five_seconds_costs_no_call(tmp_path: Path) -> None:
    with livekit_server(tmp_path) as server:
        settings, desk = server.settings(), HoldingDesk()
        async with open_rooms(settings, desk) as source, RoomCaller(server.url, join_token(settings, room(), "anna")):
            await desk.until(lambda: bool(desk.requests))
            server.pause()
            await asyncio.sleep(5)  # the outage itself
            server.resume()
            async with RoomCaller(server.url, join_token(settings, room(), "bob")):
                await desk.until(lambda: len(desk.requests) == 2)
            assert source.registered
            assert desk.departures in ([], [Departure()])  # bob's own


@pytest.mark.server
async def test_a_server_that_is_started_anew_is_registered_with_again(tmp_path: Path) -> None:
    with livekit_server(tmp_path) as server:
        settings, desk = server.settings(), HoldingDesk()
        async with open_rooms(settings, desk) as source:
            first = source.worker_id
            server.stop()
            await until(lambda: not source.registered)
            server.start()
            await until(lambda: source.registered)
            assert source.worker_id != first
            async with RoomCaller(server.url, join_token(settings, room(), "anna")):
                await desk.until(lambda: bool(desk.requests))


async def until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    """Poll: nothing tells when a registration is lost."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
