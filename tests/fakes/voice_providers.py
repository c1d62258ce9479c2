"""Stand-ins for a model, a recogniser, a voice and a detector of voice activity, which do well or badly as they are told."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never

import numpy as np
from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    APIConnectionError,
    APIConnectOptions,
    llm,
    stt,
    tts,
    utils,
    vad,
)
from livekit.agents.language import LanguageCode
from livekit.agents.types import NOT_GIVEN, NotGivenOr

from runtime.voice.pipeline import Providers
from runtime.voice.spoken import SpokenCache
from runtime.workflow.graph import Agent

__all__ = ["Answer", "Asked", "Call", "Ears", "Fail", "Manner", "Mind", "Stall", "Standins", "Throat", "Throb"]

RATE = 24000
WORD_S = 0.06
"""How long the voice takes for a word."""


@dataclass(frozen=True, slots=True)
class Call:
    """The model calls a function; `arguments` are sent as they are."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class Stall:
    """The model says nothing for so many seconds."""

    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Fail:
    """The model's server breaks off."""

    retryable: bool = False


Answer = Sequence[str | Call | Stall | Fail]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: how many there were before it, what the caller said last, and whether a function has returned."""

    number: int
    said: str
    returned: bool


class Mind(llm.LLM[Any]):
    """A model whose answers are decided by `answer`."""

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        super().__init__()
        self.takes_notes = True
        self.answer = answer
        self.asked: list[Asked] = []

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> llm.LLMStream:
        said = [item for item in chat_ctx.items if item.type == "message" and item.role == "user"]
        last = chat_ctx.items[-1].type if chat_ctx.items else ""
        text = (said[-1].text_content or "") if said else ""
        self.asked.append(Asked(len(self.asked), text, last == "function_call_output"))
        return _Thought(self, self.answer(self.asked[-1]), chat_ctx, tools or [], conn_options)


class _Thought(llm.LLMStream):
    def __init__(
        self,
        mind: Mind,
        answer: Answer,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
    ) -> None:
        super().__init__(mind, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._answer = iter(answer)  # what follows a failure is said when it is tried again

    async def _run(self) -> None:
        for part in self._answer:
            match part:
                case str():
                    self._say(content=part)
                case Call(name, arguments):
                    call = llm.FunctionToolCall(name=name, arguments=arguments, call_id=uuid.uuid4().hex)
                    self._say(tool_calls=[call])
                case Stall(seconds):
                    self._say(content="")  # the stream has opened
                    await asyncio.sleep(seconds)
                case Fail(retryable):
                    raise APIConnectionError("secret detail", retryable=retryable)
                case never:
                    assert_never(never)

    def _say(self, **delta: Any) -> None:
        chunk = llm.ChatChunk(id="c", delta=llm.ChoiceDelta(role="assistant", **delta))
        self._event_ch.send_nowait(chunk)


Manner = Literal["well", "fails", "silent", "stalls", "breaks off"]


class Throat(tts.TTS[Any]):
    """A voice that hums each text; `manner` tells how it does with one. `spoken` lists what it was given."""

    def __init__(self, manner: Callable[[str], Manner] = lambda _text: "well") -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)
        self.manner = manner
        self.spoken: list[str] = []

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        self.spoken.append(text)
        return _Hum(self, text, conn_options)


class _Hum(tts.ChunkedStream):
    def __init__(self, throat: Throat, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=throat, input_text=text, conn_options=conn_options)
        self._manner: Manner = throat.manner(text)

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        if self._manner == "fails":
            raise APIConnectionError("secret detail", retryable=False)
        output_emitter.initialize(
            request_id="r", sample_rate=RATE, num_channels=1, mime_type="audio/pcm", frame_size_ms=20
        )
        if self._manner == "stalls":
            await asyncio.sleep(60)
        if self._manner in {"well", "breaks off"}:
            words = len(self._input_text.split())
            output_emitter.push(hum(WORD_S * words))
        if self._manner == "breaks off":
            output_emitter.flush()
            await asyncio.sleep(60)
        output_emitter.flush()


def hum(seconds: float) -> bytes:
    """Return a tone as s16 mono PCM."""
    return (np.sin(np.arange(round(RATE * seconds)) / 12) * 8000).astype(np.int16).tobytes()


class Ears(stt.STT[Any]):
    """A recogniser that understands what `hear` tells it. Its streams end, or raise, when `break_off` says so."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self._streams: list[_Listening] = []
        self.opened = asyncio.Event()

    def hear(self, text: str, *, final: bool = True) -> None:
        """Understand a text now."""
        kind = stt.SpeechEventType.FINAL_TRANSCRIPT if final else stt.SpeechEventType.INTERIM_TRANSCRIPT
        said = stt.SpeechData(language=LanguageCode("en"), text=text, confidence=0.9)
        self._streams[-1].told.put_nowait(stt.SpeechEvent(type=kind, alternatives=[said]))

    def break_off(self, error: Exception | None = None) -> None:
        """End the stream that is open, with this error or without one."""
        self.opened.clear()
        self._streams[-1].told.put_nowait(error)

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        self._streams.append(_Listening(self, conn_options))
        self.opened.set()
        return self._streams[-1]

    async def _recognize_impl(
        self, buffer: utils.AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        raise NotImplementedError


class _Listening(stt.RecognizeStream):
    def __init__(self, ears: Ears, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=ears, conn_options=conn_options)
        self.told: asyncio.Queue[stt.SpeechEvent | Exception | None] = asyncio.Queue()

    async def _run(self) -> None:
        while (event := await self.told.get()) is not None:
            if isinstance(event, Exception):
                raise event
            self._event_ch.send_nowait(event)


class Throb(vad.VAD):
    """A detector that feels a voice when it is told so."""

    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.032))
        self._streams: list[_Feeling] = []

    def begin(self) -> None:
        """A voice begins."""
        self._tell(vad.VADEventType.START_OF_SPEECH, 0.05)

    def go_on(self, seconds: float) -> None:
        """The voice has lasted for so long."""
        self._tell(vad.VADEventType.INFERENCE_DONE, seconds)

    def end(self, seconds: float) -> None:
        """The voice has ended after so long."""
        self._tell(vad.VADEventType.END_OF_SPEECH, seconds)

    def fail(self) -> None:
        """Never feel anything again."""
        self._streams[-1].told.put_nowait(None)

    def stream(self) -> vad.VADStream:
        self._streams.append(_Feeling(self))
        return self._streams[-1]

    def _tell(self, kind: vad.VADEventType, seconds: float) -> None:
        ended = kind is vad.VADEventType.END_OF_SPEECH
        event = vad.VADEvent(
            type=kind,
            samples_index=0,
            timestamp=0.0,
            speech_duration=seconds,
            silence_duration=0.05 if ended else 0.0,
            speaking=not ended,
            raw_accumulated_speech=0.0 if ended else seconds,
            raw_accumulated_silence=0.05 if ended else 0.0,
        )
        self._streams[-1].told.put_nowait(event)


