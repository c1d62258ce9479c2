"""A LiveKit client as the caller of a room: speaks, listens, presses keys, leaves or vanishes; also as LiveKit SIP does."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from livekit import api, rtc

from runtime.harness.voice import speech
from runtime.settings import Settings
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.audio import Samples, frame_of, samples_of
from runtime.voice.rooms import Server

__all__ = [
    "RATE",
    "CallerProcess",
    "Heard",
    "RoomCaller",
    "caller_process",
    "sip_attributes",
    "sip_token",
    "stranger_token",
]

RATE: Final = 16000
LOUD: Final = 300.0  # root mean square of a frame: Opus makes silence nearly silent
_FRAME: Final = RATE // 50
_KEYS: Final = "0123456789*#ABCD"


def sip_attributes(caller: str = "+15550199", dialled: str = "+15550100", **more: str) -> dict[str, str]:
    """Return the attributes of a SIP participant as they were recorded from a real livekit-sip."""
    return {
        "sip.callID": "SCL_tests",
        "sip.callIDFull": "1-2345@127.0.0.1",
        "sip.callTag": "tag-of-the-tests",
        "sip.callStatus": "ringing",
        "sip.phoneNumber": caller,
        "sip.trunkPhoneNumber": dialled,
        "sip.trunkID": "ST_tests",
        "sip.ruleID": "SDR_tests",
        "sip.hostname": "127.0.0.1",
    } | more


def sip_token(
    settings: Settings, room: str, *, attributes: Mapping[str, str] | None = None, identity: str | None = None
) -> str:
    """Return a token with which a client joins as livekit-sip's participant does: its kind, identity and attributes."""
    given = dict(sip_attributes() if attributes is None else attributes)
    token = _token(settings, room, identity or f"sip_{given['sip.phoneNumber']}")
    return token.with_kind("sip").with_attributes(given).to_jwt()


def stranger_token(settings: Settings, room: str, identity: str = "stranger") -> str:
    """Return a token of somebody who may do all that a participant can be allowed to."""
    return _token(settings, room, identity).to_jwt()


