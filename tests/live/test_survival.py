"""A call survives its worker: killed, or stopped past its lease and woken, and the caller hears one agent go on."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes.crew import Crew, crew, eventually
from tests.fakes.crew_guests import Guest, greeted
from tests.fakes.databases import Databases
from tests.fakes.livekit_server import LiveKitServer, livekit_server
from tests.fakes.room_caller import RoomCaller
from tests.fakes.working_rooms import working_rooms
from tests.worker.waiting import until

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

SPOKEN_AGAIN_S = 3.0
"""From `kill -9` to the next word, on one machine."""
ELSEWHERE_S = 8.0
"""The same, where the whole host is gone."""


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    with livekit_server(tmp_path_factory.mktemp("livekit")) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    livekit: LiveKitServer, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Crew]:
    """Two processes for all tests: to start them takes longer than most of what is tested."""
    async with crew(livekit, await databases.migrated(), tmp_path_factory.mktemp("crew")) as workers:
        yield workers


@pytest_asyncio.fixture(loop_scope="module")
async def guest(livekit: LiveKitServer, shared: Crew) -> AsyncIterator[Guest]:
    """A caller of two processes that are ready, whatever befell them before."""
    await eventually(shared.all_ready)
    async with greeted(shared, livekit) as caller:
        yield caller


def agents(caller: RoomCaller) -> int:
    """Return how many agents are in the caller's room."""
    return sum(each.identity.startswith("agent") for each in caller.room.remote_participants.values())


async def test_a_call_goes_on_when_its_worker_is_killed(guest: Guest) -> None:
    killed_at = guest.caller.now
    os.kill(guest.pid, signal.SIGKILL)
    heard_at = await guest.caller.hears(killed_at)
    await guest.resumed()
    await until(lambda: agents(guest.caller) == 1)
    result = await guest.finish()
    assert heard_at - killed_at < SPOKEN_AGAIN_S
    assert (result.row.status, result.row.end_reason) == ("completed", "agent_hangup")
    assert result.row.worker_id != guest.row.worker_id
    assert len(result.payloads("call_started")) == len(result.payloads("call_resumed")) == 1
    assert result.said.count("Hello.") == 1


async def test_a_worker_that_was_stopped_past_its_lease_finds_its_call_gone_and_says_nothing(guest: Guest) -> None:
    stopped_at = guest.caller.now
    os.kill(guest.pid, signal.SIGSTOP)
    try:
        await guest.caller.hears(stopped_at)
        await guest.resumed()
    finally:
        os.kill(guest.pid, signal.SIGCONT)
    await eventually(lambda: _has_no_calls(guest))
    await until(lambda: agents(guest.caller) == 1)
    result = await guest.finish()
    late = await guest.workers.store.fetch(
        "select event_type from public.late_event where session_id = $1::text::uuid", result.row.id
    )
    assert (result.row.status, result.row.end_reason) == ("completed", "agent_hangup")
    resumed = next(event.seq for event in result.events if event.event_type == "call_resumed")
    assert {event.epoch for event in result.events if event.seq < resumed} == {1}
    assert {event.epoch for event in result.events if event.seq >= resumed} == {2}
    assert {row["event_type"] for row in late} <= {"fault_raised"}  # that it stood still, before it knew why


async def _has_no_calls(guest: Guest) -> bool:
    """Whether the worker that had the call knows that it has none."""
    workers = await guest.workers.store.workers()
    return any(row.id == guest.row.worker_id and row.state == "ready" and row.calls == 0 for row in workers)


async def test_a_caller_who_left_meanwhile_has_dropped_the_call(guest: Guest) -> None:
    os.kill(guest.pid, signal.SIGSTOP)  # and then: whoever ends with a goodbye is heard to go
    await guest.caller.leave()
    os.kill(guest.pid, signal.SIGKILL)
    result = await guest.result()
    assert (result.row.status, result.row.end_reason) == ("dropped", "connection_lost")


async def test_a_call_goes_on_elsewhere_when_the_whole_host_is_gone(
    livekit: LiveKitServer, databases: Databases, tmp_path: Path, warmed: None
) -> None:
    url = await databases.migrated()
    async with (
        working_rooms(livekit, url, tmp_path, name="elsewhere", PATCHBAY_AGENT_NAME="elsewhere"),
        crew(livekit, url, tmp_path) as workers,
        greeted(workers, livekit) as guest,
    ):
        children = workers.pids()
        killed_at = guest.caller.now
        for pid in (workers.process.pid, *children):
            os.kill(pid, signal.SIGKILL)
        heard_at = await guest.caller.hears(killed_at)
        await guest.resumed()
        result = await guest.finish()
    assert heard_at - killed_at < ELSEWHERE_S
    assert (result.row.status, result.row.end_reason) == ("completed", "agent_hangup")
