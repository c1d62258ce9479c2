"""The calls of one process: taken or turned away, counted, and all ended when the worker leaves."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from runtime.conversation.wordings import wording
from runtime.errors import PatchbayError
from runtime.harness.transcript import save_test
from runtime.session.event_log import CallLog
from runtime.session.ports import EventRow, Store
from runtime.tasks import spawn
from runtime.voice.live_call import LiveCall
from worker.answering import run_call
from worker.legs import Leg
from worker.observing.observers import Observers, Subject
from worker.reception import Received, Reception, Taken

__all__ = ["Switchboard"]

LAST_WORDS_S = 15.0
_log = structlog.get_logger("switchboard")


@dataclass(frozen=True, slots=True)
class _Held:
    """A call of this process, from its first record to the storing of its last."""

    leg: Leg
    log: CallLog

    def abandon(self) -> None:
        """Nothing more of the call is written, and its caller is left alone."""
        self.log.abandon()
        self.leg.abandon()


class Switchboard:
    """Takes legs and answers them. All of it belongs to one event loop, but `load`, which any thread may ask."""

    def __init__(self, reception: Reception, store: Store, observers: Observers, *, max_calls: int) -> None:
        self.max_calls = max_calls
        self._reception = reception
        self._store = store
        self._observers = observers
        self._running = 0
        self._of: Counter[str] = Counter()
        self._live: dict[str, LiveCall] = {}
        self._held: dict[str, _Held] = {}
        self._confirm: Callable[[bool], Awaitable[None]] = _certain
        self._draining = False
        self._fewer = asyncio.Event()
        self._watchers: list[Callable[[CallLog], None]] = []
        self._stored: Callable[[], None] = _nothing

    # ------------------------------------------------------------ admission

    @property
    def calls(self) -> int:
        """How many calls there are, those that still ring included."""
        return self._running

    @property
    def draining(self) -> bool:
        """Whether no new call is taken any more."""
        return self._draining

    def has_room(self) -> bool:
        """Whether one more call is taken."""
        return not self._draining and self._running < self.max_calls

    def load(self) -> float:
        """Return how full the process is, from 0 to 1."""
        return min(1.0, self._running / self.max_calls)

    def refused(self) -> None:
        """Count a caller who was turned away."""
        self._observers.metrics.refused("draining" if self._draining else "max_calls")

    def watch(self, watcher: Callable[[CallLog], None]) -> None:
        """Have `watcher` called with the log of every call, before its first event."""
        self._watchers.append(watcher)

    def on_stored(self, stored: Callable[[], None]) -> None:
        """Have `stored` called whenever a call has ended and its row is closed."""
        self._stored = stored

    def on_doubt(self, confirm: Callable[[bool], Awaitable[None]]) -> None:
        """Have `confirm(doubted)` awaited before something is done that only a call's owner may do."""
        self._confirm = confirm

    @property
    def places(self) -> int:
        """How many more calls are taken."""
        return 0 if self._draining else max(0, self.max_calls - self._running)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a call, from the moment it is accepted until it is over."""
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._fewer.set()

    def take(self, leg: Leg) -> None:
        """Answer a leg that a line has brought, or turn it away as busy."""
        if not self.has_room():
            self.refused()
            leg.refuse()
            spawn(leg.aclose(), name="refused leg")
            return
        place = ExitStack()  # taken here and not in the task: of callers who come together the next one must see it
        place.enter_context(self.counted())
        spawn(self._answered(leg, place), name="call")

    async def _answered(self, leg: Leg, place: ExitStack) -> None:
        with place:
            await self.answer(leg)

    # ------------------------------------------------------------ a call

    async def answer(self, leg: Leg) -> bool:
        """Run the whole call, and return whether it went well. Never raises."""
        try:
            received = await self._reception.receive(leg, self._of)
            return await self._run(leg, received)
        except Exception:  # noqa: BLE001 - an edge: one call's fault is not another's
            _log.exception("call_failed")
            return False
        finally:
            await leg.aclose()

    async def resume(self, leg: Leg, taken: Taken) -> bool:
        """Run a call that another worker began to its end; return whether it went well.

        Raises whatever keeps it from going on; nothing that would end it was written then.
        """
        return await self._run(leg, await self._reception.resume(leg, taken, self._of))

    async def _run(self, leg: Leg, received: Received) -> bool:
        log = received.plan.log
        with self._kept(leg, log):
            return await self._answered_to_the_end(leg, received)

    @contextmanager
    def _kept(self, leg: Leg, log: CallLog) -> Iterator[None]:
        self._held[log.row.id] = held = _Held(leg, log)
        try:
            yield
        finally:
            if self._held.get(log.row.id) is held:
                del self._held[log.row.id]

    async def _answered_to_the_end(self, leg: Leg, received: Received) -> bool:
        log, version = received.plan.log, received.version
        subject = Subject(version.workflow_name, version.version) if version else Subject()
        self._observers.observe(log, subject)
        for watcher in self._watchers:
            watcher(log)
        events: list[EventRow] = []
        if leg.request.test_session_id is not None:
            log.subscribe(events.append)
        try:
            return await run_call(leg, received, self._listed)
        except BaseException:
            if received.resumed is not None and not log.closing:
                log.abandon()  # whoever took it over ends it with a `call_ended`
            # Where it could not even be closed in order, its row must not stay open for ever.
            await log.close(replace(log.row, ended_at=datetime.now(UTC), status="dropped", end_reason="error"))
            raise
        finally:
            self._of[received.organization_id] -= received.is_counted
            self._stored()
            if not log.abandoned:
                await self._save_test(leg.request.test_session_id, received, events)

    @contextmanager
    def _listed(self, live: LiveCall) -> Iterator[None]:
        session_id = live.plan.log.row.id
        self._live[session_id] = live
        if live.plan.log.abandoned:  # lost while it was being put together
            live.stop("worker_lost", "dropped")
        try:
            yield
        finally:
            del self._live[session_id]

    async def _save_test(self, test_id: str | None, received: Received, events: list[EventRow]) -> None:
        if test_id is None:
            return
        try:
            await save_test(self._store, received.plan.log.row, events, str(uuid.UUID(test_id)))
        except (PatchbayError, ValueError) as error:
            _log.warning("test_not_saved", reason=str(error))

    # ------------------------------------------------------------ the fleet

    def owned(self) -> list[tuple[str, int]]:
        """Return the calls of this process and their epochs, those included whose end is not stored yet."""
        return [(session_id, held.log.row.epoch) for session_id, held in self._held.items()]

    def drop(self, session_id: str) -> None:
        """Let go of a call that is another worker's: nothing more of it is written, and its caller is left alone."""
        held, live = self._held.get(session_id), self._live.get(session_id)
        if held is None or held.log.abandoned or held.log.closing:
            return
        _log.warning("call_is_anothers", session_id=session_id, epoch=held.log.row.epoch)
        held.abandon()
        if live is not None:
            live.stop("worker_lost", "dropped")

    async def confirm(self, doubted: bool) -> None:
        """Make sure that calls of another worker's were dropped."""
        await self._confirm(doubted)

    # ------------------------------------------------------------ all calls

    def fault(self, component: str, code: str, message: str, recovered_by: str | None = None) -> None:
        """Record in every running call that something went wrong around it."""
        for live in list(self._live.values()):
            if live.call.state.started:
                live.fault(component, code, message, recovered_by)

    def stop_taking(self) -> None:
        """Take no new call from now on."""
        self._draining = True

    async def drain(self, timeout_s: float) -> None:
        """Take no new call, let the running ones finish for `timeout_s`, then say goodbye to those that are left."""
        self.stop_taking()
        if await self._empty(timeout_s):
            return
        _log.info("drain_over", calls=self._running)
        if not await self._goodbyes():
            self.end_all()
            await self._empty(LAST_WORDS_S)

    async def _goodbyes(self) -> bool:
        """Say goodbye to every call, also to one that was ending by itself and is reopened meanwhile."""
        for _ in range(int(LAST_WORDS_S)):
            for live in list(self._live.values()):
                live.goodbye("drained", wording("drained", live.call.view().language))
            if await self._empty(1.0):
                return True
        return False

    def end_all(self) -> None:
        """End every call at once."""
        self.stop_taking()
        for live in list(self._live.values()):
            live.stop("drained", "dropped")

    async def _empty(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while self._running:
                    self._fewer.clear()
                    await self._fewer.wait()
        except TimeoutError:
            return False
        return True


async def _certain(_doubted: bool) -> None:
    """Without a fleet nobody takes a call over."""


def _nothing() -> None:
    """Nobody waits for calls to be stored."""
