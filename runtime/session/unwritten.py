"""What memory alone holds while the disk refuses it, and what of it goes when that becomes too much."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from runtime.session.fleet_ports import CheckpointRow
from runtime.session.local_log import LocalLog, Segment
from runtime.session.ports import EventRow
from runtime.session.records import Closed, Opened, Record, encode

__all__ = ["Entry", "Unwritten", "session_of"]

_CATCH_UP = 200
_SKIP = 5000


@dataclass(slots=True, eq=False)
class Entry:
    """A record on its way to the store. `since` is monotonic seconds; `segment` is None while only memory has it.

    `line` is what the disk has refused so far; a `taken` entry may have reached the store already.
    """

    record: Record
    since: float
    segment: Segment | None = None
    done: bool = False
    lost: bool = False
    taken: bool = False
    line: bytes = b""


class Unwritten:
    """Entries that the disk has not taken yet: `queue`, in order; `size` is the bytes of their lines.

    Beyond `memory_bytes`, calls that have ended give up their events, the oldest call first: one `fault_raised` and the
    call's own `call_ended` take the numbers that would come next, so that the session has an end and no gap. What a
    running call wrote is never given up. `report(code, message)` hears of `events_given_up`, once each time.
    """

    def __init__(self, memory_bytes: int, report: Callable[[str, str], None]) -> None:
        self._memory_bytes = memory_bytes
        self._report = report
        self.queue: deque[Entry] = deque()
        self._calls: dict[str, deque[Entry]] = {}
        self._ended: dict[str, None] = {}
        self._told = False
        self.size = 0
        self.given_up = 0

    def add(self, entry: Entry, line: bytes) -> None:
        """Keep the entry; it is the newest."""
        entry.line = line
        self.size += len(line)
        self.queue.append(entry)
        session_id = session_of(entry.record)
        self._calls.setdefault(session_id, deque()).append(entry)
        if isinstance(entry.record, Closed):
            self._ended[session_id] = None
        while self.size > self._memory_bytes and self._ended:
            self._give_up(next(iter(self._ended)))

    def write_to(self, log: LocalLog) -> None:
        """Write the oldest, a few at a time, now that the disk may take them again; those that are stored need it no more."""
        written = skipped = 0
        while self.queue and written < _CATCH_UP and skipped < _SKIP:
            entry = self.queue[0]
            if entry.done:
                skipped += 1
            else:
                segment = log.append(entry.line)
                if segment is None:
                    return
                entry.segment = segment
                written += 1
            self._forget_first(entry)
        self._told &= bool(self.queue)

    def _forget_first(self, entry: Entry) -> None:
        self.queue.popleft()
        self.size -= len(entry.line)
        entry.line = b""
        session_id = session_of(entry.record)
        mine = self._calls[session_id]
        mine.popleft()
        if not mine:
            del self._calls[session_id]
            self._ended.pop(session_id, None)

    def _give_up(self, session_id: str) -> None:
        self._ended.pop(session_id)
        free = [entry for entry in self._calls[session_id] if not (entry.taken or entry.done or _kept(entry.record))]
        events = [(entry, entry.record) for entry in free if isinstance(entry.record, EventRow)]
        if len(events) < 3 or events[-1][1].event_type != "call_ended":
            return
        (first, row), (second, _), (_, last) = events[0], events[1], events[-1]
        fault = _given_up(row, len(events) - 1)
        self._change(second, replace(last, seq=fault.seq + 1))
        self._change(first, fault)
        for entry in free:
            if entry is not first and entry is not second:
                self.size -= len(entry.line)
                entry.record, entry.line, entry.done = fault, b"", True
        self.given_up += len(events) - 1
        self._tell()

    def _change(self, entry: Entry, record: EventRow) -> None:
        line = encode(record)
        self.size += len(line) - len(entry.line)
        entry.record, entry.line = record, line

    def _tell(self) -> None:
        if self._told:
            return
        self._told = True
        self._report(
            "events_given_up",
            f"The disk refuses the event log, the store is away, and memory holds {self._memory_bytes / 1024**2:.0f} MB of "
            "events: those of calls that have ended are given up, the oldest first. Bring the store back or free space.",
        )


def session_of(record: Record) -> str:
    """Return the id of the session that the record belongs to."""
    return record.session_id if isinstance(record, EventRow | CheckpointRow) else record.row.id


def _kept(record: Record) -> bool:
    """A session without its rows or without its beginning is no session."""
    return isinstance(record, Opened | Closed) or (isinstance(record, EventRow) and record.seq == 1)


def _given_up(row: EventRow, count: int) -> EventRow:
    payload: dict[str, Any] = {
        "v": 1,
        **{key: row.payload.get(key) or 0 for key in ("turn", "elapsed_ms")},
        "caused_by": None,
        "component": "event_log",
        "code": "events_given_up",
        "message": f"{count} events stood here. The disk and the store refused them until memory was full.",
        "retryable": False,
        "recovered_by": None,
    }
    return replace(row, event_type="fault_raised", payload=payload, agent_id=None, secret=None)
