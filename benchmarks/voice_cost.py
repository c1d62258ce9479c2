"""`python -m benchmarks.voice_cost`: CPU of a voice session with sound of its own in and out, in % of a core.

Callers of 6 s turn about (1.8 s of speech, 1.8 s of answer, silence), pushed as frames of 20 ms at 16 kHz; a real
detector of voices; a listener, a model and a voice that answer at once. A side is a process of its own that does
nothing else, and the sides take turns. `--profile` prints where Patchbay's side spends its time.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

import numpy as np
from livekit import rtc
from livekit.agents.telemetry import loop_monitor
from livekit.agents.voice import io

from benchmarks.fakes import RATE
from benchmarks.forgetful import ForgetfulStore
from benchmarks.talk import Desk, Talks, bare_session, caller_speech, open_talks
from runtime.logging import configure_logging
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.audio import PcmInput, PcmOutput, frame_of
from runtime.voice.vad import WINDOW_S
from worker.tuning import tune

__all__ = ["SIDES", "measure"]

Numbers = dict[str, float]
Push = Callable[[rtc.AudioFrame], None]

SIDES: Final = ("patchbay", "livekit", "livekit_tuned")
_IN_RATE: Final = 16000
_FRAME_S: Final = 0.02
_CYCLE_S: Final = 6.0
_LATENCY_S: Final = 3.0
"""What a session may need from its opening to its first turn's end."""


def measure(calls: int = 30, rounds: int = 2, cycles: int = 2) -> Numbers:
    """Return `voice_session_cpu_percent` and `voice_session_lateness_p99_ms` (of the pushed frames) by side, medians of the rounds."""
    found: dict[str, list[Numbers]] = {side: [] for side in SIDES}
    for number in range(rounds):
        for side in SIDES if number % 2 else reversed(SIDES):
            found[side].append(_in_a_process(side, calls, cycles))
    return {
        f"{figure}.{side}": statistics.median(each[figure] for each in runs)
        for side, runs in found.items()
        for figure in ("voice_session_cpu_percent", "voice_session_lateness_p99_ms")
    }


def _in_a_process(side: str, calls: int, cycles: int) -> Numbers:
    command = [sys.executable, "-m", "benchmarks.voice_cost", "--side", side]
    done = subprocess.run(
        [*command, "--calls", str(calls), "--cycles", str(cycles)], check=True, stdout=subprocess.PIPE, text=True
    )
    found: Numbers = json.loads(done.stdout.splitlines()[-1])
    print(side, found, file=sys.stderr)
    return found


# ---------------------------------------------------------------- sides


class _Side:
    """Opens sessions; what each is to hear is pushed to what `open` yields. `turns` counts what they have heard."""

    def __init__(self) -> None:
        self.turns = 0

    def open(self) -> AbstractAsyncContextManager[Push]:
        raise NotImplementedError

    def turn(self) -> None:
        self.turns += 1


class _Patchbay(_Side):
    def __init__(self, talks: Talks) -> None:
        super().__init__()
        self._talks = talks

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Push]:
        async with self._talks.open(self.turn) as live:
            ear = PcmInput(rate=_IN_RATE, gather_s=WINDOW_S)  # as the worker's own SIP line does
            live.connect(ear, PcmOutput(_heard, rate=RATE))
            await live.begin()
            yield lambda frame: ear.push(bytes(frame.data))
            live.call.stop("caller_hangup")
            ear.close()


@asynccontextmanager
async def _patchbay() -> AsyncIterator[_Side]:
    async with open_talks(ForgetfulStore()) as talks:
        yield _Patchbay(talks)


class _Input(io.AudioInput):
    """Sound of the caller's, frame by frame, as LiveKit's documentation has it."""

    def __init__(self) -> None:
        super().__init__(label="benchmark")
        self.frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()

    async def __anext__(self) -> rtc.AudioFrame:
        return await self.frames.get()


