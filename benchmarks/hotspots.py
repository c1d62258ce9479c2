"""`python -m benchmarks.hotspots [text_turn|tool_turn]`: where Patchbay's own code spends a turn, by cProfile."""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.forgetful import ForgetfulStore
from benchmarks.measures import text_turns
from benchmarks.patchbay_side import Patchbay
from runtime.logging import configure_logging
from worker.tuning import tune

_TURNS = 200


async def profiled(kind: str) -> pstats.Stats:
    """Return the profile of one long conversation; the store keeps nothing, so that only the engine shows."""
    profile = cProfile.Profile(time.thread_time)  # what others do on this machine is no part of it
    with tempfile.TemporaryDirectory() as folder:
        async with Patchbay.opened(ForgetfulStore(), Path(folder)) as side:
            sides = {"patchbay": side}
            await text_turns(sides, kind, turns=5)
            tune()
            profile.enable()
            await text_turns(sides, kind, turns=_TURNS)
            profile.disable()
    return pstats.Stats(profile)


def main() -> None:
    configure_logging("warning", "console")
    kind = sys.argv[1] if len(sys.argv) > 1 else "text_turn"
    stats = asyncio.run(profiled(kind)).sort_stats("cumulative")
    stats.print_stats("(runtime|tools)/", 35)
    stats.sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
