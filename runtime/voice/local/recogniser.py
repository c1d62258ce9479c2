"""A caller's speech turned into words, window by window: voice activity decides where, pocketsphinx what was said."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from livekit.local_inference import VAD, VAD_WINDOW_SAMPLES

from runtime.voice.local.extra import package_folder
from runtime.voice.local.vocabulary import Vocabulary

if TYPE_CHECKING:
    from pocketsphinx import Decoder  # of the optional extra

__all__ = ["SAMPLE_RATE", "Ended", "Final", "Heard", "Partial", "Recogniser", "Started"]

SAMPLE_RATE = 16000
WINDOW = VAD_WINDOW_SAMPLES  # 32 ms, which pocketsphinx decodes in less than 1 ms while it holds the GIL

Samples: TypeAlias = npt.NDArray[np.int16]

_SPEECH, _SILENCE = 0.5, 0.35  # probabilities at which speech begins and ends, as LiveKit's own VAD has them
_BEFORE = 16  # windows kept from before speech was noticed
_SURE = 2  # windows of speech until it is reported
_PARTIAL_EVERY = 6  # windows
# Cepstral means of espeak's klatt4 after a hundred sentences, wide and telephone band: a decoder that starts from
# another mean needs several sentences to settle, and with the wrong band's it understands nothing.
_WIDE_MEAN = "60,16,-13.5,17,-16.5,3,-4,-14.5,5.8,-10,6.2,-3,-1.9"
_NARROW_MEAN = "55.9,36.8,-39.4,42,-26.9,2.5,9,-33,21.1,-17.1,4.1,7.5,-16.1"
_UPPER_BAND = slice(142, 246)  # bins of a window's spectrum: 4.4 to 7.7 kHz
_NARROW_BELOW = 2e-5  # share of the upper band in the energy of speech: 1e-4 and more when wide, 1e-6 from a telephone
_BAND_KNOWN_AFTER = 10  # windows of speech
_HANN = np.hanning(WINDOW)


@dataclass(frozen=True, slots=True)
class Started:
    """Speech has begun, `at` seconds into the stream."""

    at: float


@dataclass(frozen=True, slots=True)
class Partial:
    """What has been understood so far of the utterance."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Final:
    """What was said; `confidence` is the posterior of a word of it, 0 to 1, and text is never empty."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Ended:
    """Speech has ended, `at` seconds into the stream; a Final came before unless nothing was understood."""

    at: float


Heard: TypeAlias = Started | Partial | Final | Ended


class _Band:
    """Tells speech that came through a telephone (nothing above 4 kHz) from wide-band speech, whatever its sample rate."""

    def __init__(self, *, narrow: bool) -> None:
        self.narrow = narrow
        self._windows = 0
        self._upper = self._all = 0.0

    def hear(self, window: Samples) -> None:
        power = np.abs(np.fft.rfft(window * _HANN)) ** 2
        self._upper += float(power[_UPPER_BAND].sum())
        self._all += float(power.sum())
        self._windows += 1
        if self._windows >= _BAND_KNOWN_AFTER and self._all:
            self.narrow = self._upper / self._all < _NARROW_BELOW


class Recogniser:
    """Listens to one stream of 16 kHz mono samples; `narrow` says that it came at 8 kHz. Not for several threads."""

    def __init__(self, vocabulary: Vocabulary, *, silence_s: float = 0.5, narrow: bool = False) -> None:
        self._band = _Band(narrow=narrow)
        self._vocabulary = self._loaded = vocabulary
        self._decoder = _decoder(vocabulary)
        self._vad = VAD()
        self._silence = round(silence_s * SAMPLE_RATE)
        self._waiting: Samples = np.empty(0, dtype=np.int16)
        self._before: deque[Samples] = deque(maxlen=_BEFORE)
        self._position = 0  # samples heard
        self._last_speech = 0
        self._start = 0
        self._windows = 0  # of the utterance; 0 outside
        self._spoken = 0  # windows of speech among them
        self._partial = ""

    def listen_for(self, vocabulary: Vocabulary) -> None:
        """Take another vocabulary; an utterance that has begun is finished with the old one."""
        self._vocabulary = vocabulary

    def feed(self, samples: Samples) -> Iterator[Heard | None]:
        """Yield what is heard in `samples`, and None after each window that decided nothing.

        A caller on an event loop yields to it at each item: a whole sentence at once would hold the loop.
        """
        self._waiting = np.concatenate((self._waiting, samples))
        while self._waiting.size >= WINDOW:
            window, self._waiting = self._waiting[:WINDOW], self._waiting[WINDOW:]
            yield from self._window(window)

    def finish(self) -> Iterator[Heard]:
        """End the utterance now, if there is one: somebody else has decided that the caller has finished."""
        if not self._windows:
            return
        if self._waiting.size:
            self._decoder.process_raw(self._waiting.tobytes(), no_search=False, full_utt=False)
            self._position += self._waiting.size
            self._waiting = self._waiting[:0]
        yield from self._end()

    def _window(self, window: Samples) -> Iterator[Heard | None]:
        probability = float(self._vad.predict(window))
        self._position += WINDOW
        if not self._windows:
            self._before.append(window)
            if probability >= _SPEECH:
                yield from self._begin()
            yield None
            return
        yield from self._inside(window, probability)

    def _begin(self) -> Iterator[None]:
        if self._vocabulary.key != self._loaded.key:
            self._decoder, self._loaded = _decoder(self._vocabulary), self._vocabulary
        self._decoder.set_cmn(_NARROW_MEAN if self._band.narrow else _WIDE_MEAN)
        self._decoder.start_utt()
        self._start, self._last_speech, self._windows, self._spoken = self._position - WINDOW, self._position, 1, 1
        for window in self._before:
            self._decoder.process_raw(window.tobytes(), no_search=False, full_utt=False)
            yield None
        self._before.clear()

    def _inside(self, window: Samples, probability: float) -> Iterator[Heard | None]:
        self._decoder.process_raw(window.tobytes(), no_search=False, full_utt=False)
        self._windows += 1
        if probability > _SILENCE:
            self._last_speech = self._position
            self._spoken += 1
            self._band.hear(window)
            if self._spoken == _SURE:
                yield Started(self._start / SAMPLE_RATE)
        if self._position - self._last_speech >= self._silence:
            yield from self._end()
        elif self._windows % _PARTIAL_EVERY == 0 and self._spoken >= _SURE:
            yield self._so_far()
        else:
            yield None

    def _so_far(self) -> Partial | None:
        hypothesis = self._decoder.hyp()
        text = hypothesis.hypstr if hypothesis else ""
        if not text or text == self._partial:
            return None
        self._partial = text
        return Partial(text, self._start / SAMPLE_RATE, self._last_speech / SAMPLE_RATE)

    def _end(self) -> Iterator[Heard]:
        self._decoder.end_utt()
        hypothesis, sure = self._decoder.hyp(), self._spoken >= _SURE
        self._windows, self._spoken, self._partial = 0, 0, ""
        if not sure:
            return
        start, end = self._start / SAMPLE_RATE, self._last_speech / SAMPLE_RATE
        if hypothesis and hypothesis.hypstr:
            words = len(hypothesis.hypstr.split())
            yield Final(hypothesis.hypstr, start, end, min(1.0, float(hypothesis.prob) ** (1 / words)))
        yield Ended(end)


def _decoder(vocabulary: Vocabulary) -> Decoder:
    """Load a decoder: 7 ms and 6 MB, the acoustic model's pages are shared."""
    from pocketsphinx import Decoder  # noqa: PLC0415 - of the optional extra

    acoustic = package_folder("pocketsphinx") / "model" / "en-us" / "en-us"
    with tempfile.TemporaryDirectory(prefix="patchbay-words-") as folder:
        model, dictionary = Path(folder, "words.lm"), Path(folder, "words.dict")
        model.write_text(vocabulary.language_model, encoding="utf-8")
        dictionary.write_text(vocabulary.dictionary, encoding="utf-8")
        return Decoder(hmm=str(acoustic), lm=str(model), dict=str(dictionary), loglevel="FATAL", fwdflat=False)
