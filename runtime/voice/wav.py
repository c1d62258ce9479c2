"""Samples in files: WAV of any common kind read, calls recorded as stereo WAV."""

from __future__ import annotations

import io
import math
import tempfile
import wave
from pathlib import Path
from typing import Literal, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from livekit import rtc

from runtime.errors import UsageFault

__all__ = ["Recorder", "Resampler", "Samples", "frame_of", "read_wav", "resample", "samples_of", "write_stereo_wav"]

Samples: TypeAlias = npt.NDArray[np.int16]

_REMEDY = "Convert it: ffmpeg -i INPUT -ac 1 -c:a pcm_s16le OUTPUT.wav"
_PCM_TAG = (1).to_bytes(2, "little")
_EXTENSIBLE_TAG = (0xFFFE).to_bytes(2, "little")
_JITTER_S = 0.04


def frame_of(samples: Samples, rate: int) -> rtc.AudioFrame:
    """Return mono samples as a frame of LiveKit's."""
    return rtc.AudioFrame(samples.tobytes(), rate, 1, samples.size)


def samples_of(frame: rtc.AudioFrame) -> Samples:
    """Return a frame's samples, several channels mixed down to one."""
    samples: Samples = np.frombuffer(frame.data, dtype=np.int16)
    if frame.num_channels == 1:
        return samples
    return np.asarray(samples.reshape(-1, frame.num_channels).mean(axis=1), dtype=np.int16)


class Resampler:
    """Changes the rate (Hz) of one stream of mono samples. The same samples give the same samples.

    LiveKit's own resampler adds a random dither, which made a recogniser hear one recording in two ways.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._from_rate = from_rate
        self._swr = av.AudioResampler(format="s16", layout="mono", rate=to_rate)

    def push(self, pcm: Samples) -> Samples:
        """Return what is ready; the rest comes with the next samples, or with `flush`."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = self._from_rate
        return _joined(self._swr.resample(frame))

    def flush(self) -> Samples:
        """Return the rest; the stream has ended."""
        return _joined(self._swr.resample(None))


def _joined(frames: list[av.AudioFrame]) -> Samples:
    parts = [np.asarray(frame.to_ndarray(), dtype=np.int16).ravel() for frame in frames]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int16)


def resample(pcm: Samples, from_rate: int, to_rate: int) -> Samples:
    """Return mono samples at another rate (Hz); the result lasts as long, to the sample."""
    if from_rate == to_rate or not pcm.size:
        return pcm
    resampler = Resampler(from_rate, to_rate)
    out = np.concatenate((resampler.push(pcm), resampler.flush()))
    wanted = round(pcm.size * to_rate / from_rate)
    return np.pad(out[:wanted], (0, max(0, wanted - out.size)))


def read_wav(source: str | Path | bytes, rate: int = 16000) -> Samples:
    """Return a WAV file, or its bytes, as mono samples at `rate` Hz.

    PCM of 8, 16, 24 or 32 bits, any rate and number of channels. Raises UsageFault naming the file and what to do.
    """
    name = "The audio" if isinstance(source, bytes) else f"'{source}'"
    data = source if isinstance(source, bytes) else _read(Path(source))
    try:
        with wave.open(io.BytesIO(_plain(data))) as file:
            channels, width, own_rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        reason = (
            "is compressed or holds floating-point numbers" if "unknown format" in str(error) else "is not a WAV file"
        )
        raise UsageFault(f"{name} {reason} ({str(error) or 'it ends too early'}).", remedy=_REMEDY) from error
    if width not in {1, 2, 3, 4} or not channels or not own_rate:
        raise UsageFault(f"{name} has samples of {width * 8} bits, which cannot be read.", remedy=_REMEDY)
    samples = _mono(raw, width, channels)
    if not samples.size:
        raise UsageFault(f"{name} has no samples.", remedy="Record something, or leave the file out.")
    return resample(samples, own_rate, rate)


def write_stereo_wav(path: str | Path, left: Samples, right: Samples, rate: int) -> None:
    """Write two channels (s16, `rate` Hz), the shorter filled with silence; the file is there complete or not at all.

    Raises UsageFault when it cannot be written.
    """
    target, length = Path(path), max(left.size, right.size)
    both = np.zeros((length, 2), dtype="<i2")
    both[: left.size, 0] = left
    both[: right.size, 1] = right
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as temporary:
            _write(Path(temporary.name), both, rate, target)
    except OSError as error:
        raise UsageFault(
            f"'{path}' cannot be written: {error.strerror or error}.",
            remedy="Name a file in a folder that exists and is writable.",
        ) from error


