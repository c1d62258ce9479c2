"""What a telephone has heard: how much, which words, which recording; and a recogniser for where words are not the point."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions, stt, utils
from livekit.agents.language import LanguageCode
from livekit.agents.types import NOT_GIVEN, NotGivenOr

from runtime.voice.apologies import RATE as RECORDED
from runtime.voice.apologies import recording
from runtime.voice.local.tts import synthesise
from runtime.voice.local.voices import default_voice
from runtime.voice.phrases import Phrase
from runtime.voice.wav import Samples, resample, samples_of
from tests.fakes.sip_caller import RATE, SipPhone, loudness

__all__ = ["Nods", "hears", "loud_s", "quiet_tail_s", "said", "spoke", "spoken_s"]

_FRAME = RATE // 50


def loudnesses(samples: Samples) -> np.ndarray[Any, Any]:
    """Return for each 20 ms whether something is heard."""
    whole = samples[: samples.size // _FRAME * _FRAME].reshape(-1, _FRAME)
    return np.array([loudness(part) > 150 for part in whole], dtype=bool)


def loud_s(samples: Samples) -> float:
    """Return for how many seconds something was heard."""
    return float(loudnesses(samples).sum()) * 0.02


def spoken_s(name: Phrase) -> float:
    """Return for how many seconds one of the recorded phrases sounds, in English."""
    known = recording(name, "en")
    return loud_s(resample(known.samples, known.rate, RATE))


def quiet_tail_s(samples: Samples) -> float:
    """Return for how many seconds nothing was heard at the end."""
    heard = np.flatnonzero(loudnesses(samples))
    return samples.size / RATE - (float(heard[-1] + 1) * 0.02 if heard.size else 0.0)


def said(samples: Samples, name: Phrase, language: str = "en") -> bool:
    """Whether a phrase of the runtime's own was heard whole, as it was recorded."""
    recorded = recording(name, language)
    wanted = resample(recorded.samples, RECORDED, RATE).astype(np.float64)
    heard = samples.astype(np.float64)
    if heard.size < wanted.size:
        return False
    size = 1 << int(heard.size + wanted.size - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size)), size)
    sums = np.concatenate(([0.0], np.cumsum(heard**2)))
    energy = sums[wanted.size :] - sums[: -wanted.size]
    alike = product[: energy.size] / np.sqrt(np.maximum(energy, 1.0) * (wanted**2).sum())
    return bool(alike.max() > 0.8)


async def spoke(samples: Samples, text: str) -> bool:
    """Whether the local voice was heard to say all of this, sentence by sentence or in one go.

    Its waveform is never twice the same, but how loud it is when is: that is compared.
    """
    if await _resembles(samples, text):
        return True
    return all([await _resembles(samples, sentence) for sentence in re.findall(r"[^.?!]+[.?!]", text)])


async def _resembles(samples: Samples, text: str) -> bool:
    pcm, rate = await synthesise(text, voice=default_voice("en"), speed=1.0)
    wanted = _envelope(resample(np.frombuffer(pcm, dtype=np.int16), rate, RATE))
    heard = _envelope(samples)
    if heard.size < wanted.size:
        return False
    parts = np.lib.stride_tricks.sliding_window_view(heard, wanted.size)
    parts = parts - parts.mean(axis=1, keepdims=True)
    wanted -= wanted.mean()
    alike = parts @ wanted / np.sqrt(np.maximum((parts**2).sum(axis=1) * (wanted**2).sum(), 1.0))
    return bool(alike.max() > 0.8)


def _envelope(samples: Samples) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the loudness of each 10 ms, compressed."""
    size = RATE // 100
    parts = samples[: samples.size // size * size].reshape(-1, size).astype(np.float64)
    return np.asarray((parts**2).mean(axis=1) ** 0.25)


async def hears(phone: SipPhone, since: int = 0, *, seconds: float = 0.3) -> None:
    """Wait until a voice was heard for so long, behind the first `since` samples."""
    await phone.until_true(lambda: loud_s(phone.heard[since:]) >= seconds, what="a voice")


class Nods(stt.STT[Any]):
    """A recogniser that costs nothing: whatever it heard before a pause was "yes". For where it is not the point."""

    def __init__(self, *_args: object, **_more: object) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False, manual_flush=True))

    def stream(
        self, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> stt.RecognizeStream:
        return _Nodding(stt=self, conn_options=conn_options)

    async def _recognize_impl(
        self, buffer: utils.AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        raise NotImplementedError


class _Nodding(stt.RecognizeStream):
    async def _run(self) -> None:
        loud = False
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                loud = loud or loudness(samples_of(item)) > 500
            elif loud:
                loud = False
                said = stt.SpeechData(language=LanguageCode("en"), text="yes", confidence=1.0)
                kind = stt.SpeechEventType.FINAL_TRANSCRIPT
                self._event_ch.send_nowait(stt.SpeechEvent(type=kind, alternatives=[said]))
