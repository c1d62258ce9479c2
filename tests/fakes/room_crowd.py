"""Callers in a process of their own: each lets the agent finish, says one recorded phrase, and stays until sent out.

Beside the worker, on its loop, four of them would measure each other.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fakes.room_caller import RATE, RoomCaller
from tests.fakes.speech import take

__all__ = ["Extra", "crowd"]

_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Extra:
    """One of them: with which token they join, and what they say."""

    token: str
    says: str


async def crowd(url: str, extras: Sequence[Extra]) -> list[float]:
    """Run them all at once, and return for how many seconds each has heard a voice after they spoke."""
    given = json.dumps([asdict(extra) for extra in extras])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.fakes.room_crowd",
        url,
        given,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        async with asyncio.timeout(_WITHIN_S):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    heard_s: list[float] = json.loads(out.splitlines()[-1])
    return heard_s


async def _call(url: str, extra: Extra) -> float:
    async with RoomCaller(url, extra.token, ahead_ms=400) as caller:
        await caller.hears(0.0)
        await caller.silence(0.7)
        await caller.say(take(extra.says, RATE))
        since = len(caller.heard)
        await caller.left.wait()
        return sum(each.samples.size / RATE for each in caller.heard[since:] if each.loud)


async def _calls(url: str, extras: Sequence[Extra]) -> list[float]:
    for extra in extras:
        take(extra.says, RATE)  # read before anybody speaks
    return await asyncio.gather(*(_call(url, extra) for extra in extras))


if __name__ == "__main__":
    told = asyncio.run(_calls(sys.argv[1], [Extra(**each) for each in json.loads(sys.argv[2])]))
    print(json.dumps(told), flush=True)  # noqa: T201 - what the parent waits for
