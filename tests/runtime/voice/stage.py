"""A call by voice on a real AgentSession, with stand-ins for everything that is not ours; whose sound may run faster than life."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from livekit import rtc

from runtime.session.call_session import SystemClock
from runtime.session.event_log import EventLog
from runtime.session.ports import CallRow, ToolRunner
from runtime.voice.audio import PcmInput, PcmOutput
from runtime.voice.live_call import CallPlan, LiveCall, open_call
from runtime.voice.spoken import SpokenCache
from runtime.voice.watchdog import Limits
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import compile_workflow
from tests.fakes.store_outages import RowStore, StoreOutages
from tests.fakes.voice_providers import Answer, Asked, Ears, Mind, Standins, Throat, Throb

__all__ = ["SHORT", "Stage", "config", "on_stage"]

Json = Any
SHORT = Limits(
    filler_s=0.5,
    answer_margin_s=0.2,
    first_audio_s=0.5,
    stalled_audio_s=0.5,
    transcript_s=0.4,
    speech_s=0.0,
    tool_s=0.5,
    tool_again_s=1.0,
    turn_s=0.4,
    loop_s=0.4,
)


def config(**changes: Json) -> dict[str, Json]:
    """Return a workflow of one agent that greets, with keys of the agent replaced."""
    agent = {
        "id": "desk",
        "name": "Desk",
        "instructions": "Help.",
        "greeting": {"mode": "say", "text": "Hello there."},
        "llm": {"provider": "local", "timeout_s": 1.0},
        "turn": {"endpointing": {"min_delay_s": 0.05, "max_delay_s": 0.1}, "interruption": {"resume_after_s": 0.5}},
    }
    return {"session": {"silence": {"after_s": 60}}, "agents": [agent | changes]}


@dataclass(slots=True)
class Stage:
    """One call on stage."""

    live: LiveCall
    store: StoreOutages
    mind: Mind
    throat: Throat
    ears: Ears
    throb: Throb
    heard: list[float] = field(default_factory=list)
    """When each frame of the agent's was heard, on the loop's clock."""

    def frame(self, frame: rtc.AudioFrame, _at: float) -> None:
        self.heard.append(asyncio.get_running_loop().time())
        self.sound += frame.data.tobytes()

    sound: bytearray = field(default_factory=bytearray)
    """The agent's sound as it was heard, s16 mono PCM at the stand-in voice's rate."""

    async def until(self, condition: Callable[[], bool], within_s: float = 10.0) -> None:
        """Wait until it holds; TimeoutError where it does not within the time."""
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - much changes it, and not all of that tells
                await asyncio.sleep(0.01)

    async def greeted(self) -> None:
        """Wait until the agent has said its greeting and is silent."""
        await self.until(lambda: len(self.said) == 1)
        await self.live.line.wait_idle()

    def speak(self, text: str) -> None:
        """Let the caller say a turn."""
        self.throb.begin()
        self.ears.hear(text)
        self.throb.end(0.4)

    @property
    def events(self) -> list[tuple[str, Mapping[str, Json]]]:
        rows = self.store.store.event_rows.get(self.live.plan.log.row.id, {})
        return [(row.event_type, row.payload) for _, row in sorted(rows.items())]

    def payloads(self, event_type: str) -> list[Mapping[str, Json]]:
        return [payload for kind, payload in self.events if kind == event_type]

    @property
    def said(self) -> list[str]:
        """What was heard of the agent, turn by turn."""
        return [payload["spoken_text"] for payload in self.payloads("agent_turn")]

    @property
    def faults(self) -> list[tuple[str, str | None]]:
        """The faults in order: code, and what the caller got instead."""
        return [(payload["code"], payload["recovered_by"]) for payload in self.payloads("fault_raised")]


@asynccontextmanager
async def on_stage(
    folder: Path,
    raw: Mapping[str, Json],
    answer: Callable[[Asked], Answer],
    *,
    tools: ToolRunner,
    limits: Limits = SHORT,
    speed: float = 8.0,
    spoken: SpokenCache | None = None,
    ready: bool = False,
    **plan_fields: Json,
) -> AsyncIterator[Stage]:
    """Open a call and let it begin; afterwards it is ended and closed. `plan_fields` are fields of its CallPlan.

    `spoken` is what calls share as sound; with `ready` the call got ready before it began, as one that rings does.
    """
    store = StoreOutages(RowStore())
    workflow = compile_workflow(WorkflowConfig.model_validate(raw), version_id="v")
    row = CallRow(str(uuid.uuid4()), "o", "v", "voice_test", "inbound", is_test=True, started_at=datetime.now(UTC))
    async with AsyncExitStack() as stack:
        log = await EventLog.open(folder, store, flush_s=0.01)
        stack.push_async_callback(log.aclose)
        providers = Standins(Mind(answer), Throat(), Ears(), Throb(), spoken=spoken)
        plan = CallPlan(
            workflow=workflow,
            log=log.open_call(row),
            clock=SystemClock(),
            tools=tools,
            providers=providers,
            encrypt=str,
            runtime_version="tests",
            **{"goodbye_s": 0.05, **plan_fields},
        )
        live = await stack.enter_async_context(open_call(plan, text=False))
        stage = Stage(live, store, providers.mind, providers.throat, providers.ears, providers.throb)
        loop = asyncio.get_running_loop()
        output = PcmOutput(
            stage.frame,
            clock=lambda: loop.time() * speed,
            sleep=lambda seconds: asyncio.sleep(seconds / speed),
        )
        source = PcmInput()
        stack.push_async_callback(output.aclose)
        live.connect(source, output)
        live.bridge.limits = limits
        if ready:
            await live.prepare()
        await live.begin()
        yield stage
        live.call.stop("caller_hangup")
        source.close()
