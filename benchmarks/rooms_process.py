"""The processes of `benchmarks.rooms`: a worker of either side, told what to measure line by line, and the callers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from livekit import rtc
from livekit.agents import AgentSession

from benchmarks.children import say, words
from benchmarks.meter import Meter, threads
from benchmarks.talk import Desk, Talks, bare_session, caller_speech, open_talks
from runtime.logging import configure_logging
from runtime.settings import Settings
from runtime.store.memory import MemoryStore
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.rooms import agent_token
from runtime.voice.wav import frame_of
from tests.fakes.livekit_server import LiveKitServer
from tests.worker.rooms.desk import HoldingDesk
from worker.legs import Leg
from worker.rooms.source import open_rooms

Json = Any

_RATE: Final = 16000
_FRAME: Final = _RATE // 10


class _Side(Protocol):
    turns: int

    async def join(self, rooms: Sequence[str]) -> None: ...

    async def idle(self) -> None: ...


async def _serve(side: _Side) -> None:
    """Do as told: `join ROOM…`, `begin` and `end` of what is measured, `idle` when the callers have left."""
    meter, turns = Meter(), 0
    say("ready")
    async for line in words():
        word, *rooms = line.split()
        match word:
            case "join":
                await side.join(rooms)
                say("joined")
            case "begin":
                meter, turns = Meter(), side.turns
            case "end":
                say(meter.percent() | {"turns": side.turns - turns})
            case "idle":
                await side.idle()
                say(threads())
            case _:
                raise AssertionError(line)


# ---------------------------------------------------------------- sides


class _Patchbay(HoldingDesk):
    """A worker's source of rooms, and whole calls with engine and events."""

    def __init__(self, talks: Talks) -> None:
        super().__init__(places=1000)
        self.turns = 0
        self._talks = talks

    async def join(self, rooms: Sequence[str]) -> None:
        """The callers' tokens dispatch the worker."""

    async def idle(self) -> None:
        await self.until(lambda: self.running == 0)

    async def answer(self, leg: Leg) -> bool:
        await self._talks.hold(leg, self._turn)
        return True

    def _turn(self) -> None:
        self.turns += 1


@asynccontextmanager
async def _patchbay(settings: Settings) -> AsyncIterator[_Side]:
    async with open_talks(MemoryStore()) as talks:
        side = _Patchbay(talks)
        async with open_rooms(settings, side):
            yield side


class _LiveKit:
    """Bare AgentSessions in rooms as LiveKit ships them, all on one event loop, which is kinder than a process for each."""

    def __init__(self, settings: Settings) -> None:
        self.turns = 0
        self._settings = settings
        self._calls: list[tuple[rtc.Room, AgentSession[None]]] = []

    async def join(self, rooms: Sequence[str]) -> None:
        for name in rooms:
            room = rtc.Room()
            await room.connect(str(self._settings.livekit_url), agent_token(self._settings, name, "agent"))
            session = bare_session(self._turn)
            await session.start(Desk(instructions="Help."), room=room, record=False)
            self._calls.append((room, session))

    async def idle(self) -> None:
        for room, session in self._calls:
            await session.aclose()
            await room.disconnect()
        self._calls.clear()

    def _turn(self) -> None:
        self.turns += 1


@asynccontextmanager
async def _livekit(settings: Settings) -> AsyncIterator[_Side]:
    yield _LiveKit(settings)


_SIDES: Final[dict[str, Callable[[Settings], Any]]] = {"patchbay": _patchbay, "livekit": _livekit}


# ---------------------------------------------------------------- callers


async def _call(url: str, token: str, after_s: float, answered: Callable[[], None]) -> None:
    """Join, speak from `after_s` after the agent's sound is there, and go on until cancelled."""
    room, source, heard = rtc.Room(), rtc.AudioSource(_RATE, 1, queue_size_ms=400), asyncio.Event()
    room.on("track_subscribed", lambda *_: heard.set())
    await room.connect(url, token)
    try:
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await room.local_participant.publish_track(track, options)
        await heard.wait()
        answered()
        await asyncio.sleep(after_s)
        speech = caller_speech(_RATE)
        while True:
            for start in range(0, speech.size, _FRAME):
                await source.capture_frame(frame_of(speech[start : start + _FRAME], _RATE))
    finally:
        await room.disconnect()
        await source.aclose()


async def _callers(url: str, tokens: Sequence[str]) -> None:
    """Call with each token, their turns spread over the cycle, until the parent closes."""
    cycle_s = caller_speech(_RATE).size / _RATE
    there: list[asyncio.Event] = [asyncio.Event() for _ in tokens]
    calls = [
        spawn(_call(url, token, cycle_s * i / len(tokens) + 2.0, there[i].set), name="caller")
        for i, token in enumerate(tokens)
    ]
    for each in there:
        await each.wait()
    await asyncio.sleep(cycle_s + 2.0)
    say("talking")
    async for _ in words():
        pass
    await cancel_and_wait(*calls)


async def _worker(side: str, folder: str, port: str) -> None:
    settings = LiveKitServer(Path(folder), port=int(port)).settings(agent_name=f"bench-{side}")
    async with _SIDES[side](settings) as serving:
        await _serve(serving)


if __name__ == "__main__":
    configure_logging("error", "console")
    role, *rest = sys.argv[1:]
    asyncio.run(_callers(rest[0], rest[1:]) if role == "callers" else _worker(role, *rest))
    sys.stdout.flush()
    os._exit(0)  # native threads that call back while Python takes itself apart would abort it
