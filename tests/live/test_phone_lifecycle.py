"""Telephone calls while something around them ends: the caller, the SIP host, the worker, the database; and twenty at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import worker.worker
from runtime.conversation.wordings import wording
from runtime.settings import Settings
from runtime.store.opening import open_settings_store
from runtime.tasks import spawn
from tests.fakes.hearing import Nods, loud_s, spoke
from tests.fakes.raw_caller import raw_caller
from tests.fakes.sip_caller import RATE, sip_phone
from tests.fakes.speech import take
from tests.fakes.store_outages import StoreOutages
from tests.fakes.working import agent, ends
from tests.live.conftest import OpenDesk

pytestmark = pytest.mark.live

Json = Any
ANNA, BEN, CLEO = "+15550191", "+15550192", "+15550193"
CANCEL = "i want to cancel my contract"
CALLERS = 20


async def test_a_telephone_that_vanishes_and_a_host_that_dies_are_lost_connections(open_desk: OpenDesk) -> None:
    async with open_desk(line={"rtp_timeout_s": 2}) as desk:
        await desk.answer(agent())
        async with sip_phone(user=ANNA) as phone:
            await phone.dial(desk.uri())
            call = await desk.call(ANNA)
            await desk.happened(call, "agent_turn")
            phone.vanish()
            results = [await desk.result(call)]
        async with sip_phone(user=BEN) as phone:
            await phone.dial(desk.uri())
            call = await desk.call(BEN)
            await desk.happened(call, "agent_turn")
            first = desk.line.host_pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            results.append(await desk.result(call))
        await desk.until(lambda: desk.line.alive and desk.line.host_pid != first)
        async with sip_phone(user=CLEO) as phone:
            await phone.dial(desk.uri())
            call = await desk.call(CLEO)
            await desk.happened(call, "agent_turn")
            phone.hang_up()
            assert (await desk.result(call)).row.end_reason == "caller_hangup"
            assert loud_s(phone.heard) > 0.2
    for result in results:
        assert (result.row.status, result.row.end_reason) == ("dropped", "connection_lost")


async def test_a_drain_lets_calls_finish_and_then_says_goodbye(open_desk: OpenDesk) -> None:
    async with (
        open_desk() as desk,
        sip_phone(user=ANNA) as finishes,
        sip_phone(user=BEN) as stays,
        sip_phone(user=CLEO) as late,
    ):
        await desk.answer(agent(paths=[ends(CANCEL)]))
        await asyncio.gather(finishes.dial(desk.uri()), stays.dial(desk.uri()))
        calls = [await desk.call(ANNA), await desk.call(BEN)]
        for call in calls:
            await desk.happened(call, "agent_turn")
        draining = spawn(desk.worker.drain(60.0), name="drain")
        await desk.until(lambda: desk.worker.switchboard.draining)
        assert desk.worker.why_not_ready == "draining"
        await late.ring(desk.uri())
        assert str((await late.until("closed"))["why"]).startswith("486")
        finishes.play(take(CANCEL, RATE))
        finished = await desk.result(calls[0])
        assert calls[1].row.ended_at is None
        await desk.worker.drain(0.0)  # the patience is over for the other one
        await draining
        drained = await desk.result(calls[1])
        await stays.until("closed")
    assert finished.row.end_reason == "agent_hangup"
    assert (drained.row.status, drained.row.end_reason) == ("completed", "drained")
    assert await spoke(stays.heard, wording("drained", "en"))


@pytest.fixture
def outages(monkeypatch: pytest.MonkeyPatch) -> list[StoreOutages]:
    """Every store that a worker of this test opens, to be taken away from it."""
    opened: list[StoreOutages] = []

    @asynccontextmanager
    async def failing(settings: Settings) -> AsyncIterator[StoreOutages]:
        async with open_settings_store(settings) as store:
            opened.append(StoreOutages(store))
            yield opened[-1]

    monkeypatch.setattr(worker.worker, "open_settings_store", failing)
    return opened


async def test_a_database_that_is_away_costs_the_caller_nothing(
    open_desk: OpenDesk, outages: list[StoreOutages], tmp_path: Path
) -> None:
    async with open_desk() as desk, sip_phone(user=ANNA) as phone:
        await desk.answer(agent(paths=[ends(CANCEL)]))
        outages[0].away = True
        await phone.dial(desk.uri())
        call = await desk.call(ANNA)
        await desk.happened(call, "agent_turn")
        phone.play(take(CANCEL, RATE))
        await desk.happened(call, "call_ended")
        await phone.until("closed")
        outages[0].away = False
        result = await desk.result(call)
    assert result.row.end_reason == "agent_hangup"
    assert len(result.events) == len(call.events)
    assert await spoke(phone.heard, "Thank you for calling, goodbye.")


async def test_twenty_calls_at_once_are_all_stored_whole(open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their speech is recorded and their recogniser a stand-in: what counts is the number of calls."""
    monkeypatch.setattr("runtime.voice.pipeline.PocketsphinxSTT", Nods)
    speech = np.concatenate(
        [np.zeros(3 * RATE, dtype=np.int16), take("yes", RATE), np.zeros(20 * RATE, dtype=np.int16)]
    )
    async with open_desk() as desk, AsyncExitStack() as callers:
        await desk.answer(agent())
        ringing = [await callers.enter_async_context(raw_caller(desk.uri(), speech)) for _ in range(CALLERS)]
        await asyncio.gather(*(caller.call() for caller in ringing))
        assert [caller.final for caller in ringing] == [200] * CALLERS
        await desk.until(lambda: len(desk.calls) == CALLERS)
        for call in desk.calls:
            await desk.happened(call, "agent_turn", count=2)
        await callers.aclose()
        results = await asyncio.gather(*(desk.result(call) for call in desk.calls))
    for caller in ringing:
        assert sum(loud_s(packet.samples) for packet in caller.packets) > 0.5
    for result in results:
        assert (result.row.status, result.row.end_reason) == ("completed", "caller_hangup")
        assert result.payloads("user_turn")[0]["text"] == "yes"
        assert result.said[0] == "Hello."
        assert not result.payloads("fault_raised")
