"""The whole of Patchbay under a conversation: rules, events, local log, writer, tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
from livekit.agents import llm, stt, tts, vad

from benchmarks.fakes import RATE, Ear, ScriptedLLM, ScriptedSTT, SlowVoice
from benchmarks.sides import REGISTRY, Talk, workflow
from runtime.harness.chat import ChatCaller
from runtime.harness.script import Say
from runtime.session.call_session import SystemClock
from runtime.session.event_log import EventLog
from runtime.session.ports import CallRow, RunnerOrder, Store
from runtime.voice.audio import PcmInput, PcmOutput
from runtime.voice.live_call import CallPlan, LiveCall, open_call
from runtime.voice.pipeline import Providers
from runtime.workflow.graph import Agent
from tools.runner import Runner
from tools.services import Services

__all__ = ["Patchbay"]


class Scripted(Providers):
    """The fakes in the place of every provider; the key checks and constructors are left out, for they run once a call."""

    def __init__(self, model: ScriptedLLM, voice_s: float) -> None:
        super().__init__()
        self.model = model
        self.listener = ScriptedSTT()
        self.voice = SlowVoice(voice_s)

    def llm(self, agent: Agent) -> llm.LLM[Any]:
        del agent
        return self.model

    def stt(self, agent: Agent) -> stt.STT[Any]:
        del agent
        return self.listener

    def tts(self, agent: Agent) -> tts.TTS[Any]:
        del agent
        return self.voice

    def vad(self, agent: Agent) -> vad.VAD:
        del agent
        return cast("vad.VAD", None)  # the scripted listener tells the end of the turn


class PatchbayTalk:
    """A call of Patchbay's under way."""

    def __init__(self, live: LiveCall, providers: Scripted, clock: SystemClock, log: EventLog) -> None:
        self.llm = providers.model
        self.ear = Ear()
        self._live = live
        self._listener = providers.listener
        self._caller = ChatCaller(live, clock)
        self._log = log
        self._spoken = False

    async def begin(self, *, spoken: bool) -> None:
        live = self._live
        self._spoken = spoken
        live.session.output.transcription = self.ear
        if spoken:
            live.session.input.audio = PcmInput()
            live.session.output.audio = PcmOutput(self.ear.on_frame, rate=RATE)
        await self._caller.begin()

    async def turn(self, text: str) -> None:
        self.ear.listen()
        if not self._spoken:
            await self._caller.take(Say(text))
            return
        self._listener.hear(text)
        await self.ear.sound()
        await self._live.line.wait_idle()

    async def settle(self) -> None:
        await self._log.flush()


class Patchbay:
    """The side of Patchbay; made by `opened`."""

    def __init__(self, log: EventLog, organization_id: str, services: Services) -> None:
        self._log = log
        self._organization_id = organization_id
        self._services = services
        self._workflow = workflow()

    @classmethod
    @asynccontextmanager
    async def opened(cls, store: Store, folder: Path) -> AsyncIterator[Patchbay]:
        """Yield the side with its local log in `folder` and its events going to `store`."""
        organization = await store.ensure_organization("benchmark")
        async with AsyncExitStack() as stack:
            log = await EventLog.open(folder, store)
            stack.push_async_callback(log.aclose)
            http = await stack.enter_async_context(httpx.AsyncClient())
            yield cls(log, organization.id, Services(http))

    @asynccontextmanager
    async def open(self, voice: tuple[float, float] | None = None) -> AsyncIterator[Talk]:
        model_s, voice_s = voice or (0.0, 0.0)
        channel = "voice_test" if voice else "chat_test"
        row = CallRow(
            str(uuid4()), self._organization_id, None, channel, "inbound", is_test=True, started_at=datetime.now(UTC)
        )
        providers, clock = Scripted(ScriptedLLM(model_s), voice_s), SystemClock()
        plan = CallPlan(
            workflow=self._workflow,
            log=self._log.open_call(row),
            clock=clock,
            tools=Runner(REGISTRY, self._services, RunnerOrder(self._organization_id, self._workflow)),
            providers=providers,
            encrypt=lambda text: text,
            runtime_version="benchmark",
            goodbye_s=0.0,
        )
        async with open_call(plan, text=voice is None) as live:
            talk = PatchbayTalk(live, providers, clock, self._log)
            await talk.begin(spoken=voice is not None)
            yield talk
