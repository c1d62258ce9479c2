"""Models that answer by a script, at once or after a delay, and an ear that notes when something is heard."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Never

import numpy as np
from livekit import rtc
from livekit.agents import LanguageCode, llm, stt, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.agents.voice import io

__all__ = [
    "MOVE_BACK",
    "MOVE_ON",
    "ORDER",
    "PLAIN",
    "RATE",
    "TOPIC",
    "Ear",
    "ScriptedLLM",
    "ScriptedSTT",
    "SlowVoice",
    "StreamingSTT",
]

Json = Any

PLAIN = "Could you help me with something, please?"
ORDER = "Where is my order 4711?"
TOPIC = "It is about invoice 17."
MOVE_ON = "Put me through to billing."
MOVE_BACK = "Put me through to the front desk."

RATE = 24000
_SPOKEN_S = 0.2
_ANSWER = "Of course, let me have a look at that for you."
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str = ""
    call: str = ""
    arguments: Mapping[str, Json] = field(default_factory=dict)


def _decide(heard: str, offered: frozenset[str], *, beside: bool) -> _Answer:
    """Return what the model does about the caller's words; a function that is not offered is not called."""
    found = _NUMBER.search(heard)
    number = found.group() if found else ""
    match heard:
        case _ if heard == ORDER and "check_order" in offered:
            return _Answer(call="check_order", arguments={"order_number": number})
        case _ if heard.startswith("It is about") and "remember" in offered:
            return _Answer(_ANSWER if beside else "", "remember", {"topic": f"invoice {number}"})
        case _ if heard == MOVE_ON and "to_billing" in offered:
            return _Answer(call="to_billing")
        case _ if heard == MOVE_BACK and "to_front_desk" in offered:
            return _Answer(call="to_front_desk")
        case _:
            return _Answer(_ANSWER)


class ScriptedLLM(llm.LLM[Any]):
    """Answers `delay_s` seconds after it was asked. `beside`: it speaks beside a `remember`, as a good model does.

    `completions` counts what it was asked; `called_at` is when it last called a function (`time.perf_counter`).
    """

    def __init__(self, delay_s: float = 0.0, *, beside: bool = True) -> None:
        super().__init__()
        self.takes_notes = True
        self.delay_s = delay_s
        self.beside = beside
        self.completions = 0
        self.called_at = 0.0

    @property
    def model(self) -> str:
        return "script"

    @property
    def provider(self) -> str:
        return "benchmark"

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_options: Any,
    ) -> llm.LLMStream:
        self.completions += 1
        return _ScriptedStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _ScriptedStream(llm.LLMStream):
    async def _run(self) -> None:
        owner = self._llm
        assert isinstance(owner, ScriptedLLM)
        if owner.delay_s:
            await asyncio.sleep(owner.delay_s)
        last = self._chat_ctx.items[-1]
        heard = last.text_content or "" if isinstance(last, llm.ChatMessage) and last.role == "user" else ""
        offered = frozenset(tool.id for tool in self._tools)
        answer = _decide(heard, offered, beside=owner.beside)
        request = f"r{owner.completions}"
        for word in answer.text.split(" ") if answer.text else ():
            self._send(request, llm.ChoiceDelta(role="assistant", content=word + " "))
        if answer.call:
            call = llm.FunctionToolCall(
                name=answer.call, arguments=json.dumps(answer.arguments), call_id=f"call_{request}"
            )
            owner.called_at = time.perf_counter()
            self._send(request, llm.ChoiceDelta(role="assistant", tool_calls=[call]))
        usage = llm.CompletionUsage(prompt_tokens=100, completion_tokens=12, total_tokens=112)
        self._event_ch.send_nowait(llm.ChatChunk(id=request, usage=usage))

    def _send(self, request: str, delta: llm.ChoiceDelta) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id=request, delta=delta))


class SlowVoice(tts.TTS[Never]):
    """Says anything in `spoken_s` seconds of silence, or as `sound`, whose first sample comes `delay_s` seconds after the text."""

    def __init__(self, delay_s: float, spoken_s: float = _SPOKEN_S, sound: bytes | None = None) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)
        self.delay_s = delay_s
        self.sound = sound or np.zeros(int(RATE * spoken_s), dtype=np.int16).tobytes()

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _SlowSpeech(tts=self, input_text=text, conn_options=conn_options)


class _SlowSpeech(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        owner = self._tts
        assert isinstance(owner, SlowVoice)
        output_emitter.initialize(request_id=utils.shortuuid(), sample_rate=RATE, num_channels=1, mime_type="audio/pcm")
        await asyncio.sleep(owner.delay_s)
        output_emitter.push(owner.sound)
        output_emitter.flush()


class StreamingSTT(stt.STT[Never]):
    """Hears by streams of the kind `listening`, and by nothing else."""

    listening: ClassVar[type[stt.RecognizeStream]]

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))

    def stream(
        self, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> stt.RecognizeStream:
        del language
        return self.listening(stt=self, conn_options=conn_options)

    async def _recognize_impl(
        self, buffer: utils.AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        raise NotImplementedError


class _ScriptedListening(stt.RecognizeStream):
    async def _run(self) -> None:
        owner = self._stt
        assert isinstance(owner, ScriptedSTT)
        while True:
            text = await owner.said.get()
            said = stt.SpeechData(language=LanguageCode("en"), text=text, confidence=0.9)
            for kind, alternatives in (
                (stt.SpeechEventType.START_OF_SPEECH, []),
                (stt.SpeechEventType.FINAL_TRANSCRIPT, [said]),
                (stt.SpeechEventType.END_OF_SPEECH, []),
            ):
                self._event_ch.send_nowait(stt.SpeechEvent(type=kind, alternatives=alternatives))


class ScriptedSTT(StreamingSTT):
    """Hears what `hear` is given, as one final transcript and the end of the caller's turn."""

    listening = _ScriptedListening

    def __init__(self) -> None:
        super().__init__()
        self.said: asyncio.Queue[str] = asyncio.Queue()

    def hear(self, text: str) -> None:
        self.said.put_nowait(text)


class Ear(io.TextOutput):
    """Notes when the first text and the first sound came since `listen`; times are `time.perf_counter`."""

    def __init__(self) -> None:
        super().__init__(label="ear", next_in_chain=None)
        self.text_at: float | None = None
        self.sound_at: float | None = None
        self._heard = asyncio.Event()
        self._read = asyncio.Event()

    def listen(self) -> None:
        self.text_at = self.sound_at = None
        self._heard.clear()
        self._read.clear()

    async def text(self) -> float:
        """Wait for the first text and return when it came."""
        await self._read.wait()
        assert self.text_at is not None
        return self.text_at

    async def sound(self) -> float:
        """Wait for the first sound and return when it came."""
        await self._heard.wait()
        assert self.sound_at is not None
        return self.sound_at

    async def capture_text(self, text: str) -> None:
        if self.text_at is None and text.strip():
            self.text_at = time.perf_counter()
            self._read.set()

    def flush(self) -> None: ...

    def on_frame(self, frame: rtc.AudioFrame, at: float) -> None:
        del frame, at
        if self.sound_at is None:
            self.sound_at = time.perf_counter()
            self._heard.set()
