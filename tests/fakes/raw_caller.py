"""A caller made of two UDP sockets: it sees each RTP packet when it arrives, which no telephone tells."""

from __future__ import annotations

import asyncio
import re
import secrets
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, cast

import numpy as np

from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.wav import Samples

__all__ = ["Packet", "RawCaller", "raw_caller", "ulaw", "unulaw"]

_RTP: Final = struct.Struct("!BBHII")
_FRAME: Final = 160


def _expanded() -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    code = ~np.arange(256, dtype=np.uint8)
    size = (((code & 0x0F).astype(np.int32) << 3) + 0x84) << ((code & 0x70) >> 4)
    return np.where(code & 0x80, 0x84 - size, size - 0x84).astype(np.int16)


_EXPANDED: Final = _expanded()


def unulaw(payload: bytes) -> Samples:
    """Return µ-law as samples."""
    return _EXPANDED[np.frombuffer(payload, dtype=np.uint8)]


def ulaw(samples: Samples) -> bytes:
    """Return samples as µ-law."""
    size = np.minimum(np.abs(samples.astype(np.int32)), 32635) + 0x84
    exponent = np.floor(np.log2(size)).astype(np.int32) - 7
    code = np.where(samples < 0, 0x80, 0) | exponent << 4 | (size >> exponent + 3) & 0x0F
    return (~code & 0xFF).astype(np.uint8).tobytes()


@dataclass(frozen=True, slots=True)
class Packet:
    """An RTP packet as it came: `at` is the loop's time in seconds."""

    at: float
    payload_type: int
    sequence: int
    payload: bytes

    @property
    def samples(self) -> Samples:
        return unulaw(self.payload)


class _Socket(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.received.put_nowait((self._loop.time(), data))


class RawCaller:
    """Calls a SIP address from loopback, speaks `speech` over and over, and keeps each packet that comes."""

    def __init__(self, target: str, speech: Samples) -> None:
        self.packets: list[Packet] = []
        self.spoke_at = 0.0  # the loop's time at which the speech began
        self.final: int | None = None  # the status that ended the INVITE
        host, _, port = target.rpartition("@")[2].rpartition(":")
        self._peer = (host, int(port))
        self._target = target
        self._speech = speech
        self._call_id = secrets.token_hex(8)
        self._tag = secrets.token_hex(4)
        self._to = f"<{target}>"
        self._heeded = False
        self._sip: asyncio.DatagramTransport
        self._rtp: asyncio.DatagramTransport
        self._tasks: list[asyncio.Task[None]] = []

    async def call(self, *, within_s: float = 15.0) -> None:
        """Ring and wait until it is answered; `final` tells how it was."""
        loop = asyncio.get_running_loop()
        transport, sip = await loop.create_datagram_endpoint(_Socket, local_addr=("127.0.0.1", 0))
        self._sip = cast("asyncio.DatagramTransport", transport)
        transport, rtp = await loop.create_datagram_endpoint(_Socket, local_addr=("127.0.0.1", 0))
        self._rtp = cast("asyncio.DatagramTransport", transport)
        self._tasks.append(spawn(self._listen(rtp), name="raw caller's ear"))
        self._tasks.append(spawn(self._invite(), name="raw caller's invitation"))
        async with asyncio.timeout(within_s):
            while self.final is None:
                await self._answered((await sip.received.get())[1].decode())

    async def aclose(self) -> None:
        """Hang up."""
        if self.final == 200:
            self._send("BYE", 2)
        await cancel_and_wait(*self._tasks)
        self._sip.close()
        self._rtp.close()

    async def _invite(self) -> None:
        """Send the INVITE, again and again until something comes back: UDP under load loses packets."""
        invitation = self._request("INVITE", 1, self._offer())
        while not self._heeded:
            self._sip.sendto(invitation, self._peer)
            await asyncio.sleep(0.5)

    async def _answered(self, text: str) -> None:
        status = int(text.split(" ", 2)[1]) if text.startswith("SIP/2.0") else 0
        self._heeded = True
        if status < 200 or "CSeq: 1 INVITE" not in text:
            return
        self._to = re.search(r"(?im)^(?:To|t): *(.*?)\r?$", text)[1]  # type: ignore[index]
        self.final = status
        self._send("ACK", 1)
        if status == 200:
            port = int(re.search(r"m=audio (\d+)", text)[1])  # type: ignore[index]
            self._tasks.append(spawn(self._speak((self._peer[0], port)), name="raw caller's mouth"))

    async def _listen(self, socket: _Socket) -> None:
        while True:
            at, data = await socket.received.get()
            _, kind, sequence, _, _ = _RTP.unpack_from(data)
            self.packets.append(Packet(at, kind & 0x7F, sequence, data[_RTP.size :]))

    async def _speak(self, to: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        payload = ulaw(self._speech)
        frames = [payload[i : i + _FRAME] for i in range(0, len(payload) - _FRAME + 1, _FRAME)]
        due = self.spoke_at = loop.time()
        ssrc = secrets.randbits(32)
        number = 0
        while True:
            header = _RTP.pack(0x80, 0, number & 0xFFFF, number * _FRAME, ssrc)
            self._rtp.sendto(header + frames[number % len(frames)], to)
            number += 1
            due += 0.02
            await asyncio.sleep(max(0.0, due - loop.time()))

    def _offer(self) -> str:
        port = self._rtp.get_extra_info("sockname")[1]
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
        )

    def _send(self, method: str, number: int) -> None:
        self._sip.sendto(self._request(method, number), self._peer)

    def _request(self, method: str, number: int, body: str = "") -> bytes:
        port = self._sip.get_extra_info("sockname")[1]
        lines = [
            f"{method} {self._target} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{secrets.token_hex(6)};rport",
            f"From: <sip:+15550177@127.0.0.1:{port}>;tag={self._tag}",
            f"To: {self._to}",
            f"Call-ID: {self._call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:raw@127.0.0.1:{port}>",
            "Max-Forwards: 70",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@asynccontextmanager
async def raw_caller(target: str, speech: Samples | None = None) -> AsyncIterator[RawCaller]:
    """Hold a caller; `speech` is silence unless given."""
    caller = RawCaller(target, np.zeros(_FRAME, dtype=np.int16) if speech is None else speech)
    try:
        yield caller
    finally:
        await caller.aclose()
