"""A call of turn and turn about for the lines' benchmarks: stand-ins that answer at once, on a real detector of voices."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from livekit import rtc
from livekit.agents import AgentSession, LanguageCode, TurnHandlingOptions, inference, stt
from livekit.agents.voice import Agent as LiveKitAgent

from benchmarks.calls import Calls, Given, open_calls
from benchmarks.fakes import RATE, ScriptedLLM, SlowVoice, StreamingSTT
from runtime.session.ports import Store
from runtime.voice.live_call import LiveCall, open_call
from runtime.voice.pipeline import warm
from runtime.voice.wav import Samples, samples_of
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Workflow, compile_workflow
from tests.fakes.speech import take
from worker.legs import Leg
from worker.tuning import tune

__all__ = ["Desk", "Listener", "Talks", "bare_session", "caller_speech", "open_talks", "voice"]

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


class Listener(StreamingSTT):
    """Hears one sentence in whatever is loud, told at its end: it reads the sound and recognises nothing."""

    listening = _Listening


def voice() -> SlowVoice:
    """Return what says anything in 1.8 s of a real voice, all of it at once."""
    return SlowVoice(0.0, sound=_spoken())


@cache
def _spoken() -> bytes:
    return take(_SAID, RATE).tobytes()


class Desk(LiveKitAgent):
    """The agent of a bare session: it greets."""

    async def on_enter(self) -> None:
        self.session.say(GREETING)


def bare_session(on_turn: Callable[[], None]) -> AgentSession[None]:
    """Return an AgentSession with the same stand-ins as a call of `Talks`, not yet started."""
    session: AgentSession[None] = AgentSession(
        stt=Listener(),
        llm=ScriptedLLM(),
        tts=voice(),
        vad=inference.VAD(),
        turn_handling=TurnHandlingOptions(turn_detection="vad"),
    )

    def added(event: Any) -> None:
        if getattr(event.item, "role", "") == "user":
            on_turn()

    session.on("conversation_item_added", added)
    return session


@dataclass(frozen=True, slots=True)
class Talks:
    """Whole calls of Patchbay's: engine, events in the local log and behind it in the store."""

    calls: Calls
    workflow: Workflow

    @asynccontextmanager
    async def open(self, on_turn: Callable[[], None]) -> AsyncIterator[LiveCall]:
        """Yield a call that has not begun; `on_turn` is called for each turn of its caller's."""
        plan = self.calls.plan(self.workflow, Given(ScriptedLLM(), Listener(), voice(), offline=True))
        plan.log.subscribe(lambda event: on_turn() if event.event_type == "user_turn" else None)
        async with open_call(plan, text=False) as live:
            yield live

    async def hold(self, leg: Leg, on_turn: Callable[[], None]) -> None:
        """Answer a caller on a line, and talk until they have gone."""
        async with self.open(on_turn) as live:
            await leg.answer()
            await leg.connect(live)
            await live.begin()
            departure = await leg.gone()
            live.call.stop(departure.reason, departure.status)


@asynccontextmanager
async def open_talks(store: Store) -> AsyncIterator[Talks]:
    """Yield calls whose events go to `store`, in a process that is warm and tuned as a worker is."""
    warm()
    tune()
    voice()  # its sound is read before anybody calls
    workflow = compile_workflow(WorkflowConfig.model_validate(_CONFIG), version_id=str(uuid.uuid4()))
    async with open_calls(store) as calls:
        yield Talks(calls, workflow)
