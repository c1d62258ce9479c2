"""A caller of a crew, who was greeted, and what is stored of their call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from runtime.session.ports import CallRow
from runtime.voice.rooms import join_token
from tests.calls.promises import assert_promises
from tests.calls.runs import CallResult
from tests.fakes.crew import CANCEL, Crew, eventually, pid_of
from tests.fakes.livekit_server import LiveKitServer
from tests.fakes.room_caller import RATE, RoomCaller
from tests.fakes.speech import take
from tests.fakes.working_rooms import a_room

__all__ = ["Guest", "greeted"]


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
        return pid_of(self.row.worker_id)

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
async def greeted(workers: Crew, server: LiveKitServer, *, ahead_ms: int = 100) -> AsyncIterator[Guest]:
    """Have somebody call who was greeted, and whose events are stored; `ahead_ms` as `RoomCaller` has it."""
    room = a_room()
    async with RoomCaller(server.url, join_token(workers.settings, room, "anna"), ahead_ms=ahead_ms) as caller:
        await caller.hears(0.0)
        await caller.silence(0.7)

        async def is_stored() -> bool:
            return await workers.row(room) is not None

        await eventually(is_stored)
        row = await workers.row(room)
        assert row is not None
        yield Guest(workers, caller, row)
