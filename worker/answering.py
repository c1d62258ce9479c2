"""One call from the ring to the hang-up: a leg and a plan put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from runtime.errors import PatchbayError
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.live_call import LiveCall, open_call
from worker.apology import Sorry
from worker.legs import Departure, Leg, NotAnswered
from worker.reception import Received, without_models

__all__ = ["run_call"]

TRANSFER_ANSWER_S = 3.0
"""After a transfer the caller's leg ends, and sometimes before the transfer's answer is here."""
_log = structlog.get_logger("answering")


async def run_call(leg: Leg, received: Received, running: Callable[[LiveCall], AbstractContextManager[None]]) -> bool:
    """Run the call to its end and store it; return whether it went well. `running` is told of it while it runs."""
    async with _opened(received) as (live, sorry):
        with running(live):
            if leg.request.direction == "outbound" and sorry is not None:
                _not_dialled(live, sorry)
            elif await _picked_up(leg, live):
                await _talk(leg, live, sorry)
        await leg.aclose()  # before the events are flushed: nobody is to listen to a database
    return live.plan.log.row.end_reason != "error" and received.sorry is None


@asynccontextmanager
async def _opened(received: Received) -> AsyncIterator[tuple[LiveCall, Sorry | None]]:
    """Put the call together; where a model cannot be had (a key is missing), the caller hears an apology."""
    opening = open_call(received.plan, text=False)
    try:
        live = await opening.__aenter__()
    except PatchbayError as error:
        _log.error("models_unavailable", message=error.message)
        if received.plan.providers is not None:
            await received.plan.providers.aclose()
        sorry = Sorry("error", "give_up", "pipeline", "models_unavailable", error.message)
        received = without_models(received, sorry)
        opening = open_call(received.plan, text=False)
        live = await opening.__aenter__()
    try:
        yield live, received.sorry
    finally:
        await opening.__aexit__(None, None, None)


async def _picked_up(leg: Leg, live: LiveCall) -> bool:
    """Answer the caller, or wait until who was called does; False where nobody is there in the end."""
    if leg.request.direction == "outbound":
        live.dialled()
    try:
        await live.start()
        await live.prepare()
        await leg.answer()
    except NotAnswered as error:
        if not live.call.state.started:
            live.dialled()
        live.call.stop(error.reason)
        return False
    live.plan.log.row = replace(live.plan.log.row, answered_at=datetime.now(UTC))
    return not live.call.state.ended


def _not_dialled(live: LiveCall, sorry: Sorry) -> None:
    """Who was to be called is not called for an apology."""
    live.dialled()
    live.fault(sorry.component, sorry.code, sorry.message)
    live.call.stop(sorry.reason)


async def _talk(leg: Leg, live: LiveCall, sorry: Sorry | None) -> None:
    departure = spawn(leg.gone(), name="departure")
    over = spawn(live.call.ended(), name="end of the call")
    try:
        await leg.connect(live)
        await live.begin()
        if sorry is not None:
            live.fault(sorry.component, sorry.code, sorry.message, "apology")
            live.goodbye(sorry.reason, sorry.text(live.plan.workflow.language))
        await asyncio.wait({departure, over}, return_when=asyncio.FIRST_COMPLETED)
        if not over.done():
            await _left(live, departure.result(), over)
    except NotAnswered as error:  # they left while the sound was being connected
        if not live.call.state.started:
            live.dialled()
        live.call.stop(error.reason)
    finally:
        await cancel_and_wait(departure, over)


async def _left(live: LiveCall, departure: Departure, over: asyncio.Task[None]) -> None:
    if live.call.state.transfer is not None:
        await asyncio.wait({over}, timeout=TRANSFER_ANSWER_S)
    live.call.stop(departure.reason, departure.status)
