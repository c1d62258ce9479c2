"""`python -m benchmarks.memory`: what a further call takes, what talk adds to it, and what calls leave behind.

Each figure comes of a process of its own, with the collector tuned as in a worker, a store that keeps nothing, and
models that answer at once. Memory is what the process has resident, from /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from benchmarks.fakes import MOVE_BACK, MOVE_ON, ORDER, PLAIN, TOPIC
from benchmarks.forgetful import ForgetfulStore
from benchmarks.patchbay_side import Patchbay
from runtime.logging import configure_logging
from worker.tuning import tune

__all__ = ["measure"]

Numbers = dict[str, float]

TEXT_SESSIONS: Final = 50
VOICE_SESSIONS: Final = 20
TURNS: Final = 45
"""Of the call whose growth is measured: at a turn and its answer every six seconds that is four and a half minutes of talk."""
TURN_S: Final = 6.0
CALLS: Final = 10_000
_FIRST_CALLS: Final = 1000
_LONGEST_S: Final = 360.0
_WARM_UP_CALLS: Final = 20
_VOICE: Final = (0.0, 0.0)


def measure() -> Numbers:
    """Return megabytes, and the ratio of what is resident after many calls to what was after a thousand.

    `session_memory_mb` for each further session by text and `voice_session_memory_mb` by voice, `growth_mb_per_minute`
    of talk by voice and `growth_kb_per_turn`, `rss_after_calls_ratio` after `calls_measured` calls (fewer than 10 000 where that takes over six minutes).
    """
    found: Numbers = {}
    for part in _PARTS:
        command = [sys.executable, "-m", "benchmarks.memory", "--part", part]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found |= json.loads(done.stdout.splitlines()[-1])
    return found


async def _text_sessions(side: Patchbay) -> Numbers:
    return {"session_memory_mb": await _each(side, TEXT_SESSIONS, None)}


async def _voice_sessions(side: Patchbay) -> Numbers:
    return {"voice_session_memory_mb": await _each(side, VOICE_SESSIONS, _VOICE)}


async def _each(side: Patchbay, sessions: int, voice: tuple[float, float] | None) -> float:
    """Open sessions with two turns each on top of ten others, and return the megabytes of one."""
    async with AsyncExitStack() as stack:

        async def opened(count: int) -> None:
            for _ in range(count):
                talk = await stack.enter_async_context(side.open(voice))
                for text in (PLAIN, ORDER):
                    await talk.turn(text)

        await opened(10)
        before = _resident_mb()
        await opened(sessions)
        return (_resident_mb() - before) / sessions


async def _growth(side: Patchbay) -> Numbers:
    """Talk for `TURNS` turns in each of ten calls by voice, after a few that fill what is filled once."""
    async with AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(side.open(_VOICE)) for _ in range(10)]

        async def turns(count: int) -> None:
            for number in range(count):
                await asyncio.gather(*(talk.turn(ORDER if number % 3 == 1 else PLAIN) for talk in talks))

        await turns(15)
        before = _resident_mb()
        await turns(TURNS)
        per_turn = (_resident_mb() - before) / len(talks) / TURNS
        return {"growth_mb_per_minute": per_turn * 60 / TURN_S, "growth_kb_per_turn": 1024 * per_turn}


async def _many(side: Patchbay) -> Numbers:
    loop = asyncio.get_running_loop()
    began, first, done = loop.time(), 0.0, 0
    while done < CALLS and loop.time() - began < _LONGEST_S:
        await asyncio.gather(*(_call(side) for _ in range(10)))
        done += 10
        if done == _FIRST_CALLS:
            first = _resident_mb()
    return {"rss_after_calls_ratio": _resident_mb() / first, "calls_measured": float(done), "rss_mb": _resident_mb()}


async def _call(side: Patchbay) -> None:
    async with side.open() as talk:
        for text in (PLAIN, TOPIC, ORDER, MOVE_ON, PLAIN, MOVE_BACK):
            await talk.turn(text)


_PARTS: Final[Mapping[str, Callable[[Patchbay], Awaitable[Numbers]]]] = {
    "text": _text_sessions,
    "voice": _voice_sessions,
    "growth": _growth,
    "many": _many,
}


async def _in_this_process(part: str) -> Numbers:
    with tempfile.TemporaryDirectory() as folder:
        async with Patchbay.opened(ForgetfulStore(), Path(folder)) as side:
            for _ in range(_WARM_UP_CALLS):
                await _call(side)
            async with side.open(_VOICE) as talk:
                await talk.turn(PLAIN)
            tune()
            return await _PARTS[part](side)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--part", choices=tuple(_PARTS), help="measure this alone, in this process")
    options = parser.parse_args()
    configure_logging("warning", "console")
    found = asyncio.run(_in_this_process(options.part)) if options.part else measure()
    if options.part:
        print(json.dumps(found))
        return
    for name, number in found.items():
        print(f"{name:28}{number:12,.3f}")


if __name__ == "__main__":
    main()
