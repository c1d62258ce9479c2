"""A LiveKit client as the telephone of a load test's caller: a browser's, or as LiveKit SIP brings one in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from livekit import rtc

from runtime.harness.load.caller import NotConnected
from runtime.harness.load.ear import Ear
from runtime.harness.load.results import Sound
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.wav import Samples, frame_of, samples_of

__all__ = ["RATE", "RoomLine"]

RATE: Final = 16000
_FRAME_MS: Final = 100
_FRAME: Final = RATE * _FRAME_MS // 1000
_AHEAD_MS: Final = 400  # for so long may the event loop be busy before the caller's voice stutters
_TICK_S: Final = 0.1
_KEY_S: Final = 0.2
_KEYS: Final = "0123456789*#ABCD"
_CLOSES_WITHIN_S: Final = 5.0


class RoomLine:
    """Implements `runtime.harness.load.caller.Line`; everything is on the running event loop.

    The microphone is only fed while the caller speaks: LiveKit's client sends silence by itself.
    `telephone`: the token is that of a SIP participant, whose status says when it was answered and hung up.
    """

    def __init__(self, url: str, token: str, *, telephone: bool = False) -> None:
        self._url = url
        self._token = token
        self._telephone = telephone
        self._room = rtc.Room()
        self._ear = Ear(RATE)
        self._source = rtc.AudioSource(RATE, 1, queue_size_ms=_AHEAD_MS)
        self._track: rtc.Track | None = None
        self._streams: list[rtc.AudioStream] = []
        self._figures = Sound()
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._over = False
        self._left = False

    @property
    def ear(self) -> Ear:
        return self._ear

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def answered(self) -> bool:
        return bool(self._streams)

    @property
    def over(self) -> bool:
        return self._over

    async def dial(self) -> None:
        self._room.on("track_subscribed", self._subscribed)
        self._room.on("disconnected", self._disconnected)
        try:
            await self._room.connect(self._url, self._token)
        except rtc.ConnectError as error:
            raise NotConnected(error.message) from None
        microphone = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self._room.local_participant.publish_track(microphone, options)

    async def until(self, condition: Callable[[], bool], *, within_s: float) -> bool:
        deadline = self.now + within_s
        while not condition():
            if self._over or self.now >= deadline:
                return condition()
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_TICK_S, deadline - self.now)):
                    await self._changed.wait()
        return True

    async def say(self, samples: Samples) -> tuple[float, float]:
        began = self.now + self._source.queued_duration
        for start in range(0, samples.size, _FRAME):
            await self._source.capture_frame(frame_of(samples[start : start + _FRAME], RATE))
        ended = max(self.now + self._source.queued_duration, began + samples.size / RATE)
        await asyncio.sleep(max(0.0, ended - self.now))
        self._tasks.append(spawn(self._ask_for_figures(), name="load.figures"))
        return began, ended

    async def press(self, keys: str) -> float:
        at = self.now
        for key in keys:
            if self._over:
                break
            await self._room.local_participant.publish_dtmf(code=_KEYS.index(key), digit=key)
            at = self.now
            await asyncio.sleep(_KEY_S)
        return at

    async def sound(self) -> Sound:
        await self._ask_for_figures()
        ear = self._ear
        return replace(
            self._figures,
            heard_s=round(ear.heard_s, 2),
            gaps=ear.gaps,
            longest_gap_ms=round(ear.longest_gap_s * 1000, 1),
        )

    async def hang_up(self) -> None:
        if self._left:
            return
        self._left = True
        await cancel_and_wait(*self._tasks)
        if self._telephone and not self._over:
            await _bounded(self._say_status("hangup"))
        await _bounded(self._room.disconnect())
        for stream in self._streams:
            await _bounded(stream.aclose())
        await _bounded(self._source.aclose())

    # ------------------------------------------------------------ what the room tells

    def _subscribed(self, track: rtc.Track, _publication: object, participant: rtc.RemoteParticipant) -> None:
        agents = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        if track.kind != rtc.TrackKind.KIND_AUDIO or participant.kind != agents or self._left:
            return
        if self._telephone and not self._streams:
            self._tasks.append(spawn(self._say_status("active"), name="load.answered"))
        self._track = track
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=_FRAME_MS)
        self._streams.append(stream)
        self._tasks.append(spawn(self._listen(stream), name="load.ear"))
        self._changed.set()

    def _disconnected(self, *_reason: object) -> None:
        self._over = True
        self._changed.set()

    async def _listen(self, stream: rtc.AudioStream) -> None:
        async for event in stream:
            self._ear.hear(samples_of(event.frame), self.now)
            self._changed.set()

    async def _say_status(self, status: str) -> None:
        """As LiveKit SIP does: the worker of a telephone call looks at this attribute."""
        await self._room.local_participant.set_attributes({"sip.callStatus": status})

    async def _ask_for_figures(self) -> None:
        """Ask WebRTC while there is a connection; what it said last stays."""
        if self._track is None or self._over:
            return
        with suppress(Exception):  # LiveKit raises this very class, and a figure is not worth a call
            async with asyncio.timeout(_CLOSES_WITHIN_S):
                for stats in await self._track.get_stats():
                    if stats.HasField("inbound_rtp"):
                        self._figures = _figures(stats.inbound_rtp)


def _figures(stats: Any) -> Sound:
    """Return WebRTC's own account of a track that is received (its `inbound-rtp`)."""
    received, inbound = stats.received, stats.inbound
    audible = inbound.total_samples_received - inbound.silent_concealed_samples
    made_up = inbound.concealed_samples - inbound.silent_concealed_samples
    return Sound(
        concealed=round(max(0, made_up) / audible, 5) if audible > 0 else 0.0,
        packets=received.packets_received,
        packets_lost=max(0, received.packets_lost),
        jitter_ms=round(received.jitter * 1000, 2),
    )


async def _bounded(closing: Coroutine[Any, Any, object]) -> None:
    """A part that does not close is left behind: the next call is to be made."""
    with suppress(Exception):  # whatever it is, the call is over
        async with asyncio.timeout(_CLOSES_WITHIN_S):
            await closing
