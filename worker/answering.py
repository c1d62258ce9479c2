"""One call from the ring to the hang-up: a leg and a plan put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog

from runtime.errors import PatchbayError
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.live_call import LiveCall, open_call
from worker.apology import Sorry
from worker.legs import Departure, Leg, NotAnswered
from worker.reception import Received, Resumption, without_models

__all__ = ["run_call"]

TRANSFER_ANSWER_S = 3.0
"""After a transfer the caller's leg ends, and sometimes before the transfer's answer is here."""
_log = structlog.get_logger("answering")


async def run_call(leg: Leg, received: Received, running: Callable[[LiveCall], AbstractContextManager[None]]) -> bool:
    """Run the call to its end and store it; return whether it went well. `running` is told of it while it runs."""
    async with _opened(received) as (live, opened):
        with running(live):
            await _told(live, _run(leg, live, opened))
        await leg.aclose()  # before the events are flushed: nobody is to listen to a database
    return live.plan.log.row.end_reason != "error" and opened.sorry is None


async def _told(live: LiveCall, running: Coroutine[Any, Any, None]) -> None:
    """Run the call; what breaks it is an event of the call before it is anybody else's trouble."""
    try:
        await running
    except Exception as error:
        if not live.call.state.ended:
            if not live.call.state.started:
                live.dialled()
            live.fault("worker", "call_failed", type(error).__name__)
            live.stop("error", "dropped")
        raise


async def _run(leg: Leg, live: LiveCall, received: Received) -> None:
    sorry = received.sorry
    if (resumed := received.resumed) is not None:
        await _go_on(leg, live, resumed)
    elif leg.request.direction == "outbound" and sorry is not None:
        _not_dialled(live, sorry)
    elif await _picked_up(leg, live):
        await _talk(leg, live, lambda: _begin(live, sorry))


@asynccontextmanager
async def _opened(received: Received) -> AsyncIterator[tuple[LiveCall, Received]]:
    """Put the call together; where a model cannot be had (a key is missing), the caller hears an apology."""
    opening = open_call(received.plan, text=False)
    try:
        live = await opening.__aenter__()
    except Exception as error:
        _log.error("models_unavailable", message=_described(error), exc_info=not isinstance(error, PatchbayError))
        if received.plan.providers is not None:
            await received.plan.providers.aclose()
        if received.resumed is not None:  # an apology would be another call's beginning
            raise
        sorry = Sorry("error", "give_up", "pipeline", "models_unavailable", _described(error))
        received = without_models(received, sorry)
        opening = open_call(received.plan, text=False)
        live = await opening.__aenter__()
    try:
        yield live, received
    finally:
        await opening.__aexit__(None, None, None)


def _described(error: Exception) -> str:
    # A plugin's own words may quote a key.
    return error.message if isinstance(error, PatchbayError) else type(error).__name__


async def _picked_up(leg: Leg, live: LiveCall) -> bool:
    """Answer the caller, or wait until who was called does; False where nobody is there in the end."""
    if leg.request.direction == "outbound":
        live.dialled()
    try:
        await live.start()
        await live.prepare()
        if not await _answered(leg, live):
            return False
    except NotAnswered as error:
        live.stop(error.reason)
        return False
    live.plan.log.row = replace(live.plan.log.row, answered_at=datetime.now(UTC))
    return not live.call.state.ended


async def _answered(leg: Leg, live: LiveCall) -> bool:
    """Wait for the answer, but no longer than the call lasts: a worker that leaves lets nobody ring on."""
    answer = spawn(leg.answer(), name="answer", on_error=_nothing)
    over = spawn(live.call.ended(), name="end of the call")
    try:
        await asyncio.wait({answer, over}, return_when=asyncio.FIRST_COMPLETED)
        if over.done():
            return False
        answer.result()
        return True
    finally:
        await cancel_and_wait(answer, over)


def _nothing(_error: BaseException) -> None:
    """Who waits for it hears of it."""


def _not_dialled(live: LiveCall, sorry: Sorry) -> None:
    """Who was to be called is not called for an apology."""
    live.dialled()
    live.fault(sorry.component, sorry.code, sorry.message)
    live.call.stop(sorry.reason)


async def _talk(leg: Leg, live: LiveCall, begin: Callable[[], Awaitable[None]]) -> None:
    departure = spawn(leg.gone(), name="departure")
    over = spawn(live.call.ended(), name="end of the call")
    try:
        await leg.connect(live)
        if not live.call.state.ended:
            await begin()
        await asyncio.wait({departure, over}, return_when=asyncio.FIRST_COMPLETED)
        if not over.done():
            await _left(live, departure.result(), over)
    except NotAnswered as error:  # they left while the sound was being connected
        live.stop(error.reason)
    finally:
        await cancel_and_wait(departure, over)


async def _begin(live: LiveCall, sorry: Sorry | None) -> None:
    await live.begin()
    if sorry is not None:
        live.fault(sorry.component, sorry.code, sorry.message, "apology")
        live.goodbye(sorry.reason, sorry.text(live.plan.workflow.language))


async def _go_on(leg: Leg, live: LiveCall, resumed: Resumption) -> None:
    """Go on with a call that another worker ran; where its caller has left meanwhile it was dropped."""
    if resumed.alone:
        live.stop("connection_lost", "dropped")
        return
    await live.start()
    await _talk(leg, live, lambda: live.resume(resumed.worker_id, resumed.lost_ms))


async def _left(live: LiveCall, departure: Departure, over: asyncio.Task[None]) -> None:
    if live.call.state.transfer is not None:
        await asyncio.wait({over}, timeout=TRANSFER_ANSWER_S)
    live.call.stop(departure.reason, departure.status)
