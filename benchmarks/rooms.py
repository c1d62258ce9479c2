"""`python -m benchmarks.rooms`: what a call in a LiveKit room costs its worker, Patchbay's beside a bare AgentSession's.

A real livekit-server, callers in a process of their own who speak turn and turn about with the agent, and the worker in
another one, whose CPU is counted alone, thread by thread. The sides take turns; what counts is the ratio of one run.
Also said: how many threads a second set of calls leaves behind in the worker that the first did not.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.children import Child, child
from benchmarks.report import dotted_table
from runtime.voice.rooms import join_token
from tests.fakes.livekit_server import LiveKitServer, livekit_server

__all__ = ["measure"]

SIDES: Final = ("livekit", "patchbay")
_SETTLED_WITHIN_S: Final = 6.0
_PROCESS: Final = "benchmarks.rooms_process"


async def measure(*, rounds: int = 3, calls: int = 3, seconds: float = 12.0) -> dict[str, float]:
    """Return `room_cpu_percent.SIDE`, the worker's CPU for one call in percent of a core (median of the rounds).

    Also `room_cpu_percent_THREAD.SIDE` for each of its threads' names, `room_turns_a_minute.SIDE` for one call, and
    `room_threads_left.SIDE`. Raises AssertionError where a side falls silent or livekit-server is missing.
    """
    found: dict[str, list[Mapping[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as name, livekit_server(Path(name)) as server:
        for number in range(rounds):
            for side in SIDES[:: -1 if number % 2 else 1]:
                print(f"rooms, round {number + 1} of {rounds}: {side}", file=sys.stderr)
                found[side].append(await _measured(server, side, calls, seconds))
    return {f"{key}.{side}": value for side in SIDES for key, value in _medians(found[side]).items()}


def _medians(results: list[Mapping[str, float]]) -> dict[str, float]:
    names = {name for result in results for name in result}
    return {name: round(statistics.median(result.get(name, 0.0) for result in results), 3) for name in sorted(names)}


async def _measured(server: LiveKitServer, side: str, calls: int, seconds: float) -> Mapping[str, float]:
    async with child(_PROCESS, side, str(server.folder), str(server.port)) as worker:
        await worker.answer()
        first = (await _wave(server, worker, side, calls, 0.0))[1]
        used, left = await _wave(server, worker, side, calls, seconds)
    turns = used.pop("turns")
    assert turns >= calls * seconds / 12, f"{side}: {turns} turns in {calls} calls of {seconds:g} s"
    return {
        "room_cpu_percent": used.pop("all") / calls,
        **{f"room_cpu_percent_{name}": value / calls for name, value in used.items() if value / calls >= 0.02},
        "room_turns_a_minute": 60 * turns / seconds / calls,
        "room_threads_left": left - first,
    }


async def _wave(
    server: LiveKitServer, worker: Child, side: str, calls: int, seconds: float
) -> tuple[dict[str, float], float]:
    """Have so many call at once; return what their worker used meanwhile and how many threads it has afterwards."""
    settings = server.settings(agent_name=f"bench-{side}")
    rooms = [f"bench-{uuid.uuid4().hex[:8]}" for _ in range(calls)]
    tokens = [join_token(settings, room, "anna", agent_name=_dispatched(side)) for room in rooms]
    worker.tell("join", *(rooms if side == "livekit" else ()))
    async with child(_PROCESS, "callers", server.url, *tokens) as callers:
        await worker.answer()
        await callers.answer()
        worker.tell("begin")
        await asyncio.sleep(seconds)
        worker.tell("end")
        used: dict[str, float] = await worker.answer()
        await callers.aclose()
    return used, await _threads(worker)


def _dispatched(side: str) -> str:
    """The bare side joins by itself: nobody is dispatched under this name."""
    return "bench-patchbay" if side == "patchbay" else "nobody"


async def _threads(worker: Child) -> float:
    """Return the least number of threads that the worker comes to within some seconds."""
    least, until = float("inf"), asyncio.get_running_loop().time() + _SETTLED_WITHIN_S
    while asyncio.get_running_loop().time() < until:
        worker.tell("idle")
        least = min(least, await worker.answer())
        await asyncio.sleep(1)
    return least


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=12.0)
    given = parser.parse_args()
    print(dotted_table(asyncio.run(measure(rounds=given.rounds, calls=given.calls, seconds=given.seconds))))
