"""PCM in and out of a session: the output's contract in virtual time, the input, WAV files and recordings."""

from __future__ import annotations

import asyncio
import io
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import rtc
from livekit.agents.voice.io import PlaybackFinishedEvent

from runtime.errors import UsageFault
from runtime.voice.audio import PcmInput, PcmOutput, Recorder, Samples, frame_of, read_wav, resample, write_stereo_wav

RATE = 8000


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.stopped_at: float | None = None

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        while self.stopped_at is not None and self.now + seconds >= self.stopped_at - 1e-9:  # noqa: ASYNC110 - virtual time
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

    async def test_detached_it_drops(self) -> None:
        source = PcmInput(rate=RATE)
        source.push(b"\0\0")
        source.on_detached()
        source.push(b"\0\0")
        source.on_attached()
        source.push(b"\0\0\0\0")
        source.close()
        assert [frame.samples_per_channel async for frame in source] == [2]


def tone(rate: int, seconds: float = 0.5, frequency: float = 440) -> Samples:
    at = np.arange(int(rate * seconds)) / rate
    return np.asarray(10000 * np.sin(2 * np.pi * frequency * at), dtype=np.int16)


def wav(samples: Samples, rate: int, *, width: int = 2, channels: int = 1) -> bytes:
    wide = samples.astype(np.int64)
    if width == 1:
        raw = ((wide >> 8) + 128).astype(np.uint8).tobytes()
    else:
        raw = b"".join(int(value << 8 * (width - 2)).to_bytes(width, "little", signed=True) for value in wide)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(raw)
    return file.getvalue()


def tagged(tag: int, sub_format: int | None = None) -> bytes:
    """Return a WAV file whose format tag says something else than plain PCM."""
    plain = bytearray(wav(tone(RATE), RATE))
    if sub_format is None:
        plain[20:22] = tag.to_bytes(2, "little")
        return bytes(plain)
    extension = (22).to_bytes(2, "little") + bytes(6) + sub_format.to_bytes(2, "little") + bytes(14)
    plain[20:22] = tag.to_bytes(2, "little")
    plain[4:8] = (len(plain) + 16).to_bytes(4, "little")
    plain[16:20] = (40).to_bytes(4, "little")
    return bytes(plain[:36] + extension + plain[36:])


class TestReadWav:
    @pytest.mark.parametrize("width", [1, 2, 3, 4])
    @pytest.mark.parametrize("rate", [8000, 16000, 44100])
    def test_any_width_and_rate(self, width: int, rate: int) -> None:
        samples = read_wav(wav(tone(rate), rate, width=width), rate=16000)
        assert samples.dtype == np.int16
        assert samples.size == 8000
        assert np.abs(samples[500:-500]).max() == pytest.approx(10000, abs=500)

    def test_stereo_is_mixed_down(self) -> None:
        both = np.stack([np.full(100, 1000), np.full(100, 3000)], axis=1).ravel().astype(np.int16)
        assert set(read_wav(wav(both, RATE, channels=2), rate=RATE).tolist()) == {2000}

    def test_extensible_pcm_is_pcm(self) -> None:
        np.testing.assert_array_equal(read_wav(tagged(0xFFFE, 1), rate=RATE), tone(RATE))

    def test_a_file_cut_short_gives_what_there_is(self) -> None:
        assert 0 < read_wav(wav(tone(RATE), RATE)[:-101], rate=RATE).size < tone(RATE).size

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "is not a WAV file"),
            (b"ID3\x03 an mp3", "is not a WAV file"),
            (b"RIFF\x00\x00\x00\x00WAVE", "is not a WAV file"),
            (wav(tone(RATE)[:0], RATE), "has no samples"),
            (wav(tone(RATE), RATE)[:30], "is not a WAV file"),
            (tagged(3), "is compressed or holds floating-point"),
            (tagged(7), "is compressed"),
            (tagged(0xFFFE, 3), "is compressed"),
        ],
    )
    def test_bad_files_are_named_with_a_remedy(self, tmp_path: Path, content: bytes, reason: str) -> None:
        path = tmp_path / "caller.wav"
        path.write_bytes(content)
        with pytest.raises(UsageFault, match=reason) as fault:
            read_wav(path)
        assert str(path) in fault.value.message
        assert fault.value.remedy

    @pytest.mark.parametrize("name", ["missing.wav", "."])
    def test_unreadable(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UsageFault, match="cannot be read"):
            read_wav(tmp_path / name)


class TestWriteAndRecord:
    def test_both_channels_with_the_shorter_filled(self, tmp_path: Path) -> None:
        path = tmp_path / "call.wav"
        write_stereo_wav(path, np.array([1, 2, 3], dtype=np.int16), np.array([9], dtype=np.int16), RATE)
        with wave.open(str(path)) as file:
            assert (file.getnchannels(), file.getframerate()) == (2, RATE)
            both = np.frombuffer(file.readframes(3), dtype=np.int16).reshape(-1, 2)
        assert both.tolist() == [[1, 9], [2, 0], [3, 0]]
        assert [each.name for each in tmp_path.iterdir()] == ["call.wav"]

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageFault, match="cannot be written"):
            write_stereo_wav(tmp_path / "no" / "call.wav", tone(RATE), tone(RATE), RATE)

    def test_a_target_that_is_a_folder_leaves_nothing_behind(self, tmp_path: Path) -> None:
        (tmp_path / "call.wav").mkdir()
        with pytest.raises(UsageFault, match="cannot be written"):
            write_stereo_wav(tmp_path / "call.wav", tone(RATE), tone(RATE), RATE)
        assert [each.name for each in tmp_path.iterdir()] == ["call.wav"]

    def test_sides_lie_where_they_were_heard(self, tmp_path: Path) -> None:
        recorder = Recorder(rate=RATE)
        recorder.add("agent", frame_of(np.full(800, 5, dtype=np.int16), RATE), at=0.5)
        recorder.add("caller", np.full(800, 7, dtype=np.int16), at=2.0)
        assert recorder.agent.size == 4800
        assert (recorder.agent[3999], recorder.agent[4000]) == (0, 5)
        assert (recorder.caller[15999], recorder.caller[16000]) == (0, 7)
        recorder.write(tmp_path / "call.wav")
        assert read_wav(tmp_path / "call.wav", rate=RATE).size == 16800

    def test_jitter_leaves_no_holes(self) -> None:
        recorder = Recorder(rate=RATE)
        for number in range(50):
            recorder.add("caller", np.ones(160, dtype=np.int16), at=number * 0.02 + (number % 3) * 0.005)
        assert recorder.caller.size == 8000
        assert recorder.caller.all()

    def test_other_rates_are_converted(self) -> None:
        recorder = Recorder(rate=16000)
        for number in range(50):
            recorder.add("agent", frame_of(tone(24000, 0.02), 24000), at=number * 0.02)
        assert recorder.agent.size == pytest.approx(16000, abs=400)

    def test_bounded(self) -> None:
        recorder = Recorder(rate=RATE, limit_s=1)
        recorder.add("caller", np.ones(16000, dtype=np.int16), at=0)
        recorder.add("caller", np.ones(160, dtype=np.int16), at=7)
        assert recorder.caller.size == 8000
        assert recorder.truncated


@given(length=st.integers(0, 3000), rates=st.tuples(*(st.sampled_from([8000, 16000, 22050, 24000, 44100, 48000]),) * 2))
def test_resampling_keeps_the_duration(length: int, rates: tuple[int, int]) -> None:
    out = resample(np.ones(length, dtype=np.int16), *rates)
    assert out.size == round(length * rates[1] / rates[0])
    assert out.dtype == np.int16
