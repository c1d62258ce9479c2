"""With a client whose insides are not known, everything is done as the client does it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import numpy as np
import pytest
from livekit import rtc

from runtime.voice.audio import frame_of
from tests.runtime.voice.test_audio import settle
from worker.rooms import ffi


class Source:
    """A source of a version that nobody has seen: it has what is public."""

    def __init__(self) -> None:
        self.frames: list[int] = []

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        self.frames.append(frame.samples_per_channel)


async def test_another_version_sends_its_frames_itself_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffi, "KNOWN", False)
    source = Source()
    for size in (1, 2, 3):
        ffi.capture(cast("rtc.AudioSource", source), frame_of(np.zeros(size, dtype=np.int16), 8000))
    await settle()
    assert source.frames == [1, 2, 3]


async def test_another_version_hands_events_on_as_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffi, "KNOWN", False)
    ffi.narrow_room(cast("rtc.Room", object()))
    frames: list[rtc.AudioFrame] = []
    await ffi.read(cast("rtc.AudioStream", three()), frames.append)
    assert [frame.samples_per_channel for frame in frames] == [1, 2, 3]


async def three() -> AsyncIterator[rtc.AudioFrameEvent]:
    for size in (1, 2, 3):
        yield rtc.AudioFrameEvent(frame_of(np.zeros(size, dtype=np.int16), 8000))
