"""`python -m benchmarks.memory`: what a further call takes, what talk adds to it, and what calls leave behind.

Each figure comes of a process of its own, with the collector tuned as in a worker, a store that keeps nothing, and
models that answer at once. Memory is what the process has resident, from /proc. The calls of `many` are whole ones by
voice: opened, greeted, a turn, hung up, their events in the local log and delivered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from benchmarks.fakes import MOVE_ON, ORDER, PLAIN
from benchmarks.forgetful import ForgetfulStore
from benchmarks.patchbay_side import Patchbay
from benchmarks.peers.serving import memory_mb
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
_STEP: Final = 1000
_AT_ONCE: Final = 100
_LONGEST_S: Final = 360.0
_WARM_UP_CALLS: Final = 20
_VOICE: Final = (0.0, 0.0)
_TURNS: Final = (PLAIN, ORDER, MOVE_ON)


def measure(parts: Sequence[str] = ("text", "voice", "growth", "many"), longest_s: float = _LONGEST_S) -> Numbers:
    """Return megabytes, and the ratio of what is resident after many calls to what was after a thousand.

    `session_memory_mb` for each further session by text and `voice_session_memory_mb` by voice, `growth_mb_per_minute`
    of talk by voice and `growth_kb_per_turn`, `rss_after_calls_ratio` after `calls_measured` calls (fewer than 10 000
    where these take longer than `longest_s`).
    """
    found: Numbers = {}
    for part in parts:
        command = [sys.executable, "-m", "benchmarks.memory", "--part", part, "--longest", str(longest_s)]
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
        before = memory_mb()
        await opened(sessions)
        return (memory_mb() - before) / sessions


async def _growth(side: Patchbay) -> Numbers:
    """Talk for `TURNS` turns in each of ten calls by voice, after a few that fill what is filled once."""
    async with AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(side.open(_VOICE)) for _ in range(10)]

        async def turns(count: int) -> None:
            for number in range(count):
                await asyncio.gather(*(talk.turn(ORDER if number % 3 == 1 else PLAIN) for talk in talks))

        await turns(15)
        before = memory_mb()
        await turns(TURNS)
        per_turn = (memory_mb() - before) / len(talks) / TURNS
        return {"growth_mb_per_minute": per_turn * 60 / TURN_S, "growth_kb_per_turn": 1024 * per_turn}


async def _many(side: Patchbay, store: ForgetfulStore, longest_s: float) -> Numbers:
    """Take `CALLS` calls, a hundred at once; memory is read after each thousand, when none is open and all is delivered."""
    loop = asyncio.get_running_loop()
    until, before, resident = loop.time() + longest_s, store.ended, list[float]()
    while len(resident) < CALLS // _STEP and (len(resident) < 2 or loop.time() < until):
        for _ in range(_STEP // _AT_ONCE):
            await asyncio.gather(*(_call(side, _TURNS[number % len(_TURNS)]) for number in range(_AT_ONCE)))
        await side.settle()
        resident.append(memory_mb())
        print(f"memory: {len(resident) * _STEP} calls, {resident[-1]:.1f} MB", file=sys.stderr)
    calls = len(resident) * _STEP
    assert store.ended - before == calls, f"{store.ended - before} calls of {calls} have ended in the store"
    return {
        "rss_after_calls_ratio": resident[-1] / resident[0],
        "calls_measured": float(calls),
        "rss_mb": resident[-1],
    }


async def _call(side: Patchbay, text: str) -> None:
    async with side.open(_VOICE) as talk:
        await talk.turn(text)


_SESSIONS: Final[Mapping[str, Callable[[Patchbay], Awaitable[Numbers]]]] = {
    "text": _text_sessions,
    "voice": _voice_sessions,
    "growth": _growth,
}


async def _in_this_process(part: str, longest_s: float) -> Numbers:
    store = ForgetfulStore()
    with tempfile.TemporaryDirectory() as folder:
        async with Patchbay.opened(store, Path(folder)) as side:
            for _ in range(_WARM_UP_CALLS):
                await _call(side, ORDER)
            async with side.open() as talk:
                await talk.turn(PLAIN)
            tune()
            return await (_many(side, store, longest_s) if part == "many" else _SESSIONS[part](side))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--part", choices=(*_SESSIONS, "many"), help="measure this alone, in this process")
    parser.add_argument("--longest", type=float, default=_LONGEST_S, help="seconds that the calls of `many` may take")
    options = parser.parse_args()
    configure_logging("warning", "console")
    found = (
        asyncio.run(_in_this_process(options.part, options.longest))
        if options.part
        else measure(longest_s=options.longest)
    )
    if options.part:
        print(json.dumps(found))
        return
    for name, number in found.items():
        print(f"{name:28}{number:12,.3f}")


if __name__ == "__main__":
    main()
