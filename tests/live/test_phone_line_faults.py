"""The worker's own SIP line where something is wrong: a dead host, strangers' packets, a taken port, challenges."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from runtime.errors import Unreachable
from tests.fakes.raw_caller import raw_caller
from tests.fakes.sip_caller import sip_phone, tone
from tests.live.phone_bench import LOST, Bench, alive, bench, pick_up, until
from worker.legs import NotAnswered
from worker.phone.leg import SipLeg
from worker.phone.line import LineConfig, open_line


@pytest.fixture
async def desk() -> AsyncIterator[Bench]:
    async with bench(rtp_timeout_s=2, answer_timeout_s=1.0) as made:
        yield made


@pytest.mark.server
async def test_digest_is_answered_with_our_credentials(desk: Bench) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        via = f"127.0.0.1:{server.getsockname()[1]}"
        leg = await desk.line.dial("+15550123", via=via, username="acme", password="pass word;")
        challenged = await invite(server)
        reply(server, challenged, "401 Unauthorized", 'WWW-Authenticate: Digest realm="r", nonce="n1", qop="auth"')
        authorised = await invite(server, holding="Authorization: Digest")
        reply(server, authorised, "603 Decline")
        with pytest.raises(NotAnswered, match="603"):
            await leg.answer()
    assert 'username="acme"' in authorised[0]
    assert f"INVITE sip:+15550123@{via}" in authorised[0]


@pytest.mark.live
async def test_a_host_that_dies_loses_its_calls_and_the_line_listens_again(desk: Bench) -> None:
    async with sip_phone() as phone:
        leg, session = await desk.talk(phone)
        first = desk.line.host_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert await desk.gone(leg) == LOST
        assert not (await leg.transfer("+15550123")).ok
        await leg.send_keys("1")
        await leg.aclose()
        await session.aclose()
        await until(lambda: desk.line.alive and desk.line.host_pid != first)
    async with sip_phone() as phone:
        leg, session = await desk.talk(phone)
        await leg.aclose()
        await session.aclose()


@pytest.mark.live
async def test_malformed_packets_disturb_nobody(desk: Bench) -> None:
    host, _, port = desk.line.config.listen.rpartition(":")
    pid = desk.line.host_pid
    async with sip_phone() as phone:
        leg, session = await desk.talk(phone)
        phone.play(tone(440, 1.0), forever=True)
        await session.until_heard(440)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for packet in malformed(desk.uri, 500):
                stranger.sendto(packet, (host, int(port)))
                await asyncio.sleep(0.001)
        session.heard = session.heard[:0]
        await session.until_heard(440)
        await leg.aclose()
        await session.aclose()
        while not desk.rings.empty():  # some of them were calls after all
            await desk.rings.get_nowait().aclose()
    async with sip_phone() as phone:
        leg, session = await desk.talk(phone)
        await leg.aclose()
        await session.aclose()
    assert desk.line.host_pid == pid


@pytest.mark.server
async def test_more_calls_than_the_line_takes_hear_busy() -> None:
    async with bench(max_calls=1) as desk, raw_caller(desk.uri) as first, raw_caller(desk.uri) as second:
        leg, session = await pick_up(desk, first)
        await second.call()
        assert second.final == 486
        await leg.aclose()
        await session.aclose()


@pytest.mark.server
async def test_a_dispatch_that_raises_refuses_the_caller() -> None:
    def fails(_leg: SipLeg) -> None:
        raise LookupError("no such number")

    async with open_line(LineConfig("127.0.0.1:0"), on_incoming=fails) as line:
        async with raw_caller(f"sip:1@{line.config.listen}") as caller:
            await caller.call()
            assert caller.final == 486
        assert line.alive


@pytest.mark.server
async def test_a_port_that_is_taken_is_told_before_anything_starts(desk: Bench) -> None:
    listen = desk.line.config.listen
    with pytest.raises(Unreachable, match=listen):
        async with open_line(LineConfig(listen), on_incoming=lambda _leg: None):
            pass


@pytest.mark.server
async def test_no_host_outlives_its_line() -> None:
    async with bench() as desk:
        pid = desk.line.host_pid
    assert not alive(pid)
    script = (
        "import asyncio\n"
        "from worker.phone.line import LineConfig, open_line\n"
        "async def main():\n"
        "    async with open_line(LineConfig('127.0.0.1:0'), on_incoming=print) as line:\n"
        "        print(line.host_pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    await parent.wait()
    await until(lambda: not alive(pid))


# ---------------------------------------------------------------- helpers


async def invite(server: socket.socket, holding: str = "") -> tuple[str, tuple[str, int]]:
    """Return the next INVITE, and from where; what is sent again is passed over."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        while True:
            data, sender = await loop.sock_recvfrom(server, 65536)
            text = data.decode()
            if text.startswith("INVITE") and holding in text:
                return text, sender


def reply(server: socket.socket, request: tuple[str, tuple[str, int]], status: str, *more: str) -> None:
    text, sender = request
    kept = re.findall(r"(?im)^(?:Via|From|Call-ID|CSeq):.*?(?=\r?$)", text)
    to = re.findall(r"(?im)^To:.*?(?=\r?$)", text)[0] + ";tag=t1"
    server.sendto("\r\n".join([f"SIP/2.0 {status}", *kept, to, *more, "Content-Length: 0", "", ""]).encode(), sender)


def malformed(uri: str, count: int) -> list[bytes]:
    """Return packets that are wrong in many ways, the same ones each time."""
    chance = random.Random(4)
    body = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
    packets = []
    for number in range(count):
        head = (
            f"INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{number};rport\r\n"
            f'From: "{"x" * chance.choice([0, 9, 4000])}" <sip:{number}@127.0.0.1>;tag={number}\r\nTo: <{uri}>\r\n'
            f"Call-ID: bad{number}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.1:9>\r\n"
            f"P-Asserted-Identity: <sip:{'9' * chance.choice([1, 3000])}@x>\r\nContent-Type: application/sdp\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        packet = bytearray(head + body)
        for _ in range(chance.randrange(1, 60)):
            packet[chance.randrange(len(packet))] = chance.randrange(256)
        packets.append(bytes(packet[: chance.choice([len(packet), chance.randrange(1, len(packet))])][:9000]))
    return packets