def _token(settings: Settings, room: str, identity: str) -> api.AccessToken:
    grants = api.VideoGrants(room_join=True, room=room, can_publish_data=True, can_update_own_metadata=True)
    token = Server.of(settings).token().with_identity(identity).with_grants(grants)
    return token.with_ttl(timedelta(minutes=5))


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame of what the agent said, and when it came (the loop's time, seconds)."""

    at: float
    samples: Samples
    loud: bool


class RoomCaller:
    """Joins with `async with`, its microphone open and silent; everything is on the running event loop.

    What is said waits `ahead_ms` in the microphone: for so long may the loop be busy before the voice stutters.
    """

    def __init__(self, url: str, token: str, *, ahead_ms: int = 100) -> None:
        self._url = url
        self._token = token
        self.room = rtc.Room()
        self.heard: list[Heard] = []
        self._loud_at: list[
            float
        ] = []  # when what was loud came: a long call's frames are too many to be asked each time
        self.tracks: list[str] = []  # the identities of those whose sound is received
        self.left = asyncio.Event()  # no longer in the room, whoever wanted it
        self._queue: deque[Samples] = deque()
        self._quiet = asyncio.Event()
        self._changed = asyncio.Event()
        self._source = rtc.AudioSource(RATE, 1, queue_size_ms=ahead_ms)
        self._tasks: list[asyncio.Task[None]] = []
        self._streams: list[rtc.AudioStream] = []

    async def __aenter__(self) -> Self:
        await self.join()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.leave()

    async def join(self) -> None:
        """Join, and publish the microphone."""
        self.room.on("track_subscribed", self._subscribed)
        self.room.on("disconnected", lambda *_: self.left.set())
        await self.room.connect(self._url, self._token)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self.room.local_participant.publish_track(track, options)
        self._tasks.append(spawn(self._speak(), name="caller's microphone"))

    async def say(self, words: str | Samples) -> None:
        """Say a text (in a synthetic voice) or samples at 16 kHz; returns when the last one has been sent."""
        self._queue.append(await speech(words) if isinstance(words, str) else words)
        self._quiet.clear()
        await self._quiet.wait()

    async def press(self, keys: str) -> None:
        """Press keys."""
        for key in keys:
            await self.room.local_participant.publish_dtmf(code=_KEYS.index(key), digit=key)

    async def set_attributes(self, **changed: str) -> None:
        """Change attributes; a dot is written as two underscores (`sip__callStatus`)."""
        await self.room.local_participant.set_attributes(
            {name.replace("__", "."): text for name, text in changed.items()}
        )

    async def hears(self, after: float | None = None) -> float:
        """Wait until the agent is heard (later than `after`, by default than now), and return when that was."""
        start = self.now if after is None else after
        await self.until(lambda: bool(self._loud_at) and self._loud_at[-1] > start)
        return self._loud_at[bisect_right(self._loud_at, start)]

    async def silence(self, seconds: float) -> None:
        """Wait until nothing loud has been heard for so long."""
        start = self.now
        await self.until(lambda: self.now - max(start, *self._loud_at[-1:]) >= seconds)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; it is asked whenever something is heard."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def leave(self) -> None:
        """Say goodbye and go. Idempotent."""
        await cancel_and_wait(*self._tasks)
        self._tasks.clear()
        await self.room.disconnect()
        for stream in self._streams:
            await stream.aclose()
        self._streams.clear()
        await self._source.aclose()

    async def _speak(self) -> None:
        current = np.zeros(0, dtype=np.int16)
        while True:
            if current.size < _FRAME and self._queue:
                current = np.concatenate([current, self._queue.popleft()])
            frame, current = current[:_FRAME], current[_FRAME:]
            if not frame.size:
                self._quiet.set()
            await self._source.capture_frame(frame_of(np.pad(frame, (0, _FRAME - frame.size)), RATE))

    def _subscribed(self, track: rtc.Track, _publication: object, participant: rtc.RemoteParticipant) -> None:
        self.tracks.append(participant.identity)
        if track.kind == rtc.TrackKind.KIND_AUDIO and participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=20)
            self._streams.append(stream)
            self._tasks.append(spawn(self._listen(stream), name="caller's ear"))

    async def _listen(self, stream: rtc.AudioStream) -> None:
        async for event in stream:
            heard = Heard(self.now, samples := samples_of(event.frame).copy(), _is_loud(samples))
            self.heard.append(heard)
            if heard.loud:
                self._loud_at.append(heard.at)
            self._changed.set()


def _is_loud(samples: Samples) -> bool:
    return bool(np.sqrt(np.mean(samples.astype(np.float64) ** 2)) > LOUD)


@dataclass(frozen=True, slots=True)
class CallerProcess:
    """A caller in a process of their own, which can vanish."""

    process: subprocess.Popen[bytes]

    def vanish(self) -> None:
        """Kill the process: no goodbye to anybody. Idempotent."""
        self.process.kill()
        self.process.wait()


@contextmanager
def caller_process(url: str, token: str) -> Iterator[CallerProcess]:
    """Run a silent caller in a process of their own, in the room when this yields."""
    command = [sys.executable, "-m", "tests.fakes.room_caller", url, token]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    caller = CallerProcess(process)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"joined\n"
        yield caller
    finally:
        caller.vanish()
        assert process.stdout is not None
        process.stdout.close()


async def _stay(url: str, token: str) -> None:
    async with RoomCaller(url, token) as caller:
        print("joined", flush=True)  # noqa: T201 - what the parent waits for
        await caller.left.wait()


def _main() -> Any:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("token")
    given = parser.parse_args()
    asyncio.run(_stay(given.url, given.token))


if __name__ == "__main__":
    _main()
