"""A call survives its worker: killed, or stopped past its lease and woken, and the caller hears one agent go on."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.session.ports import CallRow
from runtime.voice.rooms import join_token
from tests.calls.promises import assert_promises
from tests.calls.runs import CallResult
from tests.fakes.databases import Databases
from tests.fakes.livekit_server import LiveKitServer, livekit_server
from tests.fakes.room_caller import RATE, RoomCaller
from tests.fakes.speech import take
from tests.fakes.working_rooms import a_room, working_rooms
from tests.live.test_room_calls_processes import CANCEL, Crew, crew, eventually

pytestmark = pytest.mark.live

SPOKEN_AGAIN_S = 3.0
"""From `kill -9` to the next word, on one machine."""
ELSEWHERE_S = 8.0
"""The same, where the whole host is gone."""


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    with livekit_server(tmp_path_factory.mktemp("livekit")) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Guest:
    """A caller who was greeted, and their call."""

    workers: Crew
    caller: RoomCaller
    row: CallRow

    @property
    def pid(self) -> int:
        """Return the process that runs the call, as it was begun."""
        assert self.row.worker_id is not None
        return int(self.row.worker_id.rpartition("-")[2])

    async def now(self) -> CallRow:
        return await self.workers.store.call(self.row.id)

    async def events(self, event_type: str) -> int:
        return sum(event.event_type == event_type for event in await self.workers.store.events(self.row.id))

    async def resumed(self, count: int = 1) -> None:
        async def is_resumed() -> bool:
            return await self.events("call_resumed") == count

        await eventually(is_resumed)

    async def result(self) -> CallResult:
        """Wait until the call is over; what is stored of it keeps every promise."""

        async def is_over() -> bool:
            return (await self.now()).ended_at is not None

        await eventually(is_over)
        result = CallResult(tuple(await self.workers.store.events(self.row.id)), await self.now())
        assert_promises(result)
        return result

    async def finish(self) -> CallResult:
        """Say what ends the call."""
        await self.caller.silence(0.7)
        await self.caller.say(take(CANCEL, RATE))
        return await self.result()


@asynccontextmanager
async def greeted(workers: Crew, server: LiveKitServer) -> AsyncIterator[Guest]:
    """Have somebody call who was greeted, and whose events are stored."""
    room = a_room()
    async with RoomCaller(server.url, join_token(workers.settings, room, "anna")) as caller:
        await caller.hears(0.0)
        await caller.silence(0.7)

        async def is_stored() -> bool:
            return await workers.row(room) is not None

        await eventually(is_stored)
        row = await workers.row(room)
        assert row is not None
        yield Guest(workers, caller, row)


def agents(caller: RoomCaller) -> int:
    """Return how many agents are in the caller's room."""
    return sum(each.identity.startswith("agent") for each in caller.room.remote_participants.values())


async def test_a_call_goes_on_when_its_worker_is_killed(
    livekit: LiveKitServer, databases: Databases, tmp_path: Path
) -> None:
    async with crew(livekit, await databases.migrated(), tmp_path) as workers, greeted(workers, livekit) as guest:
        killed_at = guest.caller.now
        os.kill(guest.pid, signal.SIGKILL)
        heard_at = await guest.caller.hears(killed_at)
        await guest.resumed()
        assert agents(guest.caller) == 1
        result = await guest.finish()
    assert heard_at - killed_at < SPOKEN_AGAIN_S
    assert (result.row.status, result.row.end_reason) == ("completed", "agent_hangup")
    assert result.row.worker_id != guest.row.worker_id
    assert len(result.payloads("call_started")) == len(result.payloads("call_resumed")) == 1
    assert result.said.count("Hello.") == 1


async def test_a_worker_that_was_stopped_past_its_lease_finds_its_call_gone_and_says_nothing(
    livekit: LiveKitServer, databases: Databases, tmp_path: Path
) -> None:
    async with crew(livekit, await databases.migrated(), tmp_path) as workers, greeted(workers, livekit) as guest:
        stopped_at = guest.caller.now
        os.kill(guest.pid, signal.SIGSTOP)
        try:
            await guest.caller.hears(stopped_at)
            await guest.resumed()
        finally:
            os.kill(guest.pid, signal.SIGCONT)
        await eventually(lambda: _has_no_calls(workers, str(guest.row.worker_id)))
        assert agents(guest.caller) == 1
        result = await guest.finish()
        late = await workers.store.fetch(
            "select event_type from public.late_event where session_id = $1::text::uuid", result.row.id
        )
    assert (result.row.status, result.row.end_reason) == ("completed", "agent_hangup")
    resumed = next(event.seq for event in result.events if event.event_type == "call_resumed")
    assert {event.epoch for event in result.events if event.seq < resumed} == {1}
    assert {event.epoch for event in result.events if event.seq >= resumed} == {2}
    assert {row["event_type"] for row in late} <= {"fault_raised"}  # that it stood still, before it knew why


async def _has_no_calls(workers: Crew, worker_id: str) -> bool:
    return any(row.id == worker_id and row.state == "ready" and row.calls == 0 for row in await workers.store.workers())


async def test_a_caller_who_left_meanwhile_has_dropped_the_call(
    livekit: LiveKitServer, databases: Databases, tmp_path: Path
) -> None:
    async with crew(livekit, await databases.migrated(), tmp_path) as workers, greeted(workers, livekit) as guest:
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
        children = [row for row in await workers.store.workers() if row.capacity == 1]
        killed_at = guest.caller.now
        for pid in (workers.process.pid, *(int(row.id.rpartition("-")[2]) for row in children)):
            os.kill(pid, signal.SIGKILL)
        heard_at = await guest.caller.hears(killed_at)
        await guest.resumed()
        result = await guest.finish()
    assert heard_at - killed_at < ELSEWHERE_S
    assert (result.row.status, result.row.end_reason) == ("completed", "agent_hangup")
