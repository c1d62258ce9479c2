"""What an event costs: in the local log, and on its way through the writer into an embedded Postgres.

`python -m benchmarks.events` prints medians of rounds that alternate between the methods in one run, and ratios.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from benchmarks.event_store import CALLS, Cost, Ground, bare_copy, bare_unnest, call_rows, opened
from benchmarks.recorded_call import recorded_events
from runtime.logging import configure_logging
from runtime.session.event_log import CallLog, EventLog
from runtime.session.ports import EventRow
from runtime.session.records import encode

__all__ = ["PAYLOAD", "measure"]

PAYLOAD = {
    "v": 1,
    "turn": 3,
    "elapsed_ms": 12345,
    "caused_by": 7,
    "agent_id": "5e8a2e5e-1111-4222-8333-123456789abc",
    "agent_name": "Intake",
    "text": "I have a question about my invoice, the one of last week",
    "language": "en",
    "stt_confidence": 0.93,
    "eou_delay_ms": 300.5,
    "stt_delay_ms": 120.25,
}
_TICK_S = 0.02
_WAITING = 3000


async def through_the_writer(ground: Ground, folder: Path, count: int) -> Cost:
    """From `write` until all are stored, written as fast as the writer takes them."""
    async with _writing(ground, folder) as (log, calls):

        async def work() -> None:
            for number in range(count // CALLS):
                for call in calls:
                    _write(call, ground.events[number % len(ground.events)])
                await asyncio.sleep(0.0 if log.depth < _WAITING else 0.005)
            await log.flush()

        return await ground.cost(count, work)


async def busy(ground: Ground, folder: Path, seconds: float) -> dict[str, float]:
    """50 calls at 50 events a second each: share of a core beyond an idle log, and how long `write` takes."""
    took: list[float] = []

    def timed(call: CallLog, event: EventRow) -> None:
        start = time.perf_counter()
        _write(call, event)
        took.append(time.perf_counter() - start)

    async with _writing(ground, folder) as (log, calls):
        await _ticks(ground, calls, 1.0, timed)  # what is made at the first use
        await log.flush()
        idle = await _ticks(ground, calls, seconds / 2, lambda _call, _event: None)
        share = await _ticks(ground, calls, seconds, timed)
    ordered = sorted(took)
    return {
        "events_cpu_percent_at_2500": 100 * (share.process_s / share.wall_s - idle.process_s / idle.wall_s),
        "events_server_cpu_percent_at_2500": 100 * (share.server_s / share.wall_s - idle.server_s / idle.wall_s),
        "events_write_us_p50": 1e6 * ordered[len(ordered) // 2],
        "events_write_us_p99": 1e6 * ordered[len(ordered) * 99 // 100],
    }


async def measure(*, rounds: int = 5, events: int = 20_000, busy_s: float = 6.0) -> dict[str, float]:
    """Return medians over `rounds`: rows a second, microseconds of CPU a row here and in the server, percent of a core.

    `events_rows_per_s` is the wall's clock, which what else runs on the machine slows; `events_rows_per_s_by_cpu` is what
    one core for this process and one for the server would do, from their CPU time.
    """
    configure_logging("error", "console")
    recorded = await recorded_events()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name, _collector():
        home = Path(name)
        async with opened(home, recorded) as ground:
            for number in range(-1, rounds):  # what is cached at the first use is not measured
                figures = await _round(ground, home / f"log{number}", events if number >= 0 else 2000, number)
                figures |= await busy(ground, home / f"busy{number}", busy_s / rounds)
                for key, value in figures.items() if number >= 0 else ():
                    found.setdefault(key, []).append(value)
    lengths = [len(encode(replace(row, session_id=str(uuid4()), organization_id=str(uuid4())))) for row in recorded]
    medians = {key: statistics.median(values) for key, values in found.items()}
    return medians | {"events_line_bytes": statistics.mean(lengths)}


async def _round(ground: Ground, folder: Path, count: int, number: int) -> dict[str, float]:
    ways: dict[str, Callable[[], Awaitable[Cost]]] = {
        "": lambda: through_the_writer(ground, folder, count),
        "bare_copy_": lambda: bare_copy(ground, count),
        "bare_unnest_": lambda: bare_unnest(ground, count),
    }
    costs = {name: await ways[name]() for name in sorted(ways, reverse=bool(number % 2))}
    return dict(_figures(costs))


def _figures(costs: Mapping[str, Cost]) -> Iterator[tuple[str, float]]:
    for name, cost in costs.items():
        yield f"events_{name}rows_per_s", cost.rows_per_s
        yield f"events_{name}us_per_event", cost.process_us
        yield f"events_{name}server_us_per_event", cost.server_us
    ours, copy = costs[""], costs["bare_copy_"]
    yield "events_rows_per_s_by_cpu", 1e6 / max(ours.process_us, ours.server_us)
    yield "events_to_bare_copy", ours.rows_per_s / copy.rows_per_s


@asynccontextmanager
async def _writing(ground: Ground, folder: Path) -> AsyncIterator[tuple[EventLog, list[CallLog]]]:
    log = await EventLog.open(folder, ground.store)
    calls = [log.open_call(row) for row in call_rows(ground.organization_id)]
    await log.flush()
    yield log, calls
    for call in calls:
        await call.close(replace(call.row, status="completed", ended_at=datetime.now(UTC)), timeout_s=60)
    await log.aclose()


async def _ticks(
    ground: Ground, calls: Sequence[CallLog], seconds: float, each: Callable[[CallLog, EventRow], None]
) -> Cost:
    """Do `each` for every call 50 times a second."""
    count = int(seconds / _TICK_S)

    async def work() -> None:
        start = time.perf_counter()
        for tick in range(count):
            for call in calls:
                each(call, ground.events[tick % len(ground.events)])
            await asyncio.sleep(max(0.0, start + (tick + 1) * _TICK_S - time.perf_counter()))

    return await ground.cost(count * len(calls), work)


@contextmanager
def _collector() -> Iterator[None]:
    """As in a worker: as shipped the collector stops the loop at random."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(2000, 10, 100_000)
    yield
    gc.set_threshold(*before)


def _write(call: CallLog, event: EventRow) -> None:
    call.write(event.event_type, dict(event.payload), agent_id=event.agent_id, occurred_at=datetime.now(UTC))


def main() -> None:
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    for key, value in asyncio.run(measure()).items():
        print(f"{key:40} {value:12,.2f}")


if __name__ == "__main__":
    main()
