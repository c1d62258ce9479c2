"""Sound in and out of an AgentSession without a room, the same for all sides, and how late what is heard comes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

from livekit import rtc
from livekit.agents.voice import io

__all__ = ["FRAME_S", "IN_RATE", "OUT_RATE", "Ears", "Mouth"]

IN_RATE: Final = 16000
OUT_RATE: Final = 24000
FRAME_S: Final = 0.02


class Ears(io.AudioInput):
    """What the caller says, pushed in by a clock."""

    def __init__(self) -> None:
        super().__init__(label="ears")
        self._frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()

    def push(self, frame: rtc.AudioFrame) -> None:
        self._frames.put_nowait(frame)

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.get()


@dataclass(slots=True)
class _Segment:
    """One utterance: seconds that lie there, and seconds that have been heard."""

    there_s: float = 0.0
    heard_s: float = 0.0
    flushed: bool = False
    cleared: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Mouth(io.AudioOutput):
    """What the agent says, heard in frames of 20 ms at the pace of speech; `late_ms` grows by each frame's lateness.

    A frame is due 20 ms after the one before it; the first of an utterance, or after a gap, when it is there.
    `first_at` is when the first frame of the newest utterance was heard (`time.perf_counter`).
    """

    def __init__(self) -> None:
        super().__init__(label="mouth", capabilities=io.AudioOutputCapabilities(pause=True), sample_rate=OUT_RATE)
        self.late_ms: list[float] = []
        self.first_at = 0.0
        self.utterances = 0
        self._segment: _Segment | None = None
        self._last: _Segment | None = None
        self._playing: set[asyncio.Task[None]] = set()
        self._unpaused = asyncio.Event()
        self._unpaused.set()

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if self._segment is None:
            self._segment = _Segment()
            task = asyncio.create_task(self._play(self._segment))  # noqa: TID251 - Patchbay is not in this environment
            self._playing.add(task)
            task.add_done_callback(self._playing.discard)
        self._segment.there_s += frame.duration
        self._segment.changed.set()

    def flush(self) -> None:
        super().flush()
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.flushed = True
            segment.changed.set()
            self._last = segment

    def clear_buffer(self) -> None:
        for segment in (self._segment, self._last):
            if segment is not None:
                segment.cleared = segment.flushed = True
                segment.changed.set()
        self._segment = None
        self._unpaused.set()  # what was paused is over

    def pause(self) -> None:
        super().pause()
        self._unpaused.clear()

    def resume(self) -> None:
        super().resume()
        self._unpaused.set()

    async def _play(self, segment: _Segment) -> None:
        self.utterances += 1
        due = self.first_at = time.perf_counter()
        self.on_playback_started(created_at=time.time())
        while not segment.cleared:
            if not self._unpaused.is_set():
                await self._unpaused.wait()
                due = time.perf_counter()
            elif segment.there_s - segment.heard_s > 0:
                self.late_ms.append(1e3 * max(0.0, time.perf_counter() - due))
                segment.heard_s = min(segment.there_s, segment.heard_s + FRAME_S)
                due += FRAME_S
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            elif segment.flushed:
                break
            else:
                segment.changed.clear()
                await segment.changed.wait()
                due = time.perf_counter()
        self.on_playback_finished(playback_position=segment.heard_s, interrupted=segment.cleared)
