"""PCM in and out of a session: the output's contract in virtual time, and the input."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.voice.io import PlaybackFinishedEvent

from runtime.voice.audio import PcmInput, PcmOutput, frame_of, samples_of

RATE = 8000


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.stopped_at: float | None = None

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        for _ in range(100_000):
            if self.stopped_at is None or self.now + seconds < self.stopped_at - 1e-9:
                break
            await asyncio.sleep(0)
        self.now += seconds
        await asyncio.sleep(0)


class Line:
    """An output with everything it did."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.heard: list[tuple[int, float]] = []  # samples and when, from the start
        self.started = 0
        self.finished: list[PlaybackFinishedEvent] = []
        self.out = PcmOutput(self._hear, rate=RATE, clock=self.clock, sleep=self.clock.sleep)
        self.out.on("playback_started", lambda _event: self._start())
        self.out.on("playback_finished", self.finished.append)

    def _hear(self, frame: rtc.AudioFrame, at: float) -> None:
        self.heard.append((frame.samples_per_channel, round(at - 100, 6)))

    def _start(self) -> None:
        self.started += 1

    async def say(self, *lengths: int) -> None:
        for length in lengths:
            await self.out.capture_frame(frame_of(np.ones(length, dtype=np.int16), RATE))

    @property
    def ends(self) -> list[tuple[float, bool]]:
        return [(round(event.playback_position, 6), event.interrupted) for event in self.finished]


@pytest.fixture
async def line():  # noqa: ANN201
    line = Line()
    yield line
    await line.out.aclose()


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


class TestOutput:
    async def test_paces_frames_and_reports_each_segment_once(self, line: Line) -> None:
        await line.say(400, 40)
        line.out.flush()
        event = await line.out.wait_for_playout()
        assert line.heard == [(160, 0.0), (160, 0.02), (120, 0.04)]
        assert (event.playback_position, event.interrupted) == (0.055, False)
        assert (line.started, line.ends) == (1, [(0.055, False)])
        assert line.clock.now == pytest.approx(100.055)

    async def test_segments_follow_each_other_without_a_gap(self, line: Line) -> None:
        await line.say(160)
        line.out.flush()
        await line.say(160)
        line.out.flush()
        await line.out.wait_for_playout()
        assert line.heard == [(160, 0.0), (160, 0.02)]
        assert (line.started, line.ends) == (2, [(0.02, False), (0.02, False)])

    async def test_interrupted_reports_what_was_heard_at_once(self, line: Line) -> None:
        line.clock.stopped_at = 100.06
        await line.say(8000)
        line.out.flush()
        await settle()
        line.out.clear_buffer()
        assert line.ends == [(0.06, True)]
        line.out.clear_buffer()
        await settle()
        assert len(line.heard) == 3
        assert line.ends == [(0.06, True)]

    async def test_cleared_before_its_first_frame_never_started(self, line: Line) -> None:
        await line.say(8000)
        line.out.flush()
        line.out.clear_buffer()
        await line.out.wait_for_playout()
        assert (line.started, line.ends) == (0, [(0.0, True)])

    async def test_what_is_captured_after_a_clear_is_dropped_until_the_flush(self, line: Line) -> None:
        line.clock.stopped_at = 100.02
        await line.say(160)
        await settle()
        line.out.clear_buffer()
        await line.say(160, 160)
        line.out.flush()
        await settle()
        assert line.ends == [(0.02, True)]
        line.clock.stopped_at = None
        await line.say(80)
        line.out.flush()
        await line.out.wait_for_playout()
        assert line.ends == [(0.02, True), (0.01, False)]

    async def test_starved_segment_goes_on_when_more_comes(self, line: Line) -> None:
        await line.say(160)
        await settle()
        assert line.ends == []
        line.clock.now += 5
        await line.say(160)
        line.out.flush()
        await line.out.wait_for_playout()
        assert line.heard == [(160, 0.0), (160, 5.02)]
        assert (line.started, line.ends) == (1, [(0.04, False)])

    async def test_pause_holds_and_resume_goes_on(self, line: Line) -> None:
        assert line.out.can_pause
        line.out.pause()
        await line.say(320)
        line.out.flush()
        await settle()
        assert (line.started, line.heard) == (0, [])
        line.clock.now += 3
        line.out.resume()
        await line.out.wait_for_playout()
        assert line.heard == [(160, 3.0), (160, 3.02)]

    async def test_empty_flush_and_empty_frame(self, line: Line) -> None:
        line.out.flush()
        line.out.clear_buffer()
        assert line.ends == []
        await line.say(0)
        line.out.flush()
        await line.out.wait_for_playout()
        assert (line.started, line.ends) == (0, [(0.0, False)])

    async def test_closing_leaves_nobody_waiting(self, line: Line) -> None:
        line.clock.stopped_at = 100.02
        await line.say(8000)
        waiting = asyncio.gather(line.out.wait_for_playout())
        await settle()
        await line.out.aclose()
        await line.out.aclose()
        assert (await waiting)[0].interrupted
        assert line.ends == [(0.02, True)]

    async def test_a_raising_sink_ends_the_segment(self) -> None:
        def sink(_frame: rtc.AudioFrame, _at: float) -> None:
            raise OSError("no line")

        out = PcmOutput(sink, rate=RATE)
        await out.capture_frame(frame_of(np.ones(800, dtype=np.int16), RATE))
        out.flush()
        assert (await out.wait_for_playout()).interrupted
        await out.aclose()

    async def test_another_rate_is_refused(self, line: Line) -> None:
        with pytest.raises(ValueError, match="takes 8000 Hz"):
            await line.out.capture_frame(frame_of(np.ones(10, dtype=np.int16), 16000))


class TestInput:
    async def test_yields_what_is_pushed_and_ends(self) -> None:
        source = PcmInput(rate=RATE)
        source.push(np.arange(4, dtype=np.int16))
        source.push(np.arange(2, dtype=np.int16).tobytes())
        source.close()
        source.push(b"\0\0")
        frames = [frame async for frame in source]
        assert [(frame.samples_per_channel, frame.sample_rate) for frame in frames] == [(4, RATE), (2, RATE)]

    async def test_waits_for_the_next_frame(self) -> None:
        source = PcmInput(rate=RATE)
        asyncio.get_running_loop().call_soon(source.push, b"\1\0")
        assert (await anext(source)).samples_per_channel == 1
        asyncio.get_running_loop().call_soon(source.close)
        with pytest.raises(StopAsyncIteration):
            await anext(source)

    async def test_gathers_what_comes_in_pieces(self) -> None:
        source = PcmInput(rate=RATE, gather_s=4 / RATE)
        pushed = np.arange(19, dtype=np.int16)
        for start, end in ((0, 3), (3, 5), (5, 15), (15, 15), (15, 19)):
            source.push(pushed[start:end])
        source.close()
        frames = [samples_of(frame) async for frame in source]
        assert [frame.size for frame in frames] == [4, 8, 4, 3]
        assert np.array_equal(np.concatenate(frames), pushed)

    async def test_detached_it_drops(self) -> None:
        source = PcmInput(rate=RATE)
        source.push(b"\0\0")
        source.on_detached()
        source.push(b"\0\0")
        source.on_attached()
        source.push(b"\0\0\0\0")
        source.close()
        assert [frame.samples_per_channel async for frame in source] == [2]
