"""Speech made offline by espeak-ng, as a LiveKit TTS, and the voice of simulated callers."""

from __future__ import annotations

import contextlib
from typing import Never

from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from runtime.errors import ConfigRefused
from runtime.voice.local import espeak
from runtime.voice.local.espeak import Utterance
from runtime.voice.local.voices import CALLER_SPEED, CALLER_VOICE, default_voice, resolve_voice
from runtime.voice.local.wording import spell_numbers

__all__ = ["EspeakTTS", "synthesise"]

_WORDS_A_MINUTE = 175  # espeak-ng's own speed
_SLOWEST, _FASTEST = 80, 450
_FRAME_MS = 100
_PAUSE = bytes(2 * (espeak.SAMPLE_RATE * 3 // 20))  # 150 ms: espeak ends on the last phone, and sentences would collide


class EspeakTTS(tts.TTS[Never]):
    """Offline text to speech, 22 050 Hz mono. One object per session; the process underneath is shared.

    `voice` is a `voice_id` such as `en-us+klatt4` (default: one that fits `language`), `speed` a factor of 175 words a
    minute. Raises ConfigRefused for a voice, language or speed there is none of, ProviderMissing without the extra.
    """

    def __init__(self, *, voice: str | None = None, speed: float = 1.0, language: str = "en") -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False), sample_rate=espeak.SAMPLE_RATE, num_channels=1
        )
        self._voice = resolve_voice(voice) if voice else default_voice(language)
        self._rate = _rate(speed)

    @property
    def model(self) -> str:
        return self._voice

    @property
    def provider(self) -> str:
        return "local"

    def prewarm(self) -> None:
        espeak.start()

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Speech(self, Utterance(text, self._voice, self._rate), conn_options)


class _Speech(tts.ChunkedStream):
    """One sentence on its way from espeak-ng to LiveKit; closing it (barge-in) cancels the request."""

    def __init__(self, owner: EspeakTTS, utterance: Utterance, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=owner, input_text=utterance.text, conn_options=conn_options)
        self._utterance = utterance

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid(),
            sample_rate=espeak.SAMPLE_RATE,
            num_channels=1,
            mime_type="audio/pcm",
            frame_size_ms=_FRAME_MS,
        )
        try:
            async with contextlib.aclosing(espeak.speak(self._utterance)) as chunks:
                async for pcm in chunks:
                    output_emitter.push(pcm)
        except espeak.EspeakGone as gone:
            raise APIConnectionError(str(gone)) from gone
        except espeak.EspeakFault as fault:
            raise APIStatusError(str(fault), status_code=400, retryable=False) from fault
        output_emitter.push(_PAUSE)
        output_emitter.flush()


async def synthesise(text: str, *, voice: str = CALLER_VOICE, speed: float = CALLER_SPEED) -> tuple[bytes, int]:
    """Return the whole of `text` as s16 mono PCM and its sample rate in Hz, by default in the simulated caller's voice.

    Numbers of three digits and more are said digit by digit, as callers say them.
    Raises ConfigRefused for an unknown voice, EspeakFault and EspeakGone when espeak-ng fails.
    """
    utterance = Utterance(spell_numbers(text), resolve_voice(voice), _rate(speed))
    async with contextlib.aclosing(espeak.speak(utterance)) as chunks:
        return b"".join([pcm async for pcm in chunks]), espeak.SAMPLE_RATE


def _rate(speed: float) -> int:
    rate = round(_WORDS_A_MINUTE * speed)
    if not _SLOWEST <= rate <= _FASTEST:
        slowest, fastest = _SLOWEST / _WORDS_A_MINUTE, _FASTEST / _WORDS_A_MINUTE
        raise ConfigRefused(
            f"The local voice cannot speak at speed {speed}.", remedy=f"Use {slowest:.2f} to {fastest:.2f}."
        )
    return rate
