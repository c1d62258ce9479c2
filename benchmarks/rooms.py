"""`python -m benchmarks.rooms`: what a call in a LiveKit room costs a worker, by the length of the frames it takes in.

A real livekit-server, callers in processes of their own whose microphones are open, whole calls with local models in
this process. The lengths are measured in turn; what counts is the ratio of one run. Also said: how many threads are
left after the calls, which grows where rooms leave some behind.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import worker.rooms.sound
from runtime.voice.pipeline import warm
from runtime.voice.rooms import join_token
from tests.calls.runs import Place
from tests.fakes.livekit_server import LiveKitServer, livekit_server
from tests.fakes.room_caller import caller_process
from tests.worker.rooms.desk import CallDesk
from worker.rooms.source import open_rooms
from worker.tuning import tune

__all__ = ["measure"]

LENGTHS = (50, 100)
_CONFIG: Mapping[str, Any] = {
    "schema_version": 1,
    "session": {"silence": {"after_s": 600}},
    "agents": [
        {"id": "a", "name": "Desk", "instructions": "Help.", "greeting": {"mode": "say", "text": "Hello."}},
    ],
}


async def measure(server: LiveKitServer, folder: Path, frame_ms: int, calls: int, seconds: float) -> float:
    """Return the worker's CPU for one call, in percent of a core, over `seconds` in which `calls` are connected."""
    worker.rooms.sound.FRAME_MS = frame_ms  # type: ignore[misc]
    desk, settings = CallDesk(_CONFIG, Place(folder)), server.settings()
    rooms = [f"bench-{uuid.uuid4().hex[:8]}" for _ in range(calls)]
    async with open_rooms(settings, desk):
        with ExitStack() as stack:
            for room in rooms:
                caller = caller_process(server.url, join_token(settings, room, "anna"))
                await asyncio.to_thread(stack.enter_context, caller)
            await desk.until(lambda: len(desk.calls) == calls)
            await asyncio.sleep(3)  # the greetings
            cpu, since = time.process_time(), time.monotonic()
            await asyncio.sleep(seconds)
            used = (time.process_time() - cpu) / (time.monotonic() - since)
            for leg in desk.legs:
                leg.lost()  # type: ignore[attr-defined]
            await desk.until(lambda: len(desk.results) == calls)
    return 100 * used / calls


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


async def _run(rounds: int, calls: int, seconds: float) -> None:
    warm()
    tune()
    found: dict[int, list[float]] = {length: [] for length in LENGTHS}
    with tempfile.TemporaryDirectory() as name, livekit_server(Path(name)) as server:
        for number in range(rounds):
            for length in LENGTHS[:: -1 if number % 2 else 1]:
                folder = Path(name) / f"{number}-{length}"
                folder.mkdir()
                found[length].append(await measure(server, folder, length, calls, seconds))
                print(f"{length} ms: {found[length][-1]:.1f} % of a core a call; threads {_threads()}", flush=True)
    for length, values in found.items():
        print(f"{length} ms frames, median: {statistics.median(values):.1f} % of a core a call")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    asyncio.run(_run(given.rounds, given.calls, given.seconds))
