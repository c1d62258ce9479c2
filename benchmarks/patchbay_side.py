"""The whole of Patchbay under a conversation: rules, events, local log, writer, tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.calls import Calls, Given, call_row, open_calls
from benchmarks.fakes import RATE, Ear, ScriptedLLM, ScriptedSTT, SlowVoice
from benchmarks.sides import Talk, workflow
from runtime.harness.chat import ChatCaller
from runtime.harness.script import Say
from runtime.session.call_session import SystemClock
from runtime.session.event_log import EventLog
from runtime.session.ports import Store
from runtime.voice.audio import PcmInput, PcmOutput
from runtime.voice.live_call import LiveCall, open_call

__all__ = ["Patchbay"]


class PatchbayTalk:
    """A call of Patchbay's under way."""

    def __init__(
        self, live: LiveCall, providers: tuple[ScriptedLLM, ScriptedSTT], clock: SystemClock, log: EventLog
    ) -> None:
        self.llm, self._listener = providers
        self.ear = Ear()
        self._live = live
        self._caller = ChatCaller(live, clock)
        self._log = log
        self._mouth: PcmOutput | None = None

    async def begin(self, *, spoken: bool) -> None:
        live = self._live
        live.session.output.transcription = self.ear
        if spoken:
            self._mouth = PcmOutput(self.ear.on_frame, rate=RATE)
            live.session.input.audio = PcmInput()
            live.session.output.audio = self._mouth
        await self._caller.begin()

    async def hang_up(self) -> None:
        """Leave as a caller does, and close what the call's line closes."""
        await self._caller.leave()
        if self._mouth is not None:
            await self._mouth.aclose()

    async def turn(self, text: str) -> None:
        self.ear.listen()
        if self._mouth is None:
            await self._caller.take(Say(text))
            return
        self._listener.hear(text)
        await self.ear.sound()
        await self._live.line.wait_idle()

    async def settle(self) -> None:
        await self._log.flush()


class Patchbay:
    """The side of Patchbay; made by `opened`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._workflow = workflow()

    @classmethod
    @asynccontextmanager
    async def opened(cls, store: Store, folder: Path) -> AsyncIterator[Patchbay]:
        """Yield the side with its local log in `folder` and its events going to `store`."""
        async with open_calls(store, folder) as calls:
            yield cls(calls)

    async def settle(self) -> None:
        """Wait until every event has been delivered."""
        await self._calls.log.flush()

    @asynccontextmanager
    async def open(self, voice: tuple[float, float] | None = None) -> AsyncIterator[Talk]:
        model_s, voice_s = voice or (0.0, 0.0)
        row = call_row(self._calls.organization_id, "voice_test" if voice else "chat_test")
        model, listener, clock = ScriptedLLM(model_s), ScriptedSTT(), SystemClock()
        providers = Given(model, listener, SlowVoice(voice_s), detects=False)
        plan = self._calls.plan(self._workflow, providers, row, clock)
        async with open_call(plan, text=voice is None) as live:
            talk = PatchbayTalk(live, (model, listener), clock, self._calls.log)
            await talk.begin(spoken=voice is not None)
            yield talk
            await talk.hang_up()
