"""`python -m benchmarks.response`: what an answer takes beyond the silence that the detector of voice activity needs.

Providers answer at once and no delay of endpointing is wanted, so that what is left is the runtime's own. It is counted
from the moment at which the microphone's frame is there that holds the last sample the detector needs, which is found
afterwards by giving it the same samples alone. Patchbay's call and a bare AgentSession take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from livekit import rtc
from livekit.agents import TurnHandlingOptions, inference
from livekit.agents.vad import VADEventType
from livekit.agents.voice import Agent as LiveKitAgent
from livekit.agents.voice import AgentSession

from benchmarks.calls import Given, open_calls
from benchmarks.fakes import PLAIN, RATE, Ear, ScriptedLLM, ScriptedSTT, SlowVoice
from benchmarks.sides import workflow
from runtime.harness.voice import FRAME, FRAME_S, speech
from runtime.harness.voice import RATE as EAR_RATE
from runtime.store.memory import MemoryStore
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.audio import PcmInput, PcmOutput, Samples, frame_of
from runtime.voice.live_call import open_call
from runtime.voice.pipeline import turn_options
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Workflow, compile_workflow
from worker.tuning import tune

__all__ = ["measure"]

_QUIET_S: Final = 1.2
_WITHIN_S: Final = 5.0


@dataclass(slots=True)
class Microphone:
    """Sends a frame each 20 ms, silence where nobody speaks, and remembers when each was there."""

    source: PcmInput
    sent: list[Samples] = field(default_factory=list)
    times: list[tuple[float, float]] = field(default_factory=list)
    waiting: list[Samples] = field(default_factory=list)
    spoken: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Send until cancelled."""
        loop, due = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        silence = np.zeros(FRAME, dtype=np.int16)
        while True:
            speaks = bool(self.waiting)
            frame = self.waiting.pop(0) if speaks else silence
            self.sent.append(frame)
            self.times.append((time.perf_counter(), time.process_time()))
            self.source.push(frame)
            if speaks and not self.waiting:
                self.spoken.set()
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def say(self, words: Samples) -> int:
        """Speak, wait until the last of it is sent, and return how many samples there have been until then."""
        padded = np.concatenate([words, np.zeros(-words.size % FRAME, dtype=np.int16)])
        self.spoken.clear()
        self.waiting += list(padded.reshape(-1, FRAME))
        await self.spoken.wait()
        return len(self.sent) * FRAME


class _Ear(Ear):
    """Notes what the process has used of its processor when the first sound comes, too."""

    cpu_s = 0.0

    def on_frame(self, frame: rtc.AudioFrame, at: float) -> None:
        if self.sound_at is None:
            self.cpu_s = time.process_time()
        super().on_frame(frame, at)


@dataclass(slots=True)
class _Talk:
    """A side's conversation."""

    source: PcmInput
    listener: ScriptedSTT
    ear: _Ear


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds between the detector's last sample and the first of the answer, and what the process did meanwhile."""

    wall_s: float
    cpu_s: float


def _flow() -> Workflow:
    config = workflow().config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    quick = {"min_delay_s": 0, "max_delay_s": 0, "dictation_delay_s": 0}
    config["defaults"]["turn"] = {"detection": "vad", "endpointing": quick}
    return compile_workflow(WorkflowConfig.model_validate(config))


@asynccontextmanager
async def _patchbay(folder: Path) -> AsyncIterator[_Talk]:
    listener = ScriptedSTT()
    providers = Given(ScriptedLLM(), listener, SlowVoice(0.0))
    async with (
        open_calls(MemoryStore(), folder) as calls,
        open_call(calls.plan(_flow(), providers), text=False) as live,
    ):
        talk = _Talk(PcmInput(), listener, _Ear())
        live.connect(talk.source, PcmOutput(talk.ear.on_frame, rate=RATE))
        await live.begin()
        yield talk


