"""Speech understood offline by pocketsphinx, as a streaming LiveKit STT, for demos and simulated callers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Never, assert_never

from livekit import rtc
from livekit.agents import APIConnectOptions, stt, utils
from livekit.agents.language import LanguageCode
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr

from runtime.errors import ConfigRefused
from runtime.voice.local.recogniser import SAMPLE_RATE, Ended, Final, Heard, Partial, Recogniser, Started
from runtime.voice.local.vocabulary import Vocabulary, vocabulary
from runtime.voice.wav import Resampler, Samples, samples_of

__all__ = ["PocketsphinxSTT"]


_TELEPHONE_RATE = 8000  # Hz


class PocketsphinxSTT(stt.STT[Never]):
    """Offline speech to text that hears `phrases`, `words`, numbers, dates, letters and everyday answers; English only.

    It ends an utterance when it is flushed (which an AgentSession does at its VAD's end of speech) or after `silence_s`
    of silence. Input of any rate is taken. Raises ConfigRefused for another language, ProviderMissing without the extra.
    """

    def __init__(
        self, phrases: Sequence[str] = (), words: Sequence[str] = (), *, language: str = "en", silence_s: float = 0.5
    ) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True, manual_flush=True))
        if language.lower().partition("-")[0] != "en":
            raise ConfigRefused(
                f"The local recogniser does not understand '{language}'.",
                remedy="It knows English (en); name another stt provider.",
            )
        self._language = LanguageCode(language)
        self._silence_s = silence_s
        self._vocabulary = vocabulary(phrases, words)

    @property
    def model(self) -> str:
        return "pocketsphinx"

    @property
    def provider(self) -> str:
        return "local"

    @property
    def vocabulary(self) -> Vocabulary:
        """What is listened for now; `left_out` holds words that cannot be heard."""
        return self._vocabulary

    def set_phrases(self, phrases: Sequence[str], words: Sequence[str] = ()) -> None:
        """Listen for something else from the next utterance on, in the streams that are open too."""
        self._vocabulary = vocabulary(phrases, words)

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002 - of the interface; there is one language
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        return _Listening(self, self._language, self._silence_s, conn_options)

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        async with self.stream(language=language, conn_options=conn_options) as stream:
            for frame in buffer if isinstance(buffer, list) else [buffer]:
                stream.push_frame(frame)
            stream.end_input()
            finals = [
                event.alternatives[0] async for event in stream if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
            ]
        text = " ".join(final.text for final in finals)
        confidence = min((final.confidence for final in finals), default=0.0)
        said = stt.SpeechData(language=self._language, text=text, confidence=confidence)
        return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[said])


class _Listening(stt.RecognizeStream):
    """One caller being listened to, decoded on the event loop in windows of 32 ms."""

    def __init__(
        self, owner: PocketsphinxSTT, language: LanguageCode, silence_s: float, conn_options: APIConnectOptions
    ) -> None:
        super().__init__(stt=owner, conn_options=conn_options)
        self._owner = owner
        self._language = language
        self._silence_s = silence_s
        self._unreported_s = 0.0
        self._own_rate: Resampler | None = None  # our own: LiveKit's is never the same twice

    async def _run(self) -> None:
        recogniser: Recogniser | None = None
        async for item in self._input_ch:
            if recogniser is None:
                narrow = 0 < self._pushed_sr <= _TELEPHONE_RATE
                recogniser = Recogniser(self._owner.vocabulary, silence_s=self._silence_s, narrow=narrow)
            recogniser.listen_for(self._owner.vocabulary)
            if isinstance(item, rtc.AudioFrame):
                self._unreported_s += item.duration
                await self._report(recogniser.feed(self._samples(item)))
            else:
                await self._report(recogniser.finish())
        self._report_usage()

    def _samples(self, frame: rtc.AudioFrame) -> Samples:
        if frame.sample_rate == SAMPLE_RATE:
            return samples_of(frame)
        if self._own_rate is None:
            self._own_rate = Resampler(frame.sample_rate, SAMPLE_RATE)
        return self._own_rate.push(samples_of(frame))

    async def _report(self, heard: Iterator[Heard | None]) -> None:
        for item in heard:
            if item is None:
                await asyncio.sleep(0)  # decoding holds the GIL: others get their turn after each window
                continue
            self._event_ch.send_nowait(self._event(item))
            if isinstance(item, Final):
                self._report_usage()

    def _event(self, heard: Heard) -> stt.SpeechEvent:
        match heard:
            case Started(at):
                return stt.SpeechEvent(type=stt.SpeechEventType.START_OF_SPEECH, speech_start_time=self.start_time + at)
            case Partial(text, start, end):
                return self._transcript(stt.SpeechEventType.INTERIM_TRANSCRIPT, text, start, end)
            case Final(text, start, end, confidence):
                return self._transcript(stt.SpeechEventType.FINAL_TRANSCRIPT, text, start, end, confidence)
            case Ended(at):
                return stt.SpeechEvent(type=stt.SpeechEventType.END_OF_SPEECH, speech_end_time=self.start_time + at)
            case unreachable:
                assert_never(unreachable)

    def _transcript(
        self, kind: stt.SpeechEventType, text: str, start: float, end: float, confidence: float = 0.0
    ) -> stt.SpeechEvent:
        offset = self.start_time_offset
        said = stt.SpeechData(
            language=self._language, text=text, start_time=offset + start, end_time=offset + end, confidence=confidence
        )
        return stt.SpeechEvent(type=kind, alternatives=[said])

    def _report_usage(self) -> None:
        usage = stt.RecognitionUsage(audio_duration=self._unreported_s)
        self._unreported_s = 0.0
        self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.RECOGNITION_USAGE, recognition_usage=usage))
