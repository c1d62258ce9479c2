"""The worker's own SIP line with real telephones on loopback: sound, keys, transfers, ends. No workflow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from tests.fakes.raw_caller import raw_caller
from tests.fakes.sip_caller import free_port, loudness, pitch, sip_phone, tone
from tests.live.phone_bench import LOST, Bench, at, bench, loud, pick_up, until
from tests.worker.phone.bare_session import BareSession
from worker.legs import Departure, NotAnswered


@pytest.fixture
async def desk() -> AsyncIterator[Bench]:
    async with bench(rtp_timeout_s=2, answer_timeout_s=1.0) as made:
        yield made


@pytest.mark.live
@pytest.mark.parametrize("info", [False, True], ids=["rfc2833", "info"])
async def test_a_call_with_sound_and_keys_both_ways(desk: Bench, info: bool) -> None:
    async with sip_phone(user="+15550199", info=info) as phone:
        await phone.ring(desk.uri, headers={"P-Asserted-Identity": "<sip:+4930555@carrier.example>"})
        leg = await desk.rung()
        assert (leg.request.channel, leg.request.direction) == ("phone", "inbound")
        assert (leg.request.caller, leg.request.dialled) == ("+4930555", "+15550100")
        assert leg.request.external_session_id
        await phone.until("ringing")
        await leg.answer()
        session = BareSession()
        await leg.connect(session.as_call())
        phone.play(tone(440, 1.0), forever=True)
        await session.until_heard(440)
        await session.say(tone(1000, 1.0))
        await phone.until_heard(1000)
        phone.press("1123#")
        await session.until_keys("1123#")
        await leg.send_keys("42w*")
        await phone.until_true(lambda: len(phone.keys) >= 3, what="keys")
        assert phone.keys == "42*"
        phone.hang_up()
        assert await desk.gone(leg) == Departure()
        assert desk.line.calls == 0
        await leg.aclose()
        await session.aclose()


@pytest.mark.live
async def test_an_interruption_is_silence_on_the_wire_at_once(desk: Bench) -> None:
    loop = asyncio.get_running_loop()
    async with raw_caller(desk.uri) as caller:
        leg, session = await pick_up(desk, caller)
        await session.say(tone(1000, 2.0))
        await until(lambda: sum(loud(caller)) >= 20)
        assert session.sink is not None
        first = next(packet.at for packet in caller.packets if loudness(packet.samples) > 1000)
        cleared = loop.time()
        session.sink.clear_buffer()
        event = await session.sink.wait_for_playout()
        await session.say(tone(2000, 0.2))
        await until(lambda: any(at(caller, 2000)))
        old = [when for when in at(caller, 1000) if when > cleared]
        assert not old or max(old) - cleared < 0.045
        assert event.interrupted
        assert event.playback_position == pytest.approx(cleared - first, abs=0.06)
        await session.sink.wait_for_playout()
        await until(lambda: len(at(caller, 2000)) >= 9)
        await leg.aclose()
        await session.aclose()


@pytest.mark.live
async def test_a_caller_who_vanishes_is_a_lost_connection(desk: Bench) -> None:
    async with sip_phone() as phone:
        leg, session = await desk.talk(phone)
        phone.vanish()
        assert await desk.gone(leg) == LOST
        await leg.aclose()
        await session.aclose()


@pytest.mark.server
async def test_a_caller_who_leaves_before_the_answer_and_one_who_is_refused(desk: Bench) -> None:
    async with sip_phone() as phone:
        await phone.ring(desk.uri)
        leg = await desk.rung()
        await phone.until("ringing")
        phone.hang_up()
        assert await desk.gone(leg) == Departure()
        with pytest.raises(NotAnswered) as caught:
            await leg.answer()
        assert caught.value.reason == "caller_hangup"
        await phone.ring(desk.uri)
        leg = await desk.rung()
        leg.refuse()
        assert (await phone.until("closed", count=2))["why"].startswith("486")
        await leg.aclose()


@pytest.mark.server
async def test_our_goodbye_reaches_the_telephone(desk: Bench) -> None:
    async with sip_phone() as phone:
        leg, session = await desk.talk(phone)
        await leg.aclose()
        await phone.until("closed")
        assert await leg.gone() == Departure("agent_hangup")
        await session.aclose()


@pytest.mark.live
async def test_a_transfer_that_is_taken(desk: Bench) -> None:
    async with sip_phone() as phone, sip_phone() as second:
        leg, session = await desk.talk(phone)
        phone.play(tone(440, 1.0), forever=True)
        outcome = await leg.transfer(second.uri)
        assert (outcome.ok, outcome.sip_status) == (True, 200)
        assert await desk.gone(leg) == Departure("transferred")
        await second.until("established")
        await second.until_heard(440)
        await leg.aclose()
        await session.aclose()


@pytest.mark.live
async def test_a_transfer_to_a_busy_line_leaves_the_caller_here(desk: Bench) -> None:
    async with sip_phone() as phone, sip_phone(on_ring="busy") as second:
        leg, session = await desk.talk(phone)
        outcome = await leg.transfer(second.uri)
        assert (outcome.ok, outcome.sip_status, outcome.why) == (False, 486, "the line is busy")
        assert not leg.over
        phone.play(tone(440, 1.0), forever=True)
        await session.until_heard(440)
        await session.say(tone(1000, 1.0))
        await phone.until_heard(1000)
        await leg.aclose()
        await session.aclose()


@pytest.mark.live
async def test_a_call_that_goes_out(desk: Bench) -> None:
    async with sip_phone(after_s=0.3) as phone:
        leg = await desk.line.dial(phone.uri, caller="+15550111")
        await leg.answer()
        assert (leg.request.direction, leg.request.caller, leg.request.dialled) == ("outbound", "+15550111", "phone")
        assert leg.request.external_session_id
        assert "<sip:+15550111@" in (await phone.until("rung"))["headers"]["From"]
        session = BareSession()
        await leg.connect(session.as_call())
        await session.say(tone(1000, 0.8))
        await phone.until_heard(1000)
        phone.hang_up()
        assert await desk.gone(leg) == Departure()
        await leg.aclose()
        await session.aclose()


@pytest.mark.server
@pytest.mark.parametrize(("on_ring", "reason"), [("busy", "busy"), ("ignore", "no_answer")])
async def test_a_call_that_is_not_taken(desk: Bench, on_ring: str, reason: str) -> None:
    async with sip_phone(on_ring=on_ring) as phone:
        leg = await desk.line.dial("+15550123", via=f"127.0.0.1:{phone.port}")
        with pytest.raises(NotAnswered) as caught:
            await leg.answer()
        assert caught.value.reason == reason
        await phone.until("closed")


@pytest.mark.server
async def test_nobody_at_that_address(desk: Bench) -> None:
    leg = await desk.line.dial(f"sip:x@127.0.0.1:{free_port()}")
    with pytest.raises(NotAnswered) as caught:
        await leg.answer()
    assert caught.value.reason == "not_connected"


def test_the_tone_of_these_tests_is_one() -> None:
    assert pitch(tone(440, 1.0)) == pytest.approx(440)
    assert loudness(np.zeros(8, dtype=np.int16)) == 0