class _LiveKit(_Side):
    @asynccontextmanager
    async def open(self) -> AsyncIterator[Push]:
        session = bare_session(self.turn)
        ear = _Input()
        session.input.audio = ear
        session.output.audio = PcmOutput(_heard, rate=RATE)
        await session.start(Desk(instructions="Help."), record=False)
        yield ear.frames.put_nowait
        await session.aclose()


@asynccontextmanager
async def _livekit() -> AsyncIterator[_Side]:
    loop_monitor.start_monitoring(asyncio.get_running_loop(), name="job")  # as its job processes do
    yield _LiveKit()
    loop_monitor.stop_monitoring(asyncio.get_running_loop())


@asynccontextmanager
async def _livekit_tuned() -> AsyncIterator[_Side]:
    tune()
    yield _LiveKit()


def _heard(_frame: rtc.AudioFrame, _at: float) -> None: ...


_OPEN: Final[dict[str, Callable[[], AbstractAsyncContextManager[_Side]]]] = {
    "patchbay": _patchbay,
    "livekit": _livekit,
    "livekit_tuned": _livekit_tuned,
}


# ---------------------------------------------------------------- one process


class _Callers:
    """Pushes what the callers say, each a little after the other, all from one task: it is no session's cost."""

    def __init__(self, pushes: list[Push]) -> None:
        speech = caller_speech(_IN_RATE)
        size = int(_IN_RATE * _FRAME_S)
        self._frames = [frame_of(speech[at : at + size], _IN_RATE) for at in range(0, speech.size - size + 1, size)]
        self._callers = [(push, number * len(self._frames) // len(pushes)) for number, push in enumerate(pushes)]
        self.late: list[float] = []

    async def run(self) -> None:
        """Talk until cancelled."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        tick = 0
        while True:
            for push, offset in self._callers:
                push(self._frames[(tick + offset) % len(self._frames)])
            tick += 1
            await asyncio.sleep(max(0.0, start + tick * _FRAME_S - loop.time()))
            self.late.append(loop.time() - start - tick * _FRAME_S)


async def _run(side: _Side, calls: int, cycles: int, profile: cProfile.Profile | None) -> Numbers:
    async with AsyncExitStack() as stack:
        pushes = [await stack.enter_async_context(side.open()) for _ in range(calls)]
        callers = _Callers(pushes)
        talking = spawn(callers.run(), name="callers")
        await asyncio.sleep(_CYCLE_S + _LATENCY_S)
        turns, cpu = side.turns, time.process_time()
        callers.late.clear()
        if profile is not None:
            profile.enable()
        await asyncio.sleep(cycles * _CYCLE_S)
        if profile is not None:
            profile.disable()
        spent, heard = time.process_time() - cpu, side.turns - turns
        await cancel_and_wait(talking)
    # A machine that stands still for a second moves turns across the edge of what is measured.
    assert abs(heard - calls * cycles) <= 0.5 * calls, f"{heard} turns were heard of {calls * cycles}"
    return {
        "voice_session_cpu_percent": 100 * spent / (cycles * _CYCLE_S) / calls,
        "voice_session_lateness_p99_ms": 1e3 * float(np.quantile(callers.late, 0.99)),
    }


async def _side(name: str, calls: int, cycles: int, profile: cProfile.Profile | None = None) -> Numbers:
    configure_logging("error", "console")
    async with _OPEN[name]() as side:
        return await _run(side, calls, cycles, profile)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.voice_cost", description=__doc__)
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--cycles", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    options: Any = parser.parse_args()
    if options.side is None:
        for name, value in measure(options.calls, options.rounds, options.cycles).items():
            print(f"{name:48}{value:10.3f}")
        return
    profile = cProfile.Profile() if options.profile else None
    print(json.dumps(asyncio.run(_side(options.side, options.calls, options.cycles, profile))))
    if profile is not None:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    main()
