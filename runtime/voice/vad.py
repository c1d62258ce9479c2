"""The bundled detector of voice activity without a task, a thread or an event for each window of sound."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from livekit import rtc
from livekit.agents import inference, utils, vad
from livekit.local_inference import VAD as Model  # noqa: N811 - two kinds of things are called VAD
from livekit.local_inference import VAD_WINDOW_SAMPLES as WINDOW

from runtime.voice.wav import Samples, frame_of, samples_of

__all__ = ["RATE", "WINDOW", "WINDOW_S", "InlineVad"]

RATE: Final = 16000
"""What the model hears, in Hz; other rates are changed to it. A telephone's half of it costs 12 µs a window, others 30 µs."""
WINDOW_S: Final = WINDOW / RATE
_NOTHING: Final[Samples] = np.empty(0, dtype=np.int16)

Kind = vad.VADEventType


class InlineVad(inference.VAD):
    """LiveKit's, with its options and its rules. A window takes the model 15 µs, and each task it passes costs as much.

    It tells of its windows while it hears a voice, and of the first one after it: no other changes anything for
    LiveKit. It reports no metrics.
    """

    def stream(self) -> vad.VADStream:
        stream = _Stream(self, replace(self._opts))
        self._streams.add(stream)  # type: ignore[arg-type]  # only `update_options` is called on them
        return stream


def _taps() -> npt.NDArray[np.float64]:
    """Return the weights of the neighbours between which a sample is put: a windowed sinc."""
    at = np.arange(_NEIGHBOURS) - (_NEIGHBOURS - 1) / 2
    taps = np.sinc(at) * np.cos(at * np.pi / (_NEIGHBOURS + 1)) ** 2
    return np.asarray(taps / taps.sum(), dtype=np.float64)


_NEIGHBOURS: Final = 8
_TAPS: Final = _taps()


class _Doubler:
    """Twice as many samples: those that came, and one between any two."""

    def __init__(self) -> None:
        self._last: Samples = np.zeros(_NEIGHBOURS - 1, dtype=np.int16)

    def push(self, samples: Samples) -> Samples:
        heard = np.concatenate((self._last, samples))
        self._last = heard[samples.size :]
        doubled = np.empty(2 * samples.size, dtype=np.int16)
        middle = _NEIGHBOURS // 2 - 1
        doubled[::2] = heard[middle : middle + samples.size]
        doubled[1::2] = np.clip(np.convolve(heard, _TAPS, "valid"), -32768, 32767)
        return doubled


