"""Whole calls of Patchbay's for the benchmarks: where their events go, and models that are given, not configured."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
from livekit.agents import llm, stt, tts, vad

from benchmarks.sides import REGISTRY
from runtime.session.call_session import SystemClock
from runtime.session.event_log import EventLog
from runtime.session.ports import CallRow, RunnerOrder, Store
from runtime.voice.live_call import CallPlan
from runtime.voice.pipeline import Providers
from runtime.workflow.graph import Agent, Workflow
from tools.runner import Runner
from tools.services import Services

__all__ = ["Calls", "Given", "call_row", "open_calls"]


class Given(Providers):
    """Models that are given in the place of those that a config names; without `voice` it is the config's.

    The detector of voices is the product's own; without `detects` there is none, for the listener tells the end of a turn.
    """

    def __init__(
        self,
        model: llm.LLM[Any],
        listener: stt.STT[Any],
        voice: tts.TTS[Any] | None,
        *,
        detects: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._model, self._listener, self._voice, self._detects = model, listener, voice, detects

    def llm(self, agent: Agent) -> llm.LLM[Any]:
        del agent
        return self._model

    def stt(self, agent: Agent) -> stt.STT[Any]:
        del agent
        return self._listener

    def tts(self, agent: Agent) -> tts.TTS[Any]:
        return super().tts(agent) if self._voice is None else self._voice

    def vad(self, agent: Agent) -> vad.VAD:
        return super().vad(agent) if self._detects else cast("vad.VAD", None)


@dataclass(frozen=True, slots=True)
class Calls:
    """Where calls are held: a log whose events go to a store, an organization, and the benchmarks' tools."""

    log: EventLog
    organization_id: str
    services: Services

    def plan(
        self,
        workflow: Workflow,
        providers: Providers,
        row: CallRow | None = None,
        clock: SystemClock | None = None,
        encrypt: Callable[[str], str] = str,
    ) -> CallPlan:
        """Return the plan of a call, by voice unless its row says otherwise; its row is in the log."""
        return CallPlan(
            workflow=workflow,
            log=self.log.open_call(row or call_row(self.organization_id)),
            clock=clock or SystemClock(),
            tools=Runner(REGISTRY, self.services, RunnerOrder(self.organization_id, workflow)),
            providers=providers,
            encrypt=encrypt,
            runtime_version="benchmark",
            goodbye_s=0.0,
        )


def call_row(organization_id: str, channel: str = "voice_test", worker_id: str | None = None) -> CallRow:
    """Return the row of a call that begins now; with a worker its state is kept for another one."""
    return CallRow(
        id=str(uuid4()),
        organization_id=organization_id,
        workflow_version_id=None,
        channel=channel,
        direction="inbound",
        is_test=True,
        started_at=datetime.now(UTC),
        worker_id=worker_id,
    )


@asynccontextmanager
async def open_calls(store: Store, folder: Path | None = None) -> AsyncIterator[Calls]:
    """Yield where calls are held; their local log is in `folder`, or in one that goes with the block."""
    organization = await store.ensure_organization("benchmark")
    async with AsyncExitStack() as stack:
        log = await EventLog.open(folder or Path(stack.enter_context(tempfile.TemporaryDirectory())), store)
        stack.push_async_callback(log.aclose)
        yield Calls(log, organization.id, Services(await stack.enter_async_context(httpx.AsyncClient())))
