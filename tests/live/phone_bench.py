"""What the tests of the SIP line share: a line with those who ring it, and ways to look at packets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.fakes.raw_caller import RawCaller
from tests.fakes.sip_caller import SipPhone, loudness, pitch
from tests.worker.phone.bare_session import BareSession
from worker.legs import Departure
from worker.phone.leg import SipLeg
from worker.phone.line import LineConfig, PhoneLine, open_line

LOST = Departure("connection_lost", "dropped")


class Bench:
    """A line, and the legs of those who ring it."""

    def __init__(self, line: PhoneLine, rings: asyncio.Queue[SipLeg]) -> None:
        self.line = line
        self.rings = rings

    @property
    def uri(self) -> str:
        return f"sip:+15550100@{self.line.config.listen}"

    async def rung(self) -> SipLeg:
        async with asyncio.timeout(10):
            return await self.rings.get()

    async def talk(self, phone: SipPhone) -> tuple[SipLeg, BareSession]:
        """Let the telephone call, pick up, and connect a session."""
        await phone.ring(self.uri)
        leg = await self.rung()
        await leg.answer()
        session = BareSession()
        await leg.connect(session.as_call())
        await phone.until("established")
        return leg, session

    async def gone(self, leg: SipLeg) -> Departure:
        async with asyncio.timeout(10):
            return await leg.gone()


@asynccontextmanager
async def bench(**config: object) -> AsyncIterator[Bench]:
    rings: asyncio.Queue[SipLeg] = asyncio.Queue()
    setup = LineConfig("127.0.0.1:0", **config)  # type: ignore[arg-type]
    async with open_line(setup, on_incoming=rings.put_nowait) as line:
        yield Bench(line, rings)


async def pick_up(desk: Bench, caller: RawCaller) -> tuple[SipLeg, BareSession]:
    calling = asyncio.gather(caller.call())
    leg = await desk.rung()
    await leg.answer()
    await calling
    session = BareSession()
    await leg.connect(session.as_call())
    return leg, session


async def until(condition: object, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110 - what it asks has no event
            await asyncio.sleep(0.01)


def loud(caller: RawCaller) -> list[bool]:
    return [loudness(packet.samples) > 1000 for packet in caller.packets]


def at(caller: RawCaller, hz: float) -> list[float]:
    """Return when packets with this tone came."""
    return [
        packet.at
        for packet in caller.packets
        if loudness(packet.samples) > 1000 and abs(pitch(packet.samples) - hz) < 100
    ]


def alive(pid: int | None) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
