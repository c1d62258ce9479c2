"""`python -m benchmarks`: Patchbay beside a bare AgentSession, in alternating rounds of one process."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import analytics, events, phone_line
from benchmarks.livekit_side import LiveKit
from benchmarks.measures import first_sounds, handoffs, text_turns
from benchmarks.patchbay_side import Patchbay
from benchmarks.report import Found, table
from benchmarks.sides import Side
from runtime.logging import configure_logging
from runtime.store.opening import open_store

_TURNS = 40
_HANDOFFS = 20


async def compare(found: Found, *, rounds: int) -> None:
    """Measure both sides in turn, the first of a round changing from round to round."""
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = await stack.enter_async_context(open_store(None, home))
        patchbay = await stack.enter_async_context(Patchbay.opened(store, home / "events"))
        sides: dict[str, Side] = {"patchbay": patchbay, "livekit": LiveKit()}
        await _round(Found(), sides, 0, turns=10)  # what is imported and compiled at first use
        _tune_collector()
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            await _round(found, sides, number, turns=_TURNS)
            for name in _order(sides, number):
                found.add(name, await first_sounds(sides[name]))


async def _round(found: Found, sides: Mapping[str, Side], number: int, *, turns: int) -> None:
    for kind in ("text_turn", "tool_turn"):
        for name, numbers in (await text_turns(sides, kind, turns=turns)).items():
            found.add(name, numbers)
    for name in _order(sides, number):
        found.add(name, await handoffs(sides[name], turns=min(turns, _HANDOFFS)))


def _order(sides: Mapping[str, Side], number: int) -> list[str]:
    return sorted(sides, reverse=bool(number % 2))


def _tune_collector() -> None:
    """As the worker does, for both sides: as shipped the collector stops the loop at random."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2000, 10, 100_000)


def _machine() -> dict[str, str | int | None]:
    python = sys.version.split(maxsplit=1)[0]
    return {"cores": os.cpu_count(), "python": python, "livekit_agents": version("livekit-agents")}


def _write(found: Found, log: Mapping[str, float]) -> Path:
    now = datetime.now(UTC)
    result = found.medians() | {"spread": found.spread(), "events": log, "machine": _machine(), "at": now.isoformat()}
    path = Path(__file__).parent / "results" / f"{now:%Y-%m-%d}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "part", nargs="?", choices=("engine", "phone", "analytics"), default="engine", help="what is measured (engine)"
    )
    parser.add_argument("--rounds", type=int, default=7, help="how often each side is measured (7)")
    parser.add_argument("--no-events", action="store_true", help="leave the event log's own benchmark out")
    options = parser.parse_args()
    configure_logging("warning", "console")
    if options.part == "phone":
        print(phone_line.table(asyncio.run(phone_line.measure(rounds=min(options.rounds, 3)))))
        return
    if options.part == "analytics":
        print(analytics.table(asyncio.run(analytics.measure())))
        return
    found = Found()
    asyncio.run(compare(found, rounds=options.rounds))
    print(table(found.medians(), found.spread()))
    log = {} if options.no_events else asyncio.run(events.measure(rounds=3, events=10_000, busy_s=4.0))
    for key, value in log.items():
        print(f"{key:32}{value:12,.2f}")
    print(f"\nwritten to {_write(found, log).relative_to(Path(__file__).parent.parent)}")


if __name__ == "__main__":
    main()