def _write(temporary: Path, both: npt.NDArray[np.int16], rate: int, target: Path) -> None:
    try:
        with wave.open(str(temporary), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(both.tobytes())
        temporary.replace(target)
    except OSError:
        temporary.unlink()
        raise


class Recorder:
    """Puts both sides of a call on one timeline in memory: the caller on the left, the agent on the right.

    At 16 kHz an hour takes 230 MB; what comes after `limit_s` is left out and `truncated` says so.
    """

    def __init__(self, *, rate: int = 16000, limit_s: float = 3600) -> None:
        self.rate = rate
        self.truncated = False
        self._limit = int(limit_s * rate)
        self._tracks: dict[Literal["caller", "agent"], _Track] = {"caller": _Track(rate), "agent": _Track(rate)}

    def add(self, side: Literal["caller", "agent"], frame: rtc.AudioFrame | Samples, at: float) -> None:
        """Place audio `at` seconds from the start of the recording; samples are mono at the recorder's rate."""
        samples = self._tracks[side].convert(frame) if isinstance(frame, rtc.AudioFrame) else frame
        start = self._tracks[side].place(round(max(0.0, at) * self.rate))
        room = max(0, self._limit - start)
        self.truncated = self.truncated or samples.size > room
        if kept := min(samples.size, room):
            self._tracks[side].put(start, samples[:kept])

    @property
    def caller(self) -> Samples:
        return self._tracks["caller"].samples

    @property
    def agent(self) -> Samples:
        return self._tracks["agent"].samples

    def write(self, path: str | Path) -> None:
        """Write what was recorded so far; see `write_stereo_wav`."""
        write_stereo_wav(path, self.caller, self.agent, self.rate)


class _Track:
    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._buffer: Samples = np.zeros(rate, dtype=np.int16)
        self._end = 0
        self._resampler: rtc.AudioResampler | None = None
        self._resampled_from = 0

    @property
    def samples(self) -> Samples:
        return self._buffer[: self._end]

    def convert(self, frame: rtc.AudioFrame) -> Samples:
        samples = samples_of(frame)
        if frame.sample_rate == self._rate:
            return samples
        if self._resampler is None or self._resampled_from != frame.sample_rate:
            self._resampler, self._resampled_from = rtc.AudioResampler(frame.sample_rate, self._rate), frame.sample_rate
        frames = self._resampler.push(bytearray(samples.tobytes()))
        return np.concatenate([np.frombuffer(part.data, dtype=np.int16) for part in frames]) if frames else samples[:0]

    def place(self, start: int) -> int:
        """Return where audio said to start there goes: after its predecessor when that is only jitter away."""
        return self._end if abs(start - self._end) <= _JITTER_S * self._rate else start

    def put(self, start: int, samples: Samples) -> None:
        end = start + samples.size
        if end > self._buffer.size:
            grown = np.zeros(max(end, 2 * self._buffer.size), dtype=np.int16)
            grown[: self._end] = self._buffer[: self._end]
            self._buffer = grown
        self._buffer[start:end] = samples
        self._end = max(self._end, end)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageFault(
            f"'{path}' cannot be read: {error.strerror or error}.", remedy="Name a WAV file that exists."
        ) from error


def _plain(data: bytes) -> bytes:
    """Return the file with WAVE_FORMAT_EXTENSIBLE PCM marked as plain PCM, which is all that Python 3.11's `wave` reads."""
    at = data.find(b"fmt ", 12)
    tag, sub_format = slice(at + 8, at + 10), slice(at + 32, at + 34)
    if at < 0 or data[tag] != _EXTENSIBLE_TAG or data[sub_format] != _PCM_TAG:
        return data
    return data[: tag.start] + _PCM_TAG + data[tag.stop :]


def _mono(raw: bytes, width: int, channels: int) -> Samples:
    raw = raw[: len(raw) - len(raw) % (width * channels)]
    if width == 1:
        wide = (np.frombuffer(raw, dtype=np.uint8).astype(np.int32) - 128) << 8
    else:  # the two highest bytes of each little-endian sample
        octets = np.frombuffer(raw, dtype=np.uint8).reshape(-1, width)[:, width - 2 :]
        wide = np.ascontiguousarray(octets).view("<i2").ravel().astype(np.int32)
    mixed = wide.reshape(-1, channels).mean(axis=1)
    return np.asarray(np.clip(np.rint(mixed), -math.ldexp(1, 15), math.ldexp(1, 15) - 1), dtype=np.int16)
