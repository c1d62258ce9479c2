"""`python -m benchmarks engine`: the engine beside a bare AgentSession in one process, with models that answer by a script."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.livekit_side import LiveKit
from benchmarks.measures import Numbers, first_sounds, handoffs, text_turns
from benchmarks.patchbay_side import Patchbay
from benchmarks.report import Found
from benchmarks.sides import Side
from runtime.store.opening import open_store
from worker.tuning import tune

__all__ = ["measure"]

_TURNS = 40
_HANDOFFS = 40
_A_ROUND_S = 120.0
_APART_S = 0.3


async def measure(found: Found, rounds: int, home: Path) -> None:
    """Measure both sides in turn, the first of a round changing from round to round; the database is in `home`.

    Raises TimeoutError where a side falls silent, which nothing else would end.
    """
    async with asyncio.timeout(_A_ROUND_S * (rounds + 1)), AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = await stack.enter_async_context(open_store(None, home))
        patchbay = await stack.enter_async_context(Patchbay.opened(store, folder))
        sides: dict[str, Side] = {"patchbay": patchbay, "livekit_scripted": LiveKit()}
        await _round(Found(), sides, 0, turns=10)  # what is imported and compiled at first use
        tune()  # for both sides: as shipped the collector stops the loop at random
        for number in range(rounds):
            print(f"engine: round {number + 1} of {rounds}", file=sys.stderr)
            await _round(found, sides, number, turns=_TURNS)
            order = _order(sides, number)
            waits = [_first_sounds(sides[name], place * _APART_S) for place, name in enumerate(order)]
            for name, numbers in zip(order, await asyncio.gather(*waits), strict=True):
                found.add(name, numbers)


async def _round(found: Found, sides: Mapping[str, Side], number: int, *, turns: int) -> None:
    for kind in ("text_turn", "tool_turn"):
        for name, numbers in (await text_turns(sides, kind, turns=turns)).items():
            found.add(name, {f"engine_{key}": value for key, value in numbers.items()})
    for name in _order(sides, number):
        found.add(name, await handoffs(sides[name], turns=min(turns, _HANDOFFS)))


async def _first_sounds(side: Side, after_s: float) -> Numbers:
    """Measure it beside the other side, which waits most of the time as well, but begins somewhere else in its waiting."""
    await asyncio.sleep(after_s)
    return await first_sounds(side)


def _order(sides: Mapping[str, Side], number: int) -> list[str]:
    return sorted(sides, reverse=bool(number % 2))
