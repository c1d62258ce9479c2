"""A leg without a telephone: what the stack's words come to, keys, transfers, and a voice that is ahead of time."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from runtime.voice.audio import PcmOutput, frame_of
from tests.worker.phone.bare_session import BareSession
from worker.legs import CallRequest, Departure, NotAnswered
from worker.phone.config import LineConfig
from worker.phone.leg import SipLeg
from worker.phone.messages import (
    Answer,
    Closed,
    Done,
    Established,
    Flush,
    HangUp,
    KeyPressed,
    Order,
    Refuse,
    Ringing,
    SendKeys,
    Transfer,
)
from worker.phone.process import HostLost

Json = Any
BYE = "Connection reset by peer [104]"


class Host:
    """A host that only notes what it is told; `answer` is what becomes of what is asked."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.sounds: list[bytes] = []
        self.answer: Done | None = Done(0)
        self.told = asyncio.Event()

    def send(self, order: Order) -> None:
        self.orders.append(order)
        self.told.set()

    def send_sound(self, call: int, pcm: bytes) -> None:
        self.sounds.append(pcm)
        self.told.set()

    async def ask(self, order: Transfer | SendKeys, *, timeout_s: float) -> Done:
        self.orders.append(order)
        if self.answer is None:
            raise HostLost("the SIP host has ended")
        return self.answer


def leg_of(host: Host, direction: str = "inbound", **config: Json) -> SipLeg:
    request = CallRequest("phone", direction, caller="+15550199", dialled="+15550100")  # type: ignore[arg-type]
    return SipLeg(host, 1, request, LineConfig(**config))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("why", "departure"),
    [
        (BYE, Departure()),
        ("Call transfered", Departure("transferred")),
        ("rtp stream error", Departure("connection_lost", "dropped")),
        ("Connection timed out [110]", Departure("connection_lost", "dropped")),
    ],
)
async def test_how_the_other_side_left(why: str, departure: Departure) -> None:
    leg = leg_of(Host())
    leg.reported(Established(1, "id"))
    leg.reported(Closed(1, why))
    assert await leg.gone() == departure
    await leg.aclose()
    await leg.aclose()


async def test_a_line_that_is_lost_is_a_lost_connection() -> None:
    leg = leg_of(Host())
    leg.line_lost()
    assert await leg.gone() == Departure("connection_lost", "dropped")


async def test_a_caller_who_left_before_the_answer() -> None:
    host = Host()
    leg = leg_of(host)
    answering = asyncio.gather(leg.answer(), return_exceptions=True)
    await asyncio.sleep(0)
    leg.reported(Closed(1, BYE))
    (error,) = await answering
    assert isinstance(error, NotAnswered)
    assert error.reason == "caller_hangup"
    assert host.orders == [Answer(1)]


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("486 Busy Here", "busy"),
        ("600 Busy Everywhere", "busy"),
        ("480 Temporarily Unavailable", "no_answer"),
        ("408 Request Timeout", "no_answer"),
        ("404 Not Found", "not_connected"),
        ("603 Decline", "not_connected"),
        ("Connection refused [111]", "not_connected"),
        ("", "not_connected"),
    ],
)
async def test_a_call_that_was_not_taken(why: str, reason: str) -> None:
    leg = leg_of(Host(), "outbound")
    leg.reported(Ringing(1))
    leg.reported(Closed(1, why))
    with pytest.raises(NotAnswered) as caught:
        await leg.answer()
    assert caught.value.reason == reason


@pytest.mark.parametrize(("rings", "reason"), [(True, "no_answer"), (False, "not_connected")])
async def test_nobody_answers(rings: bool, reason: str) -> None:
    host = Host()
    leg = leg_of(host, "outbound", answer_timeout_s=0.01)
    if rings:
        leg.reported(Ringing(1))
    asking = asyncio.gather(leg.answer(), return_exceptions=True)
    await host.told.wait()
    leg.reported(Closed(1, "487 Request Terminated"))
    (error,) = await asking
    assert isinstance(error, NotAnswered)
    assert error.reason == reason
    assert host.orders == [HangUp(1)]


async def test_refused_is_busy() -> None:
    host = Host()
    leg = leg_of(host)
    leg.refuse()
    assert host.orders == [Refuse(1)]


async def test_our_own_goodbye() -> None:
    host = Host()
    leg = leg_of(host)
    leg.reported(Established(1, "id"))
    closing = asyncio.gather(leg.aclose())
    await asyncio.sleep(0)
    leg.reported(Closed(1, ""))
    await closing
    assert await leg.gone() == Departure("agent_hangup")
    assert host.orders == [HangUp(1)]


async def test_keys_pressed_before_the_session_is_there_are_kept() -> None:
    leg, live = leg_of(Host()), BareSession()
    leg.reported(KeyPressed(1, "1"))
    await leg.connect(live.as_call())
    leg.reported(KeyPressed(1, "#"))
    assert live.keys == "1#"
    leg.line_lost()
    await leg.aclose()


