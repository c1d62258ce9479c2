"""A real SIP telephone for tests: baresip in a process of its own, told what to do over JSON lines."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import numpy as np

from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.wav import Samples

Json = Any
RATE = 8000


def free_port() -> int:
    """Return a port that is free for UDP and TCP."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            try:
                tcp.bind(udp.getsockname())
            except OSError:
                continue
            return int(udp.getsockname()[1])
    raise AssertionError("no free port")


def tone(hz: float, seconds: float, *, level: int = 8000) -> Samples:
    """Return a sine at 8 kHz."""
    times = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * hz * times)).astype(np.int16)


def loudness(samples: Samples) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if samples.size else 0.0


def pitch(samples: Samples) -> float:
    """Return the strongest frequency in Hz."""
    power = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(power[1:]) + 1) * RATE / samples.size


class SipPhone:
    """A telephone at `uri`. One call at a time is talked on; what it hears is kept as samples at 8 kHz.

    `on_ring` is what it does when it is rung: "answer", "busy" or "ignore". A REFER is followed as telephones do.
    """

    def __init__(self, port: int, process: asyncio.subprocess.Process) -> None:
        self.port = port
        self.events: list[Mapping[str, Json]] = []
        self._process = process
        self._changed = asyncio.Event()
        self._asks = itertools.count(1)
        self._reader = spawn(self._read(), name="telephone")

    @property
    def uri(self) -> str:
        return f"sip:phone@127.0.0.1:{self.port}"

    @property
    def heard(self) -> Samples:
        """Everything heard in every call so far."""
        parts = [base64.b64decode(event["pcm"]) for event in self.events if event["event"] == "heard"]
        return np.frombuffer(b"".join(parts), dtype=np.int16)

    @property
    def keys(self) -> str:
        """The keys that the other side pressed."""
        return "".join(event["key"] for event in self.events if event["event"] == "key")

    @classmethod
    async def start(cls, *, user: str = "phone", on_ring: str = "answer", after_s: float = 0.0, **more: Json) -> Self:
        """Start a telephone; `more` may hold `password` and `info` (keys as SIP INFO)."""
        for _ in range(3):
            phone = await cls._started({"user": user, "on_ring": on_ring, "after_s": after_s, **more})
            await phone.until_true(lambda: bool(phone.named("ready")) or phone._reader.done(), what="ready")  # noqa: B023
            if phone.named("ready"):
                return phone
            await phone.aclose()  # another test was quicker to take the port
        raise AssertionError("no telephone could be started")

    @classmethod
    async def _started(cls, more: Mapping[str, Json]) -> Self:
        port = free_port()
        setup = {"port": port, **more}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.fakes.sip_caller_process",
            json.dumps(setup),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=1 << 24,
        )
        return cls(port, process)

    async def until(self, name: str, *, count: int = 1, within_s: float = 15.0) -> Mapping[str, Json]:
        """Wait for the `count`-th event of this name and return it."""
        await self.until_true(lambda: len(self.named(name)) >= count, within_s=within_s, what=name)
        return self.named(name)[count - 1]

    async def until_true(self, condition: Callable[[], bool], *, within_s: float = 15.0, what: str = "it") -> None:
        """Wait until the condition holds; it is asked again at each event."""
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            told = [event for event in self.events if event["event"] != "heard"]
            raise AssertionError(f"{what} did not come within {within_s} s; told so far: {told}") from None

    async def until_heard(self, hz: float, *, seconds: float = 0.5, within_s: float = 15.0) -> None:
        """Wait until this tone is what was heard last, for so long."""
        size = round(seconds * RATE)

        def rings() -> bool:
            last = self.heard[-size:]
            return last.size == size and loudness(last) > 500 and abs(pitch(last) - hz) < 20

        await self.until_true(rings, within_s=within_s, what=f"a tone of {hz} Hz")

    def named(self, name: str) -> list[Mapping[str, Json]]:
        return [event for event in self.events if event["event"] == name]

    async def dial(self, uri: str, *, headers: Mapping[str, str] | None = None) -> None:
        """Call, and wait until it is answered."""
        await self.ring(uri, headers=headers)
        await self.until("established")

    async def ring(self, uri: str, *, headers: Mapping[str, str] | None = None) -> None:
        """Call, and come back once the INVITE is on its way."""
        before = len(self.named("dialled"))
        self.tell("dial", uri=uri, headers=dict(headers or {}))
        await self.until("dialled", count=before + 1)

    def play(self, samples: Samples, *, forever: bool = False) -> None:
        """Speak this after what is being spoken."""
        self.tell("play", pcm=base64.b64encode(samples.tobytes()).decode(), forever=forever)

    def press(self, keys: str) -> None:
        self.tell("press", keys=keys)

    def hang_up(self) -> None:
        self.tell("hang_up")

    def tell(self, order: str, **fields: Json) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"order": order, **fields}).encode() + b"\n")

    def vanish(self) -> None:
        """Die without a goodbye."""
        self._process.kill()

    async def aclose(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await cancel_and_wait(self._reader)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.events.append(json.loads(line))
            self._changed.set()
        self._changed.set()


@asynccontextmanager
async def sip_phone(**setup: Json) -> AsyncIterator[SipPhone]:
    """Hold a telephone; see `SipPhone.start`."""
    phone = await SipPhone.start(**setup)
    try:
        yield phone
    finally:
        await phone.aclose()


def now() -> float:
    """Return the clock that telephones in other processes share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)
