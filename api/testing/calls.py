"""One test call of this process: what is ordered, what is open, and who uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from api.problems import Problem
from runtime.conversation.events import Reason, Status
from runtime.session.call_session import SystemClock
from runtime.session.ports import EventRow, VersionRow
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.live_call import LiveCall
from runtime.workflow.graph import Workflow
from tools.calls import OpenTest, TestChannel

__all__ = ["TestCall", "TestOrder"]

Json = Any
_LAST_TURN_S = 5.0


@dataclass(frozen=True, slots=True)
class TestOrder:
    """A test that is wanted. `mocks` is the content of a mock file, `variables` are values given from outside.

    `offline` puts the local providers in place of the workflow's; `caller_number` is E.164.
    """

    __test__ = False  # not a test class, whatever its name

    version: VersionRow
    organization_id: str
    channel: TestChannel
    mocks: Mapping[str, Json] = field(default_factory=dict)
    variables: Mapping[str, Json] = field(default_factory=dict)
    offline: bool = False
    request_id: str | None = None
    caller_number: str | None = None


class TestCall:
    """A test call that runs: `live` is begun and spoken to by whoever opened it, one at a time (`in_use`).

    It ends `idle_s` seconds after its last use and `life_s` after its opening, whichever comes first, and by itself.
    `closed` is set once its rows are stored; `events` are those so far, and grow with the call.
    """

    __test__ = False  # not a test class, whatever its name

    def __init__(self, order: TestOrder, test_session_id: str, test: OpenTest, idle_s: float, life_s: float) -> None:
        self.order = order
        self.test_session_id = test_session_id
        self.live: LiveCall = test.live
        self.clock: SystemClock = test.clock
        self.workflow: Workflow = test.ordered.workflow
        self.events: list[EventRow] = test.events
        self.closed = asyncio.Event()
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._leaving = asyncio.Event()
        self._unused = asyncio.Event()
        self._unused.set()
        self._watchers: list[Callable[[EventRow], None]] = []
        self._idle = self._loop.call_later(idle_s, self.end, "inactivity")
        self._life = self._loop.call_later(life_s, self.end, "max_duration")
        test.live.plan.log.subscribe(self._tell)

    @property
    def session_id(self) -> str:
        return self.live.plan.log.row.id

    @property
    def organization_id(self) -> str:
        return self.order.organization_id

    @property
    def version(self) -> VersionRow:
        return self.order.version

    @property
    def ended(self) -> bool:
        """Whether the call is over, or is being ended."""
        return self.live.call.state.ended or self._leaving.is_set()

    def subscribe(self, watch: Callable[[EventRow], None]) -> Callable[[], None]:
        """Have `watch` called with every event from now on, once it is in the local log; returns what stops it."""
        self._watchers.append(watch)

        def unsubscribe() -> None:
            if watch in self._watchers:
                self._watchers.remove(watch)

        return unsubscribe

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the call from being ended as left alone. Raises the problem 409 where another uses it already."""
        if not self._unused.is_set():
            raise Problem(
                409,
                "already_running",
                "Another request to this test session still runs.",
                remedy="Wait for its answer.",
            )
        self._idle.cancel()
        self._unused.clear()
        try:
            yield
        finally:
            self._unused.set()
            if not self.ended:
                self._idle = self._loop.call_later(self._idle_s, self.end, "inactivity")

    def end(self, reason: Reason, status: Status = "completed") -> None:
        """End the call at once, whatever it is doing. Idempotent."""
        self._idle.cancel()
        self._life.cancel()
        if not self.live.call.state.ended:
            self.live.stop(reason, status)
        self._leaving.set()

    async def aclose(self, reason: Reason = "caller_hangup") -> None:
        """End the call where it runs, and wait until all of it is stored. Idempotent."""
        self.end(reason)
        await self.closed.wait()

    async def over(self) -> None:
        """Wait until the call has ended, and nobody uses it any more."""
        ended = spawn(self.live.call.ended(), name="end of the test call")
        leaving = spawn(self._leaving.wait(), name="end of the test")
        try:
            await asyncio.wait({ended, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(ended, leaving)
            self.end("error", "dropped")
        try:
            async with asyncio.timeout(_LAST_TURN_S):
                await self._unused.wait()
        except TimeoutError:
            pass

    def _tell(self, event: EventRow) -> None:
        for watch in list(self._watchers):
            watch(event)
