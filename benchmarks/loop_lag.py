"""`python -m benchmarks.loop_lag`: how late the event loop is under 50 calls by voice, and what keeps it.

Each call has sound in and out, a real voice activity detector, encrypted checkpoints, the local log and its writer; its
model and voice answer at once. `lag` is wall clock and so the machine's as well; what a callback takes is measured in
processor time of the loop's thread, which nobody else's work lengthens.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from cryptography.fernet import Fernet

from benchmarks.calls import Calls, Given, call_row, open_calls
from benchmarks.fakes import MOVE_BACK, MOVE_ON, ORDER, PLAIN, RATE, TOPIC, ScriptedLLM, ScriptedSTT, SlowVoice
from benchmarks.forgetful import ForgetfulStore
from benchmarks.sides import workflow
from runtime.logging import configure_logging
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.audio import PcmInput, PcmOutput, frame_of
from runtime.voice.live_call import CallPlan, open_call
from runtime.workflow.graph import Workflow
from worker.observing.loop_lag import LoopMonitor, watched_loop
from worker.tuning import tune

__all__ = ["measure"]

CALLS: Final = 50
SECONDS: Final = 20.0
LONG_S: Final = 0.020
_IN_RATE: Final = 16000
_FRAME_S: Final = 0.05
_TURN_S: Final = 4.0
_SAYINGS: Final = (PLAIN, ORDER, TOPIC, MOVE_ON, ORDER, MOVE_BACK)


@dataclass(slots=True)
class Kept:
    """What kept the loop: by callback its longest stretch of processor time in seconds, and all lags and stretches."""

    lags: list[float] = field(default_factory=list)
    stretches: list[float] = field(default_factory=list)
    collections: list[float] = field(default_factory=list)
    longest: dict[str, float] = field(default_factory=dict)

    def numbers(self) -> dict[str, float]:
        """Return milliseconds; `loop_blocks_over_20_ms` counts callbacks."""
        lags, stretches = sorted(self.lags), sorted(self.stretches)
        return {
            "loop_lag_p50_ms": 1e3 * statistics.median(lags),
            "loop_lag_p99_ms": 1e3 * lags[int(len(lags) * 0.99)],
            "loop_lag_max_ms": 1e3 * lags[-1],
            "callback_p99_ms": 1e3 * stretches[int(len(stretches) * 0.99)],
            "callback_max_ms": 1e3 * stretches[-1],
            "collection_max_ms": 1e3 * max(self.collections, default=0.0),
            "loop_blocks_over_20_ms": float(sum(stretch > LONG_S for stretch in stretches)),
        }


def measure(calls: int = CALLS, seconds: float = SECONDS) -> dict[str, float]:
    """Return the numbers of `Kept` for so many calls by voice, talking for so many seconds."""
    return asyncio.run(_measured(calls, seconds)).numbers()


async def _measured(calls: int, seconds: float) -> Kept:
    flow, key = workflow(), Fernet(Fernet.generate_key())
    async with open_calls(ForgetfulStore()) as held:
        callers = [_Caller(number, held, flow, key) for number in range(calls)]
        await callers[0].run(2.0)  # what is imported and made at first use
        tune()
        return await _while_they_talk(callers, seconds)


async def _while_they_talk(callers: Sequence[_Caller], seconds: float) -> Kept:
    kept = Kept()
    talking = [spawn(caller.run(seconds + 5.0), name=f"caller {caller.number}") for caller in callers]
    await asyncio.sleep(5.0)  # the calls begin one by one, as in life
    monitor = LoopMonitor(kept.lags.append, lambda _ms: None, interval_s=0.01)
    with watched_loop(monitor), _timed_callbacks(kept):
        await asyncio.sleep(seconds)
    await asyncio.gather(*talking)
    return kept


@contextmanager
def _timed_callbacks(kept: Kept) -> Iterator[None]:
    """Time every callback of the loop, and the collector's runs among them."""
    handles: Any = asyncio.events.Handle
    original = handles._run  # noqa: SLF001 - the one place all of them pass
    began = 0.0

    def run(handle: Any) -> None:
        name, since = _name(handle), time.thread_time()
        original(handle)
        stretch = time.thread_time() - since
        kept.stretches.append(stretch)
        if stretch > kept.longest.get(name, 0.0):
            kept.longest[name] = stretch

    def collected(phase: str, _info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.thread_time()
        else:
            kept.collections.append(time.thread_time() - began)

    handles._run = run  # noqa: SLF001
    gc.callbacks.append(collected)
    try:
        yield
    finally:
        handles._run = original  # noqa: SLF001
        gc.callbacks.remove(collected)


def _name(handle: Any) -> str:
    """Name a callback: of a task, what it runs."""
    callback = handle._callback  # noqa: SLF001
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return str(getattr(owner.get_coro(), "__qualname__", owner.get_name()))
    return str(getattr(callback, "__qualname__", type(callback).__name__))


class _Caller:
    """One caller: noise for half of the time, silence for the other, and a turn every four seconds."""

    def __init__(self, number: int, calls: Calls, flow: Workflow, key: Fernet) -> None:
        self.number = number
        self._calls = calls
        self._flow = flow
        self._key = key
        noise = np.random.default_rng(number).normal(0, 2000, int(_IN_RATE * _FRAME_S))
        self._loud = frame_of(noise.astype(np.int16), _IN_RATE)
        self._quiet = frame_of(np.zeros(int(_IN_RATE * _FRAME_S), dtype=np.int16), _IN_RATE)

    async def run(self, seconds: float) -> None:
        """Call, talk and hang up."""
        until = time.monotonic() + seconds
        await asyncio.sleep(self.number * 0.05)
        listener = ScriptedSTT()
        async with open_call(self._plan(listener), text=False) as live:
            ear = PcmInput(rate=_IN_RATE)
            live.connect(ear, PcmOutput(lambda _frame, _at: None, rate=RATE))
            await live.begin()
            talking = spawn(self._talk(listener), name="sayings")
            await self._sound(ear, until)
            await cancel_and_wait(talking)

    async def _sound(self, ear: PcmInput, until: float) -> None:
        start = due = time.monotonic()
        while (now := time.monotonic()) < until:
            ear.push(self._loud if int((now - start) / (_TURN_S / 2)) % 2 else self._quiet)
            due = max(due + _FRAME_S, now - 1.0)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _talk(self, listener: ScriptedSTT) -> None:
        await asyncio.sleep(self.number % 7 / 7 * _TURN_S)
        while True:
            for saying in _SAYINGS:
                listener.hear(saying)
                await asyncio.sleep(_TURN_S)

    def _plan(self, listener: ScriptedSTT) -> CallPlan:
        row = call_row(self._calls.organization_id, worker_id="benchmark")
        providers = Given(ScriptedLLM(), listener, SlowVoice(0.0))
        return self._calls.plan(
            self._flow, providers, row, encrypt=lambda text: self._key.encrypt(text.encode()).decode()
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loop_lag", description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    configure_logging("error", "console")
    kept = asyncio.run(_measured(options.calls, options.seconds))
    for name, number in kept.numbers().items():
        print(f"{name:28}{number:12,.2f}")
    print("\nlongest callbacks, ms of processor time")
    for name, stretch in sorted(kept.longest.items(), key=lambda item: -item[1])[:15]:
        print(f"{1e3 * stretch:10.2f}  {name}")


if __name__ == "__main__":
    main()
