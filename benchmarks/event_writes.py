"""How long a call waits for the local log: `write` on a quiet disk and beside others who fill it and sync.

`python -m benchmarks.event_writes [FOLDER]` prints microseconds; `encoding` is the same loop without the disk, which is what
the machine itself takes. For a disk that stands still, let FOLDER be on a file system whose device can be stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from benchmarks.event_store import call_rows
from benchmarks.events import PAYLOAD
from runtime.logging import configure_logging
from runtime.session.event_log import CallLog, EventLog
from runtime.session.ports import EventRow
from runtime.session.records import encode
from runtime.store.memory import MemoryStore

__all__ = ["measure"]

_TICK_S = 0.02
_FILL = """
import os, sys
block = bytes(1 << 20)
while True:
    with open(sys.argv[1], "wb") as file:
        for _ in range(400):
            file.write(block)
        os.fsync(file.fileno())
"""


@contextlib.contextmanager
def dirty_pages(folder: Path, writers: int) -> Iterator[None]:
    """Have so many processes write 400 MB and sync, again and again, on the folder's disk."""
    running = [
        subprocess.Popen([sys.executable, "-c", _FILL, str(folder / f"dirty{number}")]) for number in range(writers)
    ]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


async def ticks(calls: Sequence[CallLog], seconds: float, each: Callable[[CallLog], object]) -> list[float]:
    """Do `each` for every call 50 times a second; return how long each took, in microseconds, in order of size."""
    took: list[float] = []
    start = time.perf_counter()
    for tick in range(int(seconds / _TICK_S)):
        for call in calls:
            began = time.perf_counter()
            each(call)
            took.append(1e6 * (time.perf_counter() - began))
        await asyncio.sleep(max(0.0, start + (tick + 1) * _TICK_S - time.perf_counter()))
    return sorted(took)


async def measure(folder: Path, seconds: float) -> dict[str, list[float]]:
    """Return sorted microseconds of encoding an event and of writing it, 50 calls at 50 events a second."""
    store = MemoryStore()
    rows = call_rows((await store.ensure_organization("benchmark")).id)
    log = await EventLog.open(folder, store)
    calls = [log.open_call(row) for row in rows]
    found = {
        "encoding": await ticks(calls, seconds, lambda call: encode(_event(call))),
        "write": await ticks(calls, seconds, _write),
    }
    for call in calls:
        await call.close(call.row)
    await log.aclose()
    return found


def _event(call: CallLog) -> EventRow:
    return EventRow(call.row.id, call.row.organization_id, 1, "user_turn", PAYLOAD, "a1", datetime.now(UTC))


def _write(call: CallLog) -> None:
    call.write("user_turn", PAYLOAD, agent_id="a1", occurred_at=datetime.now(UTC))


def _line(name: str, took: Sequence[float]) -> str:
    places = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    figures = "".join(f"{label} {took[int(len(took) * share)]:9,.0f}  " for label, share in places)
    return f"{name:24} {figures}max {took[-1]:11,.0f}  over 20 ms {sum(us > 20_000 for us in took)} of {len(took)}"


def main(folder: Path, seconds: float = 15.0) -> None:
    configure_logging("error", "console")
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}; microseconds")
    for writers in (0, 1, 3):
        with dirty_pages(folder, writers):
            found = asyncio.run(measure(folder / uuid4().hex, seconds))
        for name, took in found.items():
            print(_line(f"{name}, {writers} writers", took))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        main(Path(place))