@asynccontextmanager
async def _livekit(_folder: Path) -> AsyncIterator[_Talk]:
    talk = _Talk(PcmInput(), ScriptedSTT(), _Ear())
    session: AgentSession[None] = AgentSession(
        vad=inference.VAD(),
        stt=talk.listener,
        llm=ScriptedLLM(),
        tts=SlowVoice(0.0),
        turn_handling=cast("TurnHandlingOptions", turn_options(_flow().entry)),
        user_away_timeout=None,
        aec_warmup_duration=None,
    )
    session.input.audio = talk.source
    session.output.audio = PcmOutput(talk.ear.on_frame, rate=RATE)
    await session.start(LiveKitAgent(instructions="Be brief."), record=False)
    try:
        yield talk
    finally:
        await session.aclose()


_SIDES: Final[dict[str, Callable[[Path], Any]]] = {"patchbay": _patchbay, "livekit": _livekit}


async def _waits(side: str, words: Samples, turns: int, folder: Path) -> list[Wait]:
    """Take so many turns in a conversation of their own."""
    async with _SIDES[side](folder) as talk:
        microphone = Microphone(talk.source)
        sending = spawn(microphone.run(), name="microphone")
        try:
            heard = [await _turn(talk, microphone, words) for _ in range(turns)]
        finally:
            await cancel_and_wait(sending)
    ends = await _detected(microphone.sent)
    found = []
    for samples, at, cpu in heard:
        began, used = microphone.times[_first_after(ends, samples) // FRAME]
        found.append(Wait(at - began, cpu - used))
    return found


async def _turn(talk: _Talk, microphone: Microphone, words: Samples) -> tuple[int, float, float]:
    """Return how many samples there were when the caller had spoken; when the answer was heard, and the CPU by then."""
    await asyncio.sleep(_QUIET_S)
    talk.ear.listen()
    spoken = await microphone.say(words)
    talk.listener.hear(PLAIN)
    async with asyncio.timeout(_WITHIN_S):
        return spoken, await talk.ear.sound(), talk.ear.cpu_s


def _first_after(ends: list[int], samples: int) -> int:
    """Return the index of the last sample that the detector needed for the end of what was said until `samples`."""
    return min(end for end in ends if end > samples - EAR_RATE // 10) - 1


async def _detected(sent: list[Samples]) -> list[int]:
    """Return after how many samples the detector alone found an end of speech."""
    stream = inference.VAD().stream()
    for frame in sent:
        stream.push_frame(frame_of(frame, EAR_RATE))
    stream.end_input()
    ends = [event.samples_index async for event in stream if event.type is VADEventType.END_OF_SPEECH]
    await stream.aclose()
    return ends


async def _measure(turns: int, rounds: int) -> dict[str, float]:
    words = await speech("Could you help me please")
    found: dict[str, list[Wait]] = {side: [] for side in _SIDES}
    with tempfile.TemporaryDirectory() as folder:
        for side in found:
            await _waits(side, words, 1, Path(folder) / f"{side}-first")
        tune()
        for number in range(rounds):
            for side in sorted(found, reverse=bool(number % 2)):
                found[side] += await _waits(side, words, turns, Path(folder) / f"{side}-{number}")
    figures: dict[str, float] = {}
    for side, waits in found.items():
        figures[f"response_overhead_ms.{side}"] = 1e3 * statistics.median(wait.wall_s for wait in waits)
        figures[f"response_overhead_least_ms.{side}"] = 1e3 * min(wait.wall_s for wait in waits)
        figures[f"response_cpu_ms.{side}"] = 1e3 * statistics.median(wait.cpu_s for wait in waits)
    return figures


def measure(turns: int = 6, rounds: int = 2) -> dict[str, float]:
    """Return by side, in ms, the median and the least wait, and the CPU that the process used in it (median).

    Beside other work on the machine the wait is a multiple of the CPU. Needs the extra `local` for the caller's voice.
    """
    return asyncio.run(_measure(turns, rounds))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.response", description=__doc__)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    for name, value in measure(given.turns, given.rounds).items():
        print(f"{name:46}{value:10.1f}")


if __name__ == "__main__":
    main()
