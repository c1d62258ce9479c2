"""WAV files of any kind, and calls recorded as stereo WAV."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import UsageFault
from runtime.voice.audio import Recorder, Samples, frame_of, read_wav, resample, write_stereo_wav

RATE = 8000


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
