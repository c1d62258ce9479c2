"""What a call on the worker's own SIP line costs: a conversation, and one whose agent talks without end beside the bare stack.

Callers are in a process of their own, and see each packet when it arrives. What counts is the CPU of both of the worker's
processes: its own and the one with the SIP stack.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Mapping
from typing import Final

from benchmarks.children import child
from tests.fakes.sip_caller import free_port

__all__ = ["measure", "table"]

CALLS: Final = 20
SECONDS: Final = 12.0
_PROCESS: Final = "benchmarks.phone_process"
_RUNS: Final = ("converse", "talk", "bare")


async def measure(*, rounds: int = 3, calls: int = CALLS, seconds: float = SECONDS) -> dict[str, float]:
    """Return the rounds' medians, CPU in percent of a core for one call of `calls` at once.

    `sip_line_cpu_percent.patchbay` is a conversation with stand-ins for the models (`_worker` and `_host` its parts);
    `sip_talk_cpu_percent` and `sip_packet_interval_…_ms` are an agent that talks without end, `.patchbay` and `.baresip`.
    Raises AssertionError where a side falls silent.
    """
    found: dict[str, list[Mapping[str, float]]] = {run: [] for run in _RUNS}
    for number in range(rounds):
        for run in _RUNS[:: -1 if number % 2 else 1]:
            print(f"phone, round {number + 1} of {rounds}: {run}", file=sys.stderr)
            found[run].append(await _measured(run, calls, seconds))
    result: dict[str, float] = {}
    for run, side in (("converse", "patchbay"), ("talk", "patchbay"), ("bare", "baresip")):
        for name in found[run][0]:
            result[f"{name}.{side}"] = round(statistics.median(each[name] for each in found[run]), 3)
    return result


def table(found: Mapping[str, float]) -> str:
    """Return the figures as lines of text, one a name."""
    sides = ("patchbay", "baresip")
    lines = [f"{'':34}" + "".join(f"{side:>12}" for side in sides) + f"{'ratio':>8}"]
    for name in dict.fromkeys(key.rpartition(".")[0] for key in found):
        ours, bare = (found.get(f"{name}.{side}") for side in sides)
        cells = "".join(f"{'' if value is None else format(value, '.2f'):>12}" for value in (ours, bare))
        lines.append(f"{name:34}{cells}" + (f"{ours / bare:8.2f}" if ours is not None and bare else ""))
    return "\n".join(lines)


async def _measured(run: str, calls: int, seconds: float) -> Mapping[str, float]:
    words = ("bare", f"127.0.0.1:{free_port()}") if run == "bare" else (run,)
    async with child(_PROCESS, *words) as worker:
        listen: str = await worker.answer()
        async with child(_PROCESS, "callers", listen, str(calls), str(seconds), run) as callers:
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
    print(table(asyncio.run(measure(rounds=given.rounds, calls=given.calls, seconds=given.seconds))))
