"""`python -m benchmarks.peers.livekit_voice WAV [tuned]`: bare AgentSessions by voice, custom sound in and out, providers at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from livekit.agents import AgentSession
from livekit.agents.inference import VAD
from livekit.agents.voice import Agent

from benchmarks.fakes import ScriptedLLM, SlowVoice
from benchmarks.peers.script import AGENTS
from benchmarks.peers.serving import serve, tune
from benchmarks.peers.sound import Ears
from benchmarks.peers.voice_calls import SPOKEN_S, Call, OpenCall, frames_of, voice_orders


class _Inline(Executor):
    """Runs the detector at once in place of handing each window to a thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class _Desk(Agent):
    async def on_enter(self) -> None:
        self.session.generate_reply()


def _opening(executor: Executor | None) -> OpenCall:
    @asynccontextmanager
    async def open_call(call: Call) -> AsyncIterator[None]:
        session: AgentSession[None] = AgentSession(
            stt=call.listener,
            llm=ScriptedLLM(),
            tts=SlowVoice(0.0, SPOKEN_S),
            vad=VAD(executor=executor),
            turn_handling={"turn_detection": "vad", "endpointing": {"mode": "fixed", "min_delay": 0.0}},
            user_away_timeout=None,
        )
        call.watch(session)
        session.input.audio = ears = Ears()
        call.push = ears.push
        session.output.audio = call.mouth
        await session.start(_Desk(instructions=AGENTS["front_desk"].prompt), record=False)
        try:
            yield
        finally:
            await session.aclose()

    return open_call


async def _main(wav: Path, *, tuned: bool) -> None:
    await serve(voice_orders(_opening(_Inline() if tuned else None), frames_of(wav), tune))


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), tuned="tuned" in sys.argv[2:]))
