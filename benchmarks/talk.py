"""A call of turn and turn about for the lines' benchmarks: stand-ins that answer at once, on a real detector of voices."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, Never

import numpy as np
from livekit import rtc
from livekit.agents import LanguageCode, llm, stt, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr

from benchmarks.fakes import RATE, ScriptedLLM
from benchmarks.sides import REGISTRY
from runtime.session.call_session import SystemClock
from runtime.session.event_log import EventLog
from runtime.session.ports import CallRow, RunnerOrder
from runtime.voice.live_call import CallPlan, LiveCall, open_call
from runtime.voice.pipeline import Providers
from runtime.voice.wav import Samples, samples_of
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Agent, Workflow, compile_workflow
from tests.fakes.speech import take
from tools.runner import Runner
from tools.services import Services

__all__ = ["GREETING", "Listener", "Talks", "Voice", "caller_speech"]

GREETING: Final = "Hello."
_CYCLE_S: Final = 6.0
_SAID: Final = "hello i have a question about my invoice"
_LOUD: Final = 1000
_WORDS_S: Final = 0.4
_PAUSE_S: Final = 0.3

_CONFIG: Final[Mapping[str, Any]] = {
    "schema_version": 1,
    "session": {"silence": {"after_s": 600}},
    "agents": [
        {"id": "a", "name": "Desk", "instructions": "Help.", "greeting": {"mode": "say", "text": GREETING}},
    ],
}


def caller_speech(rate: int) -> Samples:
    """Return what a caller says over and over: a question of 1.8 s, and silence in which the agent answers; 6 s in all."""
    words = take(_SAID, rate)
    return np.pad(words, (0, int(_CYCLE_S * rate) - words.size))


class Listener(stt.STT[Never]):
    """Hears one sentence in whatever is loud, told at its end: it reads the sound and recognises nothing."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))

    def stream(
        self, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> stt.RecognizeStream:
        del language
        return _Listening(stt=self, conn_options=conn_options)

    async def _recognize_impl(
        self, buffer: utils.AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        raise NotImplementedError


class _Listening(stt.RecognizeStream):
    async def _run(self) -> None:
        loud_s = quiet_s = 0.0
        async for item in self._input_ch:
            if not isinstance(item, rtc.AudioFrame):
                continue
            if int(samples_of(item).max()) > _LOUD:
                loud_s, quiet_s = loud_s + item.duration, 0.0
            else:
                quiet_s += item.duration
            if loud_s > _WORDS_S and quiet_s > _PAUSE_S:
                loud_s = 0.0
                self._tell()

    def _tell(self) -> None:
        said = stt.SpeechData(language=LanguageCode("en"), text=_SAID, confidence=0.9)
        self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[said]))


class Voice(tts.TTS[Never]):
    """Says anything in 1.8 s of a real voice, all of it at once."""

    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Speech(tts=self, input_text=text, conn_options=conn_options)


class _Speech(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(request_id=utils.shortuuid(), sample_rate=RATE, num_channels=1, mime_type="audio/pcm")
        output_emitter.push(_spoken())
        output_emitter.flush()


@cache
def _spoken() -> bytes:
    return take(_SAID, RATE).tobytes()


class _StandIns(Providers):
    """The stand-ins in the place of every model; the detector of voices is the product's own."""

    def __init__(self) -> None:
        super().__init__(offline=True)
        self._model, self._listener, self._voice = ScriptedLLM(), Listener(), Voice()

    def llm(self, agent: Agent) -> llm.LLM[Any]:
        del agent
        return self._model

    def stt(self, agent: Agent) -> stt.STT[Any]:
        del agent
        return self._listener

    def tts(self, agent: Agent) -> tts.TTS[Any]:
        del agent
        return self._voice


@dataclass(frozen=True, slots=True)
class Talks:
    """Whole calls of Patchbay's: engine, events in the local log and behind it in `log`'s store."""

    log: EventLog
    organization_id: str
    services: Services
    workflow: Workflow

    @classmethod
    async def on(cls, log: EventLog, services: Services, organization_id: str) -> Talks:
        """Return them on a log that is open; `_spoken` is read before anybody calls."""
        _spoken()
        workflow = compile_workflow(WorkflowConfig.model_validate(_CONFIG), version_id=str(uuid.uuid4()))
        return cls(log, organization_id, services, workflow)

    @asynccontextmanager
    async def open(self, on_turn: Callable[[], None]) -> AsyncIterator[LiveCall]:
        """Yield a call that has not begun; `on_turn` is called for each turn of its caller's."""
        row = CallRow(
            str(uuid.uuid4()),
            self.organization_id,
            None,
            "voice_test",
            "inbound",
            is_test=True,
            started_at=datetime.now(UTC),
        )
        plan = CallPlan(
            workflow=self.workflow,
            log=self.log.open_call(row),
            clock=SystemClock(),
            tools=Runner(REGISTRY, self.services, RunnerOrder(self.organization_id, self.workflow)),
            providers=_StandIns(),
            encrypt=lambda text: text,
            runtime_version="benchmark",
            goodbye_s=0.0,
        )
        plan.log.subscribe(lambda event: on_turn() if event.event_type == "user_turn" else None)
        async with open_call(plan, text=False) as live:
            yield live
