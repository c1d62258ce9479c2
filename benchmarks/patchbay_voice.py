"""`python -m benchmarks.patchbay_voice WAV DSN FOLDER`: Patchbay by voice, events on, with the same instant providers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from livekit.agents import llm, stt, tts

from benchmarks.fakes import ScriptedLLM, ScriptedSTT, SlowVoice
from benchmarks.patchbay_text import open_workshop, script_workflow
from benchmarks.peers.serving import serve
from benchmarks.peers.voice_calls import SPOKEN_S, Call, OpenCall, frames_of, voice_orders
from runtime.logging import configure_logging
from runtime.session.call_session import SystemClock
from runtime.session.ports import CallRow
from runtime.store.postgres import PostgresStore
from runtime.voice.composing import Ordered, Workshop
from runtime.voice.live_call import open_call
from runtime.voice.pipeline import Providers
from runtime.workflow.graph import Agent, Workflow
from worker.tuning import tune


class Instant(Providers):
    """Models that answer at once in the place of those that are named; the detector is the one that calls have."""

    def __init__(self, listener: ScriptedSTT) -> None:
        super().__init__()
        self._listener = listener
        self._model = ScriptedLLM()
        self._voice = SlowVoice(0.0, SPOKEN_S)

    def llm(self, agent: Agent) -> llm.LLM[Any]:
        del agent
        return self._model

    def stt(self, agent: Agent) -> stt.STT[Any]:
        del agent
        return self._listener

    def tts(self, agent: Agent) -> tts.TTS[Any]:
        del agent
        return self._voice


def _opening(workshop: Workshop, workflow: Workflow, organization_id: str) -> OpenCall:
    @asynccontextmanager
    async def opened(call: Call) -> AsyncIterator[None]:
        clock = SystemClock()
        ordered = Ordered(workflow, _row(organization_id), clock, stored=False)
        plan = replace(workshop.plan(ordered, Instant(call.listener)), goodbye_s=0.0)
        async with open_call(plan, text=False) as live:
            call.watch(live.session)
            live.connect(call.ears, call.mouth)
            await live.begin()
            yield
            live.stop("caller_hangup")

    return opened


def _row(organization_id: str) -> CallRow:
    return CallRow(
        id=str(uuid4()),
        organization_id=organization_id,
        workflow_version_id=None,
        channel="voice_test",
        direction="inbound",
        is_test=True,
        started_at=datetime.now(UTC),
    )


async def _main(wav: Path, dsn: str, folder: Path) -> None:
    configure_logging("warning", "console")
    store = PostgresStore(dsn)
    try:
        organization = await store.ensure_organization("benchmark")
        async with open_workshop(store, folder) as workshop:
            opening = _opening(workshop, script_workflow(None), organization.id)
            await serve(voice_orders(opening, frames_of(wav), tune))
    finally:
        await store.aclose()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
