"""`python -m benchmarks.executors`: calls on one event loop beside a thread and a loop for each, as LiveKit's thread executor does.

Each session has audio in and out, a real voice activity detector, and a model and a voice that answer at once. Both
shapes are measured in turn, each in a process of its own; what counts is the ratio of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
from livekit import rtc
from livekit.agents import AgentSession, TurnHandlingOptions
from livekit.agents.inference import VAD
from livekit.agents.voice import Agent

from benchmarks.fakes import PLAIN, RATE, ScriptedLLM, ScriptedSTT, SlowVoice
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.audio import PcmInput, PcmOutput, frame_of
from worker.tuning import tune

Shape = Literal["loop", "threads"]

_IN_RATE: Final = 16000
_FRAME_S: Final = 0.05
_TURN_S: Final = 3.0


class Caller:
    """One session and its caller: noise for half of the time, silence for the other, a turn every three seconds."""

    def __init__(self, seed: int) -> None:
        noise = np.random.default_rng(seed).normal(0, 2000, int(_IN_RATE * _FRAME_S))
        self._loud = frame_of(noise.astype(np.int16), _IN_RATE)
        self._quiet = frame_of(np.zeros(int(_IN_RATE * _FRAME_S), dtype=np.int16), _IN_RATE)
        self.late: list[float] = []
        self.turns = 0
        self._offset = seed % 7 / 7 * _TURN_S

    async def run(self, until: float, measure_from: float) -> None:
        """Talk until `until` (monotonic seconds); frames sent from `measure_from` on are measured."""
        ear, listener = PcmInput(rate=_IN_RATE), ScriptedSTT()
        session: AgentSession[None] = AgentSession(
            stt=listener,
            llm=ScriptedLLM(),
            tts=SlowVoice(0.0),
            vad=VAD(model="silero"),
            turn_handling=TurnHandlingOptions(turn_detection="stt"),
        )
        session.input.audio = ear
        session.output.audio = PcmOutput(self._heard, rate=RATE)
        await session.start(Agent(instructions="Be brief."), record=False)
        try:
            await self._talk(ear, listener, until, measure_from)
        finally:
            await session.aclose()

    async def _talk(self, ear: PcmInput, listener: ScriptedSTT, until: float, measure_from: float) -> None:
        start = due = time.monotonic()
        next_turn = start + self._offset
        while (now := time.monotonic()) < until:
            if now >= measure_from:
                self.late.append(now - due)
            ear.push(self._loud if int((now - start) / (_TURN_S / 2)) % 2 else self._quiet)
            if now >= next_turn:
                listener.hear(PLAIN)
                self.turns += 1
                next_turn += _TURN_S
            due = max(due + _FRAME_S, now - 1.0)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _heard(self, frame: rtc.AudioFrame, at: float) -> None: ...


def measure(shape: Shape, calls: int, seconds: float) -> dict[str, float]:
    """Run `calls` callers for `seconds` after they have settled, and return what it cost."""
    _warm_up()
    tune()
    callers = [Caller(number) for number in range(calls)]
    before = _memory_mb()
    measure_from = time.monotonic() + 3.0 + calls * 0.05
    until = measure_from + seconds
    cpu: list[float] = []
    for moment in (measure_from, until):
        timer = threading.Timer(moment - time.monotonic(), lambda: cpu.append(time.process_time()))
        timer.daemon = True
        timer.start()
    _RUNS[shape](callers, until + 0.2, measure_from)
    late = [late for caller in callers for late in caller.late]
    return {
        "cpu_per_call": 100 * (cpu[1] - cpu[0]) / seconds / calls,
        "late_p50_ms": 1e3 * statistics.median(late),
        "late_p99_ms": 1e3 * statistics.quantiles(late, n=100)[98],
        "memory_per_call_mb": (_memory_mb() - before) / calls,
    }


def _on_one_loop(callers: list[Caller], until: float, measure_from: float) -> None:
    async def run() -> None:
        tasks = [spawn(caller.run(until, measure_from), name="caller") for caller in callers]
        try:
            await asyncio.gather(*tasks)
        finally:
            await cancel_and_wait(*tasks)

    asyncio.run(run())


def _on_threads(callers: list[Caller], until: float, measure_from: float) -> None:
    def run(caller: Caller) -> None:
        asyncio.run(caller.run(until, measure_from))

    threads = [threading.Thread(target=run, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


_RUNS: Final[dict[Shape, Callable[[list[Caller], float, float], None]]] = {"loop": _on_one_loop, "threads": _on_threads}


def _warm_up() -> None:
    """Load what the first session loads: it is no session's cost."""
    caller = Caller(0)
    asyncio.run(caller.run(time.monotonic() + 1.0, time.monotonic()))


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_a_process(shape: Shape, calls: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.executors", "--shape", shape]
    done = subprocess.run(
        [*command, "--calls", str(calls), "--seconds", str(seconds)], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _compare(calls: int, seconds: float, rounds: int) -> None:
    found: dict[Shape, list[dict[str, float]]] = {"loop": [], "threads": []}
    for number in range(rounds):
        for shape in sorted(found, reverse=bool(number % 2)):
            found[shape].append(_in_a_process(shape, calls, seconds))
    print(f"\n{calls} calls\n{'':24}{'one loop':>12}{'threads':>12}{'ratio':>8}")
    for name in found["loop"][0]:
        loop, threads = (statistics.median(run[name] for run in found[shape]) for shape in ("loop", "threads"))
        print(f"{name:24}{loop:12.2f}{threads:12.2f}{loop / threads if threads else 0:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.executors", description=__doc__)
    parser.add_argument("--shape", choices=sorted(_RUNS))
    parser.add_argument("--calls", type=int, nargs="+", default=[20, 40])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=2)
    options: Any = parser.parse_args()
    for calls in options.calls:
        if options.shape is not None:
            print(json.dumps(measure(options.shape, calls, options.seconds)))
        else:
            _compare(calls, options.seconds, options.rounds)


if __name__ == "__main__":
    main()
