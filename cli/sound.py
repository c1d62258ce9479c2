"""The machine's microphone and speaker, by PortAudio; both belong to the event loop that opened them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import numpy as np

from runtime.errors import ProviderMissing, Unreachable
from runtime.harness.phone import RATE
from runtime.voice.audio import Samples
from runtime.voice.wav import Resampler

__all__ = ["Devices", "Speaker", "microphone", "portaudio", "speaker"]

_BLOCK_S: Final = 0.02
_MOST_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Devices:
    """Which devices, by PortAudio's number or a part of their name; None is the machine's default."""

    microphone: str | int | None = None
    speaker: str | int | None = None

    @classmethod
    def named(cls, microphone: str | None, speaker: str | None) -> Devices:
        """Return the devices as a command line names them."""
        return cls(_device(microphone), _device(speaker))


def _device(named: str | None) -> str | int | None:
    return int(named) if named is not None and named.isdigit() else named


def portaudio() -> ModuleType:
    """Return `sounddevice`; raises ProviderMissing where it, or the library that it stands on, is not installed."""
    try:
        # An extra (`talk`), and it opens the sound system when it is imported.
        import sounddevice  # noqa: PLC0415
    except ImportError:
        raise ProviderMissing(
            "The microphone and the speaker need the package sounddevice.", remedy="pip install 'patchbay[talk]'"
        ) from None
    except OSError as error:
        raise ProviderMissing(
            f"PortAudio cannot be loaded: {error}.",
            remedy="Install it: apt-get install libportaudio2, or brew install portaudio.",
        ) from None
    module: ModuleType = sounddevice
    return module


@contextmanager
def microphone(library: ModuleType, device: str | int | None, heard: Callable[[Samples], None]) -> Iterator[None]:
    """Have `heard` called on the running loop with mono samples at 16 kHz, as long as the block runs.

    Raises Unreachable where there is no such microphone.
    """
    loop = asyncio.get_running_loop()
    with _opened(library, "input", device, RATE) as (rate, open_stream):
        resampler = Resampler(rate, RATE) if rate != RATE else None

        def take(samples: Samples) -> None:
            heard(samples if resampler is None else resampler.push(samples))

        def called(data: Any, _frames: int, _time: object, _status: object) -> None:
            samples = np.frombuffer(bytes(data), dtype=np.int16)  # a copy: PortAudio takes its own back
            with suppress(RuntimeError):  # the loop has closed meanwhile
                loop.call_soon_threadsafe(take, samples)

        with open_stream(called):
            yield


class Speaker:
    """What waits to be heard, mono at `rate` Hz; more than five seconds of it are never kept."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._lock = threading.Lock()
        self._waiting = bytearray()

    def play(self, samples: Samples) -> None:
        with self._lock:
            self._waiting += samples.tobytes()
            del self._waiting[: max(0, len(self._waiting) - int(2 * self.rate * _MOST_S))]

    def clear(self) -> None:
        """Drop what was not heard yet."""
        with self._lock:
            self._waiting.clear()

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes, silence where there is nothing; called by PortAudio's thread."""
        with self._lock:
            taken = bytes(self._waiting[:size])
            del self._waiting[:size]
        return taken.ljust(size, b"\0")


@contextmanager
def speaker(library: ModuleType, device: str | int | None, rate: int) -> Iterator[Speaker]:
    """Yield a speaker for samples at `rate` Hz. Raises Unreachable where there is no such device."""
    with _opened(library, "output", device, rate) as (own_rate, open_stream):
        voice = Speaker(own_rate) if own_rate == rate else _Resampling(rate, own_rate)

        def called(data: Any, _frames: int, _time: object, _status: object) -> None:
            data[:] = voice.take(len(data))

        with open_stream(called):
            yield voice


class _Resampling(Speaker):
    def __init__(self, from_rate: int, rate: int) -> None:
        super().__init__(rate)
        self._resampler = Resampler(from_rate, rate)

    def play(self, samples: Samples) -> None:
        super().play(self._resampler.push(samples))


@contextmanager
def _opened(
    library: ModuleType, kind: str, device: str | int | None, wanted: int
) -> Iterator[tuple[int, Callable[[Callable[..., None]], Any]]]:
    """Yield the rate that the device takes (the wanted one, else its own) and what opens its stream."""
    is_input = kind == "input"
    check = library.check_input_settings if is_input else library.check_output_settings
    stream = library.RawInputStream if is_input else library.RawOutputStream
    try:
        rate = int(wanted)
        try:
            check(device=device, samplerate=wanted, channels=1, dtype="int16")
        except library.PortAudioError:
            rate = int(library.query_devices(device, kind)["default_samplerate"])
            check(device=device, samplerate=rate, channels=1, dtype="int16")

        def open_stream(called: Callable[..., None]) -> Any:
            return stream(
                samplerate=rate,
                blocksize=int(rate * _BLOCK_S),
                device=device,
                channels=1,
                dtype="int16",
                callback=called,
            )

        yield rate, open_stream
    except (library.PortAudioError, ValueError) as error:
        what = "microphone" if is_input else "speaker"
        raise Unreachable(
            f"The {what} cannot be used: {error}.",
            remedy=f"Connect one, or name another with --{what}: python -m sounddevice lists them.",
        ) from None