class _Foreign:
    """Any rate, by LiveKit's own means."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._resampler = rtc.AudioResampler(rate, RATE, quality=rtc.AudioResamplerQuality.QUICK)

    def push(self, samples: Samples) -> Samples:
        ready = [samples_of(frame) for frame in self._resampler.push(frame_of(samples, self._rate))]
        return np.concatenate(ready) if ready else _NOTHING


def _resampler(rate: int) -> _Doubler | _Foreign | None:
    match rate:
        case _ if rate == RATE:
            return None
        case _ if 2 * rate == RATE:
            return _Doubler()
        case _:
            return _Foreign(rate)


class _Stream(vad.VADStream):
    """Judges each window as it is pushed. Belongs to one event loop."""

    def __init__(self, owner: InlineVad, options: Any) -> None:  # `super()` would start two tasks for each call
        self._vad = owner
        self._options = options
        self._model = Model()
        self._events = utils.aio.Chan[vad.VADEvent]()
        self._rate = 0
        self._resampler: _Doubler | _Foreign | None = None
        self._rest = _NOTHING
        self._kept: deque[bytes] = deque()
        self._kept_samples = 0
        self._windows = 0
        self._begin()

    def _begin(self) -> None:
        self._speaking = False
        self._speech_s = 0.0
        self._silence_s = 0.0
        self._raw_speech_s = 0.0
        self._raw_silence_s = 0.0
        self._told_quiet = False

    # ------------------------------------------------------------ what LiveKit calls

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Judge the windows that are full with this frame."""
        self._check_not_closed()
        samples = samples_of(frame)
        self._keep(samples, frame.sample_rate)
        heard = self._at_model_rate(samples)
        if self._rest.size:
            heard = np.concatenate((self._rest, heard))
        full = heard.size - heard.size % WINDOW
        for start in range(0, full, WINDOW):
            self._judge(self._model.predict(heard[start : start + WINDOW]))
        self._rest = heard[full:]

    def flush(self) -> None:
        """Forget what was heard: the next frame begins anew."""
        self._model.reset()
        self._rest = _NOTHING
        self._resampler = _resampler(self._rate) if self._rate else None
        self._kept.clear()
        self._kept_samples = self._windows = 0
        self._begin()

    def end_input(self) -> None:
        self.flush()
        self._events.close()

    async def aclose(self) -> None:
        self._events.close()

    async def __anext__(self) -> vad.VADEvent:
        return await self._events.__anext__()

    def update_options(self, **changes: Any) -> None:
        """Take the options that are given from now on."""
        given = {name: value for name, value in changes.items() if utils.is_given(value)}
        self._options = replace(self._options, **given)

    def _check_not_closed(self) -> None:
        if self._events.closed:
            raise RuntimeError("the detector's stream is closed")

    async def _main_task(self) -> None:
        """There is none."""

    # ------------------------------------------------------------ the sound

    def _at_model_rate(self, samples: Samples) -> Samples:
        return samples if self._resampler is None else self._resampler.push(samples)

    def _keep(self, samples: Samples, rate: int) -> None:
        """Keep the speech and a little from before it, for a recogniser that wants it in one piece."""
        if rate != self._rate:
            self._rate = rate
            self._resampler = _resampler(rate)
            self._kept.clear()
            self._kept_samples = 0
        options = self._options
        longest_s = options.prefix_padding_duration + (options.max_buffered_speech if self._underway else 0.0)
        self._kept.append(samples.tobytes())
        self._kept_samples += samples.size
        while self._kept_samples > longest_s * rate + samples.size:
            # What is too long loses its end, as LiveKit's does; silence loses its beginning.
            dropped = self._kept.pop() if self._underway else self._kept.popleft()
            self._kept_samples -= len(dropped) // 2

    @property
    def _underway(self) -> bool:
        return self._speaking or self._raw_speech_s > 0

    def _speech(self) -> list[rtc.AudioFrame]:
        return [rtc.AudioFrame(b"".join(self._kept), self._rate, 1, self._kept_samples)]

    # ------------------------------------------------------------ the rules

    def _judge(self, probability: float) -> None:
        self._windows += 1
        if self._speaking:
            self._speech_s += WINDOW_S
        else:
            self._silence_s += WINDOW_S
        self._tell_window(probability)
        options = self._options
        threshold = options.activation_threshold
        if probability >= threshold or (self._speaking and probability > options.deactivation_threshold):
            self._raw_speech_s += WINDOW_S
            self._raw_silence_s = 0.0
            if not self._speaking and self._raw_speech_s >= options.min_speech_duration:
                self._speaking, self._silence_s, self._speech_s = True, 0.0, self._raw_speech_s
                self._tell(Kind.START_OF_SPEECH, self._speech_s, frames=self._speech())
            return
        self._raw_silence_s += WINDOW_S
        self._raw_speech_s = 0.0
        if self._speaking and self._raw_silence_s >= options.min_silence_duration:
            self._speaking, self._silence_s = False, self._raw_silence_s
            self._tell(Kind.END_OF_SPEECH, max(0.0, self._speech_s - self._raw_silence_s), frames=self._speech())
            self._speech_s = 0.0

    def _tell_window(self, probability: float) -> None:
        quiet = not self._underway
        if quiet and self._told_quiet:
            return
        self._told_quiet = quiet
        self._tell(
            Kind.INFERENCE_DONE,
            self._speech_s,
            probability=probability,
            raw_accumulated_silence=self._raw_silence_s,
            raw_accumulated_speech=self._raw_speech_s,
        )

    def _tell(self, kind: Kind, speech_s: float, **details: Any) -> None:
        self._events.send_nowait(
            vad.VADEvent(
                type=kind,
                samples_index=self._windows * WINDOW,
                timestamp=self._windows * WINDOW_S,
                speech_duration=speech_s,
                silence_duration=self._silence_s,
                speaking=self._speaking,
                **details,
            )
        )