class _Feeling(vad.VADStream):
    def __init__(self, owner: Throb) -> None:
        self.told: asyncio.Queue[vad.VADEvent | None] = asyncio.Queue()
        super().__init__(owner)

    async def _main_task(self) -> None:
        while (event := await self.told.get()) is not None:
            self._event_ch.send_nowait(event)
        raise RuntimeError("the detector broke")


class Standins(Providers):
    """Providers of one call that are the stand-ins, whatever the config names."""

    def __init__(
        self, mind: Mind, throat: Throat, ears: Ears, throb: Throb, *, spoken: SpokenCache | None = None
    ) -> None:
        super().__init__(offline=True, spoken=spoken)
        self.mind, self.throat, self.ears, self.throb = mind, throat, ears, throb

    def llm(self, agent: Agent) -> llm.LLM[Any]:
        return self.mind

    def stt(self, agent: Agent) -> stt.STT[Any]:
        return self.ears

    def tts(self, agent: Agent) -> tts.TTS[Any]:
        return self.throat

    def vad(self, agent: Agent) -> vad.VAD:
        return self.throb


def silence(seconds: float = 0.02, rate: int = 16000) -> rtc.AudioFrame:
    """Return a frame in which nothing is to be heard."""
    return rtc.AudioFrame.create(rate, 1, round(rate * seconds))
