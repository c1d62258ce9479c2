"""From `kill -9` of a call's worker to the next word its caller hears: `python -m benchmarks.recovery [TIMES]`."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Awaitable
from pathlib import Path

from runtime.store.embedded import EmbeddedPostgres
from tests.fakes.crew import crew
from tests.fakes.crew_guests import greeted
from tests.fakes.databases import Databases
from tests.fakes.livekit_server import LiveKitServer, livekit_server

__all__ = ["main"]

TIMES = 20


async def recovery_s(server: LiveKitServer, databases: Databases, folder: Path) -> float:
    """Return the seconds that one caller waited, on two processes that were ready."""
    await asyncio.to_thread(folder.mkdir)
    async with crew(server, await databases.migrated(), folder) as workers, greeted(workers, server) as guest:
        killed_at = guest.caller.now
        os.kill(guest.pid, signal.SIGKILL)
        heard_at = await guest.caller.hears(killed_at)
        await guest.resumed()
        return heard_at - killed_at


async def measure(times: int) -> list[float]:
    """Return what so many callers waited, in seconds, one after the other."""
    with tempfile.TemporaryDirectory(prefix="patchbay-recovery-") as name, livekit_server(Path(name)) as server:
        async with EmbeddedPostgres(Path(name)) as postgres:
            databases = Databases(postgres.dsn)
            return [await told(recovery_s(server, databases, Path(name) / f"crew-{at}")) for at in range(times)]


async def told(measuring: Awaitable[float]) -> float:
    """Say a figure as soon as it is there: a run takes minutes."""
    waited = await measuring
    sys.stderr.write(f"{waited:.2f} s\n")
    return waited


def main(argv: list[str]) -> int:
    """Print the median and the worst."""
    waited = asyncio.run(measure(int(argv[0]) if argv else TIMES))
    sys.stdout.write(f"{len(waited)} recoveries: median {statistics.median(waited):.2f} s, worst {max(waited):.2f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
