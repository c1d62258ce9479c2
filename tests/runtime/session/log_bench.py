"""An event log on a store with bad days, and calls that write to it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from runtime.session.dead_logs import read_chunk
from runtime.session.event_log import CallLog, EventLog, Tuning
from runtime.session.ports import CallRow
from tests.fakes.store_outages import RowStore, StoreOutages

AT = datetime(2026, 5, 3, 10, tzinfo=UTC)
QUICK = Tuning(sync_s=0.01, retry_s=(0.001, 0.01), patience_s=(0.001, 0.001), drain_wait_s=1.0)


def call_row(session_id: str = "s1", **changes: Any) -> CallRow:
    row = CallRow(session_id, "org", "version", "phone", "inbound", is_test=False, started_at=AT, from_number="+49")
    return replace(row, **changes)


def ended(row: CallRow) -> CallRow:
    return replace(row, status="completed", end_reason="caller_hangup", ended_at=AT)


def write(call: CallLog, count: int = 1, event_type: str = "user_turn") -> None:
    for _ in range(count):
        call.write(event_type, {"text": "hello", "n": call.last_seq + 1}, agent_id="a1", occurred_at=AT)


def lines(folder: Path) -> list[Any]:
    return [record for path in sorted(folder.glob("*-*.ndjson")) for record in read_chunk(path, 0, 10_000).records]


@dataclass
class Bench:
    folder: Path
    store: StoreOutages = field(default_factory=lambda: StoreOutages(RowStore()))
    faults: list[tuple[str, str]] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def log(self, tuning: Tuning = QUICK, timeout_s: float = 1.0, **options: Any) -> AsyncIterator[EventLog]:
        log = await EventLog.open(
            self.folder,
            cast("Any", self.store),
            on_fault=lambda code, message: self.faults.append((code, message)),
            flush_s=options.pop("flush_s", 0.005),
            tuning=tuning,
            **options,
        )
        try:
            yield log
        finally:
            await log.aclose(timeout_s=timeout_s)

    def seqs(self, session_id: str = "s1") -> list[int]:
        return sorted(self.store.store.event_rows.get(session_id, {}))
