"""Frames between a line and its host, whole, in pieces and broken."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from worker.phone.messages import Closed, Done, Flush, Ping, Start, order_of, report_of, told
from worker.phone.wire import Wire, WireFault, control_frame, sound_frame

Json = Any


class End:
    """One end of a stream with everything that came."""

    def __init__(self) -> None:
        self.messages: list[Mapping[str, Json]] = []
        self.sounds: list[tuple[int, bytes]] = []
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()
        self.wire = Wire(on_message=self._message, on_sound=self._sound, on_lost=self.lost.set_result)

    def _message(self, message: Mapping[str, Json]) -> None:
        self.messages.append(message)
        self.changed.set()

    def _sound(self, call: int, pcm: bytes) -> None:
        self.sounds.append((call, pcm))
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()


@pytest.fixture
async def ends() -> AsyncIterator[tuple[End, End]]:
    loop = asyncio.get_running_loop()
    pair = (End(), End())
    for end, sock in zip(pair, socket.socketpair(), strict=True):
        await loop.create_unix_connection(lambda end=end: end.wire, sock=sock)  # type: ignore[misc]
    yield pair
    for end in pair:
        end.wire.close()
        await end.lost


@pytest.fixture
async def raw() -> AsyncIterator[tuple[End, socket.socket]]:
    """An end of ours, and a socket at the other one."""
    end = End()
    ours, theirs = socket.socketpair()
    await asyncio.get_running_loop().create_unix_connection(lambda: end.wire, sock=ours)
    yield end, theirs
    theirs.close()
    await end.lost


async def test_messages_and_sound_arrive_in_order(ends: tuple[End, End]) -> None:
    one, two = ends
    one.wire.send({"is": "x", "name": "Zoë\n\ud800\0"})
    one.wire.send_sounds([(7, b"\1\2"), (8, b"\3\4")])
    await two.until(lambda: len(two.sounds) == 2)
    assert two.messages == [{"is": "x", "name": "Zoë\n\ud800\0"}]
    assert two.sounds == [(7, b"\1\2"), (8, b"\3\4")]


async def test_frames_in_single_bytes(raw: tuple[End, socket.socket]) -> None:
    end, other = raw
    for byte in control_frame({"a": 1}) + sound_frame(3, b"\5\6"):
        other.send(bytes([byte]))
        await asyncio.sleep(0)
    await end.until(lambda: bool(end.sounds))
    assert (end.messages, end.sounds) == ([{"a": 1}], [(3, b"\5\6")])


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("!IBI", 1 << 30, 0, 0),
        struct.pack("!IBI", 2, 9, 0) + b"{}",
        struct.pack("!IBI", 2, 0, 0) + b"{]",
        struct.pack("!IBI", 2, 0, 0) + b"[]",
    ],
)
async def test_what_is_no_frame_closes_the_stream(raw: tuple[End, socket.socket], data: bytes) -> None:
    end, other = raw
    other.send(data)
    assert isinstance(await end.lost, WireFault)
    assert not end.messages


async def test_the_other_end_that_closes_is_told_once(raw: tuple[End, socket.socket]) -> None:
    end, other = raw
    other.close()
    assert await end.lost is None
    end.wire.send({"is": "late"})
    end.wire.send_sounds([(1, b"\0\0")])
    end.wire.close()


async def test_a_reader_that_stalls_loses_sound_but_no_message(raw: tuple[End, socket.socket]) -> None:
    end, other = raw
    for _ in range(200):
        end.wire.send_sounds([(1, bytes(32_000))])
    end.wire.send({"is": "after"})
    other.setblocking(False)
    end.wire.close()
    received = bytearray()
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(other, 1 << 20):
        received += data
    assert received.endswith(control_frame({"is": "after"}))
    assert len(received) < 2_000_000


@pytest.mark.parametrize("order", [Start("127.0.0.1:5060", None, 4, 30000, 31999, 15), Flush(3), Ping(9)])
def test_orders_survive_the_stream(order: Start | Flush | Ping) -> None:
    assert order_of(told(order)) == order


def test_reports_survive_the_stream() -> None:
    for report in (Closed(4, "486 Busy"), Done(1, ok=False, status=404, why="no")):
        assert report_of(told(report)) == report


@pytest.mark.parametrize("said", [{}, {"is": "Fly"}, {"is": "Flush"}, {"is": "Flush", "call": 1, "more": 2}])
def test_a_message_that_nobody_knows_is_refused(said: Mapping[str, Json]) -> None:
    with pytest.raises(WireFault, match="a message"):
        order_of(said)
