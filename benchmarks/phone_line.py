"""What a call on the worker's own SIP line costs: a conversation, and one whose agent talks without end beside the bare stack.

Callers are in a process of their own, and see each packet when it arrives. What counts is the CPU of both of the worker's
processes: its own and the one with the SIP stack.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.children import child
from benchmarks.report import dotted_table
from tests.fakes.sip_caller import free_port

__all__ = ["measure"]

CALLS: Final = 20
SECONDS: Final = 12.0
_PROCESS: Final = "benchmarks.phone_process"
_RUNS: Final = {"converse": "patchbay", "talk": "patchbay", "bare": "baresip"}
"""What is run, and whose figures it gives."""


async def measure(
    *, rounds: int = 3, calls: int = CALLS, seconds: float = SECONDS, runs: Sequence[str] = tuple(_RUNS)
) -> dict[str, float]:
    """Return the rounds' medians, CPU in percent of a core for one call of `calls` at once.

    `sip_line_cpu_percent.patchbay` is a conversation with stand-ins for the models (`_worker` and `_host` its parts);
    `sip_talk_cpu_percent` and `sip_packet_interval_…_ms` are an agent that talks without end, `.patchbay` and `.baresip`.
    Raises AssertionError where a side falls silent.
    """
    found: dict[str, list[Mapping[str, float]]] = {run: [] for run in runs}
    for number in range(rounds):
        for run in runs[:: -1 if number % 2 else 1]:
            print(f"phone, round {number + 1} of {rounds}: {run}", file=sys.stderr)
            found[run].append(await _measured(run, calls, seconds))
    result: dict[str, float] = {}
    for run, rows in found.items():
        for name in rows[0]:
            result[f"{name}.{_RUNS[run]}"] = round(statistics.median(each[name] for each in rows), 3)
    return result


async def _measured(run: str, calls: int, seconds: float) -> Mapping[str, float]:
    words = ("bare", f"127.0.0.1:{free_port()}") if run == "bare" else (run,)
    asked = ("callers", str(calls), str(seconds), run)
    async with child(_PROCESS, *words) as worker, child(_PROCESS, *asked) as callers:
        callers.tell(await worker.answer())
        assert await callers.answer() == "talking"
        worker.tell("begin")
        heard: dict[str, float] = await callers.answer()
        worker.tell("end")
        used = await worker.answer()
    parts = {part: used[part]["all"] / calls for part in ("worker", "host") if part in used}
    if run != "converse":
        return {"sip_talk_cpu_percent": sum(parts.values())} | heard
    turns: int = used["turns"]
    assert turns >= calls * seconds / 12, f"{turns} turns in {calls} calls of {seconds:g} s"
    share = {f"sip_line_cpu_percent_{part}": value for part, value in parts.items()}
    return {"sip_line_cpu_percent": sum(parts.values()), **share, "sip_turns_a_minute": 60 * turns / seconds / calls}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    print(dotted_table(asyncio.run(measure(rounds=given.rounds, calls=given.calls, seconds=given.seconds))))
