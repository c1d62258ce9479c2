"""`python -m benchmarks.patchbay_voice WAV DSN FOLDER`: Patchbay by voice, events on, with the same instant providers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.calls import Given, call_row
from benchmarks.fakes import ScriptedLLM, SlowVoice
from benchmarks.patchbay_text import open_workshop, script_workflow
from benchmarks.peers.serving import serve
from benchmarks.peers.sound import IN_RATE
from benchmarks.peers.voice_calls import SPOKEN_S, Call, OpenCall, frames_of, voice_orders
from runtime.logging import configure_logging
from runtime.session.call_session import SystemClock
from runtime.voice.audio import PcmInput
from runtime.voice.composing import Ordered, Workshop
from runtime.voice.live_call import open_call
from runtime.voice.vad import WINDOW_S
from runtime.workflow.graph import Workflow
from worker.tuning import tune


def _opening(workshop: Workshop, workflow: Workflow, organization_id: str) -> OpenCall:
    @asynccontextmanager
    async def opened(call: Call) -> AsyncIterator[None]:
        clock = SystemClock()
        ordered = Ordered(workflow, call_row(organization_id), clock, stored=False)
        providers = Given(ScriptedLLM(), call.listener, SlowVoice(0.0, SPOKEN_S))
        plan = replace(workshop.plan(ordered, providers), goodbye_s=0.0)
        async with open_call(plan, text=False) as live:
            call.watch(live.session)
            ears = PcmInput(rate=IN_RATE, gather_s=WINDOW_S)  # as the runtime's own lines do
            call.push = lambda frame: ears.push(bytes(frame.data))
            live.connect(ears, call.mouth)
            await live.begin()
            yield
            live.stop("caller_hangup")

    return opened


async def _main(wav: Path, dsn: str, folder: Path) -> None:
    configure_logging("warning", "console")
    async with open_workshop(dsn, folder) as (workshop, organization_id):
        opening = _opening(workshop, script_workflow(None), organization_id)
        await serve(voice_orders(opening, frames_of(wav), tune))


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
