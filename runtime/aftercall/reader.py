"""Reads calls that have ended: has them analysed, makes their webhooks' deliveries, and sends these until they arrive."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from runtime.aftercall.ports import Analyst, Delivery, EndedCall, LoadVersion, Sender, Sent
from runtime.aftercall.schedule import ATTEMPTS, after_attempt, after_fault
from runtime.errors import PatchbayError, StoreUnreachable
from runtime.session.analysis import stored_analysis
from runtime.session.outbox_ports import AfterCallRow, DeliveryRow
from runtime.session.ports import Clock, Store
from runtime.tasks import cancel_and_wait, spawn

__all__ = ["AfterCallReader"]

_AT_ONCE = 4
# A receiver that hangs must not take every place, nor must analyses: the calls of others are told of as well.
_AT_ONCE_OF_ONE = 3
_PREPARING = ""
_IDLE_S, _LONGEST_IDLE_S = 1.0, 5.0
_ENDING_S = 5.0
# What is done under a lease ends before it.
_ANALYSIS_S, _ANALYSIS_LEASE = 120.0, timedelta(seconds=180)
_SENDING_S, _SENDING_LEASE = 60.0, timedelta(seconds=90)
_DEADLY = "Each process that took it up ended before it was done."

_log = structlog.get_logger("after_call")


class AfterCallReader:
    """Does what is to be done after calls; any number of readers, in any number of processes, share the work.

    Every delivery is made at least once, with an id that stays. `load` returns a version's workflow and its name.
    Without an `analyst` calls are not analysed here. Belongs to one event loop.
    """

    def __init__(self, store: Store, load: LoadVersion, sender: Sender, analyst: Analyst | None, clock: Clock) -> None:
        self._store = store
        self._load = load
        self._sender = sender
        self._analyst = analyst
        self._clock = clock
        self._nudged = asyncio.Event()
        # What each task works on: an organization's webhook, or a call that is made ready.
        self._working: dict[asyncio.Task[None], str] = {}
        self._is_away = False

    def nudge(self) -> None:
        """Look at once: a call has ended."""
        self._nudged.set()

    async def run(self) -> None:
        """Work until this is cancelled; then what is being sent gets 5 s, and the rest is for the next reader.

        While the store is away nothing is done and nothing is lost.
        """
        pause = _IDLE_S
        try:
            while True:
                self._nudged.clear()
                if await self._begin_or_rest():
                    pause = _IDLE_S
                    continue
                await self._idle(pause)
                pause = min(pause * 2, _LONGEST_IDLE_S)
        finally:
            await self._end()

    async def run_due(self) -> None:
        """Do what is due now, and what falls due while that is done. Raises `StoreUnreachable`."""
        while True:
            if await self._begin():
                continue
            if not self._working:
                return
            await asyncio.wait(tuple(self._working), return_when=asyncio.FIRST_COMPLETED)

    async def run_session(self, session_id: str, timeout_s: float) -> list[DeliveryRow]:
        """Do what is to be done after one call, each webhook once, and return how its deliveries stand.

        What takes longer than `timeout_s`, or was taken up by another process, is left as it is. Raises
        `StoreUnreachable` and `NotFound`.
        """
        row = await self._store.call(session_id)
        try:
            async with asyncio.timeout(timeout_s):
                now = self._clock.wall()
                held = await self._store.claim_after_call(now, now + _ANALYSIS_LEASE, session_id=session_id)
                if held is not None:
                    await self._prepare(held)
                made = await self._store.deliveries(row.organization_id, status="pending", session_id=session_id)
                await self._send_each([each.id for each in made if each.attempts == 0])
        except TimeoutError:
            _log.info("after_call_not_waited_for", session_id=session_id)
        return await self._store.deliveries(row.organization_id, session_id=session_id)

    async def replay(self, delivery_ids: Sequence[str]) -> list[DeliveryRow]:
        """Send these once more, whatever became of them, and return how they stand. Raises `NotFound`, `StoreUnreachable`."""
        for delivery_id in delivery_ids:
            await self._store.revive_delivery(delivery_id, self._clock.wall())
        await self._send_each(delivery_ids)
        return [await self._store.delivery(each) for each in delivery_ids]

    # ---------------------------------------------------------------- places

    async def _begin_or_rest(self) -> bool:
        try:
            begun = await self._begin()
        except PatchbayError as error:
            if not self._is_away:
                _log.warning("after_call_store_away", reason=error.message)
            self._is_away = True
            return False
        self._is_away = False
        return begun

    async def _begin(self) -> bool:
        """Take one thing up where there is a place for it; tell whether there was something."""
        if len(self._working) >= _AT_ONCE:
            return False
        taken = Counter(self._working.values())
        return (taken[_PREPARING] < _AT_ONCE_OF_ONE and await self._begin_call()) or await self._begin_delivery(
            [each for each, places in taken.items() if places >= _AT_ONCE_OF_ONE and each != _PREPARING]
        )

    async def _begin_call(self) -> bool:
        now = self._clock.wall()
        call = await self._store.claim_after_call(now, now + _ANALYSIS_LEASE)
        if call is not None:
            self._take_up(self._prepare(call), _PREPARING)
        return call is not None

    async def _begin_delivery(self, busy: Sequence[str]) -> bool:
        now = self._clock.wall()
        delivery = await self._store.claim_delivery(now, now + _SENDING_LEASE, busy=busy)
        if delivery is not None:
            self._take_up(self._send(delivery), delivery.organization_id)
        return delivery is not None

    def _take_up(self, work: Coroutine[None, None, None], place: str) -> None:
        task = spawn(work, name="after-call")
        self._working[task] = place
        task.add_done_callback(self._put_down)

    def _put_down(self, task: asyncio.Task[None]) -> None:
        del self._working[task]
        self._nudged.set()

    async def _idle(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._nudged.wait()
        except TimeoutError:
            return

    async def _end(self) -> None:
        if self._working:
            await asyncio.wait(tuple(self._working), timeout=_ENDING_S)
        await cancel_and_wait(*self._working)

    # ---------------------------------------------------------------- the work

    async def _prepare(self, row: AfterCallRow) -> None:
        """Have the call analysed and make its deliveries. Never raises but for cancellation."""
        if row.attempts > ATTEMPTS:
            await self._postpone(row, _DEADLY)
            return
        try:
            call = await self._ended_call(row.session_id)
            await self._analyse(call)
            names = [tool.tool.display_name or tool.function_name for tool in call.workflow.on_end]
            await self._store.finish_after_call(row, names, self._clock.wall())
        except StoreUnreachable as error:  # the lease lapses, and whoever comes then takes it up
            _log.warning("after_call_interrupted", session_id=row.session_id, reason=error.message)
        except PatchbayError as error:
            await self._postpone(row, error.message)
        except Exception as error:  # noqa: BLE001 - the edge of a task: a fault of ours in one call must not hide, nor stop others
            _log.error("after_call_broke", session_id=row.session_id, **_told(error))
            await self._postpone(row, type(error).__name__)

    async def _postpone(self, row: AfterCallRow, error: str) -> None:
        left = after_fault(row, error, self._clock.wall(), _jitter())
        _log.warning("after_call_failed", session_id=row.session_id, reason=error, final=left.status == "failed")
        try:
            await self._store.postpone_after_call(left)
        except PatchbayError as away:
            _log.warning("after_call_interrupted", session_id=row.session_id, reason=away.message)

    async def _analyse(self, call: EndedCall) -> None:
        if self._analyst is None or call.workflow.session.analysis is None or call.row.analysis is not None:
            return
        try:
            async with asyncio.timeout(_ANALYSIS_S):
                analysis = await self._analyst.analyse(call)
        except TimeoutError:
            _log.warning("analysis_timed_out", session_id=call.row.id)
            return
        if analysis.error_code:
            _log.warning("analysis_failed", session_id=call.row.id, error_code=analysis.error_code)
        await self._store.save_analysis(call.row.id, stored_analysis(analysis, self._clock.wall()))

    async def _send_each(self, delivery_ids: Sequence[str]) -> None:
        places = asyncio.Semaphore(_AT_ONCE)

        async def send(delivery_id: str) -> None:
            async with places:
                now = self._clock.wall()
                held = await self._store.claim_delivery(now, now + _SENDING_LEASE, delivery_id=delivery_id)
                if held is not None:
                    await self._send(held)

        for result in await asyncio.gather(*map(send, delivery_ids), return_exceptions=True):
            if result is not None:
                raise result

    async def _send(self, row: DeliveryRow) -> None:
        """Make one attempt and write down how it went. Never raises but for cancellation."""
        try:
            sent = await self._attempt(row)
            left = after_attempt(row, sent, self._clock.wall(), _jitter())
            await self._store.settle_delivery(left)
        except PatchbayError as error:  # the lease lapses: sent once more, under the same id
            _log.warning("webhook_interrupted", delivery_id=row.id, session_id=row.session_id, reason=error.message)
            return
        _log.info(
            "webhook_sent",
            delivery_id=row.id,
            session_id=row.session_id,
            attempt=row.attempts,
            result=left.status,
            status=sent.status,
            error_code=sent.error_code,
        )

    async def _attempt(self, row: DeliveryRow) -> Sent:
        """Return how it went. Raises `StoreUnreachable`."""
        if row.attempts > ATTEMPTS:
            return Sent(ok=False, error_code="interrupted")
        try:
            call = await self._ended_call(row.session_id)
            if row.tool_index >= len(call.workflow.on_end):
                return Sent(ok=False, error_code="webhook_gone")
            tool = call.workflow.on_end[row.tool_index]
            async with asyncio.timeout(_SENDING_S):
                return await self._sender.send(tool, _delivery(row, self._clock.wall()), call)
        except TimeoutError:
            return Sent(ok=False, error_code="timeout", retryable=True)
        except StoreUnreachable:
            raise
        except PatchbayError as error:
            _log.warning("webhook_not_made", delivery_id=row.id, session_id=row.session_id, reason=error.message)
            return Sent(ok=False, error_code="not_made", retryable=True)
        except Exception as error:  # noqa: BLE001 - the edge of a task: recorded, tried again, dead in the end
            _log.error("webhook_broke", delivery_id=row.id, session_id=row.session_id, **_told(error))
            return Sent(ok=False, error_code="internal", retryable=True)

    async def _ended_call(self, session_id: str) -> EndedCall:
        row = await self._store.call(session_id)
        events = await self._store.events(session_id)
        workflow, name = await self._load(row.workflow_version_id or "")
        return EndedCall(row, [replace(event, secret=None) for event in events], workflow, name)


def _delivery(row: DeliveryRow, now: datetime) -> Delivery:
    return Delivery(row.id, row.attempts, now)


def _told(error: Exception) -> dict[str, str]:
    """Return where it went wrong, and not what with: an exception's text may hold a secret, or what a caller said."""
    return {"error": type(error).__name__, "trace": "".join(traceback.format_tb(error.__traceback__))}


def _jitter() -> float:
    return random.random()  # noqa: S311 - spread, no secret
