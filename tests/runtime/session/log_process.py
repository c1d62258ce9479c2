"""A process that writes a call's events and says what it has written; the tests kill it, or take its disk away."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from runtime.logging import configure_logging
from runtime.session import local_log
from runtime.session.event_log import EventLog, Tuning
from runtime.session.ports import CallRow
from tests.fakes.store_outages import RowStore, StoreOutages

AT = datetime(2026, 5, 3, 10, tzinfo=UTC)


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _row(session_id: str) -> CallRow:
    return CallRow(session_id, "org", None, "phone", "inbound", is_test=False, started_at=AT)


async def _write_for_ever(folder: Path, session_id: str, acknowledge: int) -> None:
    store = StoreOutages(RowStore())
    store.hanging = True
    log = await EventLog.open(folder, cast("Any", store), flush_s=0.01, tuning=Tuning(drain_wait_s=0.005))
    call = log.open_call(_row(session_id))
    while True:
        event = call.write("user_turn", {"turn": 1, "text": "x" * 100}, agent_id=None, occurred_at=AT)
        os.write(acknowledge, b"%d\n" % event.seq)
        await asyncio.sleep(0)


def kill_writers(folder: Path, count: str) -> None:
    """Start `count` writers after each other, kill -9 each at a random moment, print what each had acknowledged."""
    chance = random.Random(7)
    acknowledged = {}
    for number in range(int(count)):
        reader, writer = os.pipe()
        child = os.fork()  # importing everything anew would take a second each
        if child == 0:
            asyncio.run(_write_for_ever(folder, f"s{number}", writer))
        os.close(writer)
        time.sleep(chance.uniform(0.02, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader) as lines:
            acknowledged[f"s{number}"] = max(map(int, lines.read().split()), default=0)
    _say(acknowledged)


async def write_on_a_full_disk(folder: Path, session_id: str) -> None:
    """Write 100 events with room for about 20, then 100 more with room again; print the faults, then what is where."""
    local_log._RETRY_S = 0.0
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    store = StoreOutages(RowStore())
    store.away = True
    faults: list[str] = []
    log = await EventLog.open(folder, cast("Any", store), on_fault=lambda code, _: faults.append(code), flush_s=0.01)
    call = log.open_call(_row(session_id))
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    for _ in range(100):
        call.write("user_turn", {"turn": 1, "text": "x" * 100}, agent_id=None, occurred_at=AT)
    size_when_full = sum(path.stat().st_size for path in folder.glob("*.ndjson"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    for _ in range(100):
        call.write("user_turn", {"turn": 1, "text": "x" * 100}, agent_id=None, occurred_at=AT)
    await asyncio.sleep(0)
    _say({"size": size_when_full, "faults": sorted(set(faults)), "last_seq": call.last_seq})
    if session_id == "stored":
        store.away = False
        assert await log.flush(10)
        _say(len(store.store.event_rows[session_id]))


if __name__ == "__main__":
    configure_logging("critical", "console")
    if sys.argv[1] == "kill":
        kill_writers(Path(sys.argv[2]), sys.argv[3])
    else:
        asyncio.run(write_on_a_full_disk(Path(sys.argv[2]), sys.argv[3]))
