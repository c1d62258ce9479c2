"""PCM in and out of an AgentSession: what the harness and the worker's own SIP line share."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from livekit import rtc
from livekit.agents.voice import io

from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.wav import Recorder, Samples, frame_of, read_wav, resample, samples_of, write_stereo_wav

__all__ = [
    "PcmInput",
    "PcmOutput",
    "Recorder",
    "Samples",
    "frame_of",
    "read_wav",
    "resample",
    "samples_of",
    "write_stereo_wav",
]

_LATE_S: Final = 0.1  # a pump that is later than this starts its clock anew instead of sending a burst
SAMPLE_BYTES: Final = 2
_BACKLOG = 1000  # frames: what a session that does not read may leave lying


class PcmInput(io.AudioInput):
    """What the caller says, pushed in from outside on the session's event loop. While detached it is dropped.

    Samples (no frames) are gathered until there are `gather_s` of them, or a multiple: each frame costs a session several
    tasks' wakings, and whoever listens in windows of that length loses no time by it.
    """

    def __init__(self, *, rate: int = 16000, gather_s: float = 0.0) -> None:
        super().__init__(label="PCM")
        self.rate = rate
        self._piece = round(rate * gather_s) * SAMPLE_BYTES or SAMPLE_BYTES
        self._rest = bytearray()
        self._frames: deque[rtc.AudioFrame] = deque(maxlen=_BACKLOG)
        self._changed = asyncio.Event()
        self._attached = True
        self._closed = False

    def push(self, audio: rtc.AudioFrame | Samples | bytes) -> None:
        """Hand over a frame, or mono s16 samples at `rate`. After `close` it is dropped."""
        if self._closed or not self._attached:
            return
        if isinstance(audio, rtc.AudioFrame):
            self._hand_on(audio)
            return
        self._rest += audio if isinstance(audio, bytes) else audio.tobytes()
        if whole := len(self._rest) - len(self._rest) % self._piece:
            self._hand_on(self._taken(whole))

    def _taken(self, size: int) -> rtc.AudioFrame:
        pcm = bytes(self._rest[:size])
        del self._rest[:size]
        return rtc.AudioFrame(pcm, self.rate, 1, size // SAMPLE_BYTES)

    def _hand_on(self, frame: rtc.AudioFrame) -> None:
        self._frames.append(frame)
        self._changed.set()

    def close(self) -> None:
        """End the stream: what was pushed is still read. Idempotent."""
        if self._rest:
            self._hand_on(self._taken(len(self._rest)))
        self._closed = True
        self._changed.set()

    def on_attached(self) -> None:
        self._attached = True

    def on_detached(self) -> None:
        self._attached = False
        self._frames.clear()
        self._rest.clear()

    async def __anext__(self) -> rtc.AudioFrame:
        while not self._frames:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._frames.popleft()


@dataclass(slots=True)
class _Segment:
    """One utterance of the agent, from its first captured frame to its flush."""

    queue: deque[Samples] = field(default_factory=deque)
    played: int = 0  # samples handed to the sink
    flushed: bool = False
    started: bool = False

    def take(self, size: int) -> Samples:
        """Return the next `size` samples, or as many as there are."""
        parts: list[Samples] = []
        while self.queue and size:
            part = self.queue.popleft()
            if part.size > size:
                self.queue.appendleft(part[size:])
                part = part[:size]
            parts.append(part)
            size -= part.size
        taken = np.concatenate(parts)
        self.played += taken.size
        return taken


class PcmOutput(io.AudioOutput):
    """What the agent says, handed to `on_frame(frame, at)` at the pace it is heard; `at` is the clock's time in seconds.

    Frames last `frame_ms`, the last of a segment as long as it is. Each segment reports its start at most once and its
    end exactly once; interrupted, its position is what was heard by then. All of it happens on the session's loop.
    `lead_s` is how far ahead of being heard a frame is handed on, for a sink that has a queue of its own: it keeps the
    sound whole while the loop is late, and whoever clears this output has to clear that queue too.
    `clock` and `sleep` are the loop's unless a test brings its own.
    """

    def __init__(
        self,
        on_frame: Callable[[rtc.AudioFrame, float], None],
        *,
        rate: int = 24000,
        frame_ms: int = 20,
        lead_s: float = 0.0,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(label="PCM", capabilities=io.AudioOutputCapabilities(pause=True), sample_rate=rate)
        self._on_frame = on_frame
        self._rate = rate
        self._size = rate * frame_ms // 1000
        self._lead_s = lead_s
        self._clock = clock or asyncio.get_running_loop().time
        self._sleep = sleep
        self._segments: deque[_Segment] = deque()
        self._capturing: _Segment | None = None
        self._changed = asyncio.Event()
        self._paused = False
        self._due: float | None = None  # when the frame that was last handed on has been heard
        self._pump: asyncio.Task[None] | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if frame.sample_rate != self._rate:
            raise ValueError(f"this output takes {self._rate} Hz, not {frame.sample_rate} Hz")
        if self._capturing is None:
            self._capturing = _Segment()
            self._segments.append(self._capturing)
        if self._capturing in self._segments and frame.samples_per_channel:  # not one that was cleared before its flush
            self._capturing.queue.append(samples_of(frame).copy())
        if self._pump is None or self._pump.done():
            self._pump = spawn(self._play(), name="pcm-output", on_error=None)
        self._changed.set()

    def flush(self) -> None:
        super().flush()
        if self._capturing is not None:
            self._capturing.flushed = True
            self._capturing = None
            self._changed.set()

    def clear_buffer(self) -> None:
        """Drop what has not been handed on and report every open segment as interrupted, at once."""
        while self._segments:
            self._finish(interrupted=True)
        self._due = None
        self._changed.set()

    def pause(self) -> None:
        super().pause()
        self._paused = True

    def resume(self) -> None:
        super().resume()
        self._paused = False
        self._changed.set()

    async def aclose(self) -> None:
        """Stop playing; open segments are reported as interrupted, so that nobody waits for ever. Idempotent."""
        self.flush()
        self.clear_buffer()
        if self._pump is not None:
            await cancel_and_wait(self._pump)

    async def _play(self) -> None:
        try:
            while True:
                await self._step()
        finally:  # a sink that raised: the agent must not wait for the rest
            self.clear_buffer()

    async def _step(self) -> None:
        segment = self._segments[0] if self._segments else None
        if segment is None or self._paused or not (segment.queue or segment.flushed):
            if not self._lead_s:
                self._due = None
            self._changed.clear()
            await self._changed.wait()
        elif segment.queue:
            await self._hand_on(segment)
        elif (unheard := self._unheard_s()) > 0:  # in slices, so that a clear is noticed
            await self._sleep(min(unheard, self._size / self._rate))
        else:
            self._finish(interrupted=False)

    async def _hand_on(self, segment: _Segment) -> None:
        now = self._clock()
        late_s = (
            0.0 if self._lead_s else _LATE_S
        )  # behind a lead the sink has been silent since, and nothing catches up
        due = now if self._due is None or now - self._due > late_s else self._due
        samples = segment.take(self._size)
        self._due = due + samples.size / self._rate
        if not segment.started:
            segment.started = True
            self.on_playback_started(created_at=time.time())
        self._on_frame(frame_of(samples, self._rate), due)
        await self._sleep(max(0.0, self._due - self._lead_s - self._clock()))

    def _unheard_s(self) -> float:
        """Return how much of what was handed on lies in the sink's queue."""
        return max(0.0, self._due - self._clock()) if self._lead_s and self._due is not None else 0.0

    def _finish(self, *, interrupted: bool) -> None:
        segment = self._segments.popleft()
        heard_s = max(0.0, segment.played / self._rate - self._unheard_s())
        self.on_playback_finished(playback_position=heard_s, interrupted=interrupted)
