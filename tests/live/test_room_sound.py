"""What a worker's rooms leave behind, and who is told of what, on a real livekit-server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto.ffi_pb2 import FfiEvent

from runtime.voice.audio import frame_of
from runtime.voice.rooms import agent_token
from tests.fakes.livekit_server import LiveKitServer, livekit_server
from tests.fakes.room_caller import RATE, RoomCaller, stranger_token
from worker.rooms import ffi
from worker.rooms.sound import VOICE_RATE, Ears, Mouth

pytestmark = pytest.mark.live

ANNA = "anna"


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    with livekit_server(tmp_path_factory.mktemp("livekit")) as server:
        yield server


class Pair:
    """A caller and an agent's ears and mouth in one room."""

    def __init__(self, caller: RoomCaller, room: rtc.Room) -> None:
        self.caller = caller
        self.room = room
        self.ears = Ears(room, ANNA)
        self.mouth = Mouth(room)

    async def speak(self, seconds: float) -> None:
        """Have the agent hum."""
        wave = 8000 * np.sin(2 * np.pi * 300 * np.arange(round(seconds * VOICE_RATE)) / VOICE_RATE)
        await self.mouth.capture_frame(frame_of(wave.astype(np.int16), VOICE_RATE))
        self.mouth.flush()

    async def hears(self) -> None:
        """Wait until the agent's ears hear something loud."""
        async for frame in self.ears:
            if np.abs(np.frombuffer(frame.data, dtype=np.int16)).max() > 1000:
                return


@asynccontextmanager
async def pair(server: LiveKitServer) -> AsyncIterator[Pair]:
    settings, name = server.settings(), f"sound-{uuid.uuid4().hex[:8]}"
    room = rtc.Room()
    async with RoomCaller(server.url, stranger_token(settings, name, ANNA)) as caller:
        await room.connect(server.url, agent_token(settings, name, "agent"))
        ffi.narrow_room(room)
        both = Pair(caller, room)
        try:
            yield both
        finally:
            await both.ears.aclose()
            await both.mouth.aclose()
            await room.disconnect()


def native() -> list[str]:
    """Return the names of the threads that a room's sound has for itself."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            names.append((task / "comm").read_text().strip())
    return sorted(name for name in names if name.startswith("Audio"))


async def until_left(before: list[str]) -> None:
    """Wait until there are no more such threads than before."""
    while len(native()) > len(before):  # noqa: ASYNC110 - the kernel tells nobody
        await asyncio.sleep(0.05)


async def test_a_room_is_told_of_its_own_events_and_sounds_alone(livekit: LiveKitServer) -> None:
    ffi.open_client()
    assert ffi.KNOWN, "worker/rooms/ffi.py was written for another livekit.rtc: read it again"
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(pair(livekit)) for _ in range(2)]
        mine = first.room._ffi_handle.handle  # type: ignore[union-attr]
        told = told_of(second.room)
        noise = np.full(RATE // 2, 12000, dtype=np.int16)
        noise[::2] *= -1
        await asyncio.gather(first.caller.say(noise), second.caller.say(noise), first.hears(), second.hears())
        await first.speak(0.5)
        await first.caller.hears(0.0)
        await first.room.local_participant.set_attributes({"a": "b"})
        await second.room.local_participant.set_attributes({"a": "b"})
        async with asyncio.timeout(10):
            while second.room.local_participant.attributes.get("a") != "b":  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.05)
    assert told
    assert mine not in told


def told_of(room: rtc.Room) -> list[int]:
    """Return the rooms whose events this one is given from now on; it still gets each of them."""
    rooms: list[int] = []
    put = room._ffi_queue.put_nowait

    def noted(event: FfiEvent) -> None:
        if event.WhichOneof("message") == "room_event":
            rooms.append(event.room_event.room_handle)
        put(event)

    room._ffi_queue.put_nowait = noted
    return rooms


async def test_the_native_log_is_not_sent_through_python(
    livekit: LiveKitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ffi.open_client()
    seen: list[int] = []
    monkeypatch.setattr("livekit.rtc._ffi_client.to_python_level", seen.append)
    async with pair(livekit) as both:
        await both.speak(0.3)
        await both.caller.hears(0.0)
    assert not seen


async def test_a_pause_is_heard_at_once_and_loses_no_word(livekit: LiveKitServer) -> None:
    async with pair(livekit) as both:
        await both.speak(3.0)
        await both.caller.hears(0.0)
        both.mouth.pause()
        await both.caller.silence(0.5)
        resumed_at = both.caller.now
        both.mouth.resume()
        await both.caller.hears(resumed_at)
        finished = await both.mouth.wait_for_playout()
        await both.caller.silence(0.5)
        loud_s = sum(each.samples.size / RATE for each in both.caller.heard if each.loud)
    assert not finished.interrupted
    assert loud_s == pytest.approx(3.0, abs=0.4)  # what lies on the way when it pauses may be heard a little longer


async def test_rooms_that_are_closed_leave_no_thread_and_no_listener_behind(livekit: LiveKitServer) -> None:
    async with pair(livekit) as both:
        await both.speak(0.1)
    before, listeners = native(), len(FfiClient.instance.queue._subscribers)
    for _ in range(3):
        async with AsyncExitStack() as stack:
            several = [await stack.enter_async_context(pair(livekit)) for _ in range(2)]
            await asyncio.gather(*(each.speak(0.1) for each in several))
            assert len(native()) > len(before)
        await until_left(before)
    assert len(FfiClient.instance.queue._subscribers) == listeners