@pytest.mark.parametrize(
    ("done", "ok", "status", "why"),
    [
        (Done(0, status=200), True, 200, None),
        (Done(0, ok=False, status=486, why="Busy Here"), False, 486, "the line is busy"),
        (Done(0, ok=False, status=603, why="Decline"), False, 603, "the call was refused"),
        (Done(0, ok=False, status=500, why="Oops"), False, 500, "Oops"),
        (Done(0, ok=False, why="no transfer outcome within 60 s"), False, None, "no transfer outcome within 60 s"),
        (None, False, None, "the SIP host has ended"),
    ],
)
async def test_what_a_transfer_came_to(done: Done | None, ok: bool, status: int | None, why: str | None) -> None:
    host = Host()
    host.answer = done
    outcome = await leg_of(host, via="10.0.0.1").transfer("+1 555 0123")
    assert (outcome.ok, outcome.sip_status, outcome.why) == (ok, status, why)
    assert host.orders == [Transfer(0, 1, "sip:+15550123@10.0.0.1", 60.0)]


async def test_a_transfer_to_nowhere_is_never_sent() -> None:
    host = Host()
    outcome = await leg_of(host).transfer("sip:a@b?Replaces=x")
    assert not outcome.ok
    assert "no telephone number" in (outcome.why or "")
    assert host.orders == []


async def test_keys_are_sent_or_refused() -> None:
    host = Host()
    leg = leg_of(host)
    assert await leg.send_keys("12w#a") is None
    for wrong in ("12\r\n", ""):
        assert "no keys" in (await leg.send_keys(wrong) or "")
    host.answer = None
    assert await leg.send_keys("1") is not None
    assert [order.keys for order in host.orders if isinstance(order, SendKeys)] == ["12w#a", "1"]


async def test_an_interruption_clears_the_stack_too() -> None:
    host, live = Host(), BareSession()
    leg = leg_of(host)
    await leg.connect(live.as_call())
    assert live.sink is not None
    assert live.sink.sample_rate == 8000
    await live.sink.capture_frame(frame_of(np.ones(8000, dtype=np.int16), 8000))
    live.sink.flush()
    await host.told.wait()
    live.sink.clear_buffer()
    event = await live.sink.wait_for_playout()
    assert event.interrupted
    assert event.playback_position < 0.05
    assert host.orders[0] == Flush(1)
    assert sum(map(len, host.sounds)) <= 16000 * 0.14
    leg.line_lost()
    await leg.aclose()


class Clock:
    """Time that passes only when somebody sleeps, and never beyond `until`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.until = float("inf")

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        for _ in range(100_000):
            if self.now + seconds <= self.until + 1e-9:
                break
            await asyncio.sleep(0)
        self.now += seconds
        await asyncio.sleep(0)


class TestLead:
    """A `PcmOutput` whose sink has a queue: frames go out early, positions tell what was heard."""

    def out(self, clock: Clock) -> tuple[PcmOutput, list[tuple[float, float]], list[tuple[float, bool]]]:
        handed: list[tuple[float, float]] = []
        ends: list[tuple[float, bool]] = []
        out = PcmOutput(
            lambda _frame, at: handed.append((round(clock.now - 100, 3), round(at - 100, 3))),
            rate=8000,
            lead_s=0.08,
            clock=clock,
            sleep=clock.sleep,
        )
        out.on("playback_finished", lambda event: ends.append((round(event.playback_position, 3), event.interrupted)))
        return out, handed, ends

    async def say(self, out: PcmOutput, samples: int) -> None:
        await out.capture_frame(frame_of(np.ones(samples, dtype=np.int16), 8000))

    async def settle(self) -> None:
        for _ in range(60):
            await asyncio.sleep(0)

    async def test_frames_go_out_ahead_and_the_end_is_when_it_is_heard(self) -> None:
        clock = Clock()
        out, handed, ends = self.out(clock)
        await self.say(out, 960)
        out.flush()
        await out.wait_for_playout()
        assert handed == [(0.0, 0.0), (0.0, 0.02), (0.0, 0.04), (0.0, 0.06), (0.0, 0.08), (0.02, 0.1)]
        assert clock.now == pytest.approx(100.12)
        assert ends == [(0.12, False)]
        await out.aclose()

    async def test_interrupted_it_reports_what_was_heard_not_what_was_handed_on(self) -> None:
        clock = Clock()
        clock.until = 100.04
        out, handed, ends = self.out(clock)
        await self.say(out, 8000)
        await self.settle()
        assert handed[-1] == (0.04, 0.12)
        out.clear_buffer()
        assert ends == [(0.04, True)]
        await out.aclose()

    async def test_a_tail_that_is_not_yet_heard_can_still_be_interrupted(self) -> None:
        clock = Clock()
        clock.until = 100.02
        out, _, ends = self.out(clock)
        await self.say(out, 480)
        out.flush()
        await self.settle()
        assert ends == []
        out.clear_buffer()
        assert ends == [(0.02, True)]
        await out.aclose()

    async def test_a_voice_that_comes_in_drops_never_gets_further_ahead(self) -> None:
        clock = Clock()
        out, handed, _ = self.out(clock)
        for _ in range(20):
            await self.say(out, 160)
            await self.settle()
        assert max(at - when for when, at in handed) < 0.081
        await out.aclose()
