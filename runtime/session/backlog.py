"""What is written but not stored yet, in order: in memory as far as it may be, the rest where it lies in the log."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from runtime.session.dead_logs import Chunk, read_chunk
from runtime.session.local_log import LocalLog, Segment
from runtime.session.records import Record, encode
from runtime.session.unwritten import Entry, Unwritten

__all__ = ["Backlog", "Entry"]

_MEMORY_BYTES = 64 * 1024 * 1024


@dataclass(slots=True, eq=False)
class _Stretch:
    """`count` records of the local log that memory does not hold: the bytes from `start` to `end` of one file."""

    segment: Segment
    start: int
    end: int
    count: int
    since: float


class Backlog:
    """The queue between the calls, which put, and the writer, which takes and settles. One event loop.

    `memory` is how many records may be held in memory that the disk has as well, `memory_bytes` how much of what the disk
    refused before calls that have ended give up theirs (`Unwritten`). `report(code, message)` hears of `log_unreadable`
    and `events_given_up`.
    """

    def __init__(
        self,
        log: LocalLog,
        *,
        memory: int,
        wake_at: int,
        report: Callable[[str, str], None],
        memory_bytes: int = _MEMORY_BYTES,
    ) -> None:
        self._log = log
        self._memory = memory
        self._wake_at = wake_at
        self._report = report
        self._items: deque[Entry | _Stretch] = deque()
        self._taken: list[Entry] = []
        self._held = 0
        self._unwritten = Unwritten(memory_bytes, report)
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self.total = 0
        self.depth = 0
        self._through = 0  # so many of the first records are settled, however many behind them are as well
        self.some = asyncio.Event()
        self.enough = asyncio.Event()

    @property
    def lag_s(self) -> float:
        """Age in seconds of the oldest record that is not stored; 0 when all are."""
        oldest = next(iter(self._taken), None) or next(iter(self._items), None)
        return time.monotonic() - oldest.since if oldest is not None else 0.0

    @property
    def in_memory_only(self) -> bool:
        """Whether the disk has refused something that it has not taken since."""
        return bool(self._unwritten.queue)

    def put(self, record: Record) -> None:
        """Write the record to the local log and queue it. Raises `ValueError` where it cannot be JSON."""
        line = encode(record)
        segment = self._written(line) if self._unwritten.queue else self._log.append(line)
        entry = Entry(record, time.monotonic(), segment)
        if segment is None:
            self._unwritten.add(entry, line)
        if segment is not None and self._held >= self._memory:
            self._extend(segment, segment.size - len(line), len(line), entry.since)
        else:
            self._items.append(entry)
            self._held += 1
        self.total += 1
        self.depth += 1
        if not self.some.is_set():
            self.some.set()
        if self.depth == self._wake_at:
            self.enough.set()

    def catch_up(self) -> None:
        """Write to the log what memory alone holds, now that the disk may take it again."""
        self._unwritten.write_to(self._log)

    async def take(self, limit: int) -> list[Entry]:
        """Return the oldest records that are not settled, at most `limit`; the same again until all are settled."""
        while not self._taken and self._items:
            head = self._items[0]
            match head:
                case Entry():
                    self._take_held(limit)
                case _Stretch():
                    await self._take_stretch(head, limit)
                case _:
                    assert_never(head)
        return self._taken

    def settle(self) -> None:
        """Forget those of the taken records that are done, and tell who waits for them."""
        done = [entry for entry in self._taken if entry.done]
        self._taken = [entry for entry in self._taken if not entry.done]
        for lost in (False, True):
            for segment, count in Counter(entry.segment for entry in done if entry.lost is lost).items():
                if segment is not None:
                    self._log.settle(segment, count, stored=not lost)
        self._gone(len(done))

    async def settled(self, ordinal: int, timeout_s: float | None) -> bool:
        """Wait until the first `ordinal` records are settled; False when `timeout_s` is over before."""
        if self._through >= ordinal:
            return True
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((ordinal, done))
        self.enough.set()
        try:
            await asyncio.wait_for(done, timeout_s)
        except TimeoutError:
            return False
        return True

    def _written(self, line: bytes) -> Segment | None:
        """Where the line is now, None where only memory can have it: nothing overtakes what the disk has refused."""
        self.catch_up()
        return None if self._unwritten.queue else self._log.append(line)

    def _extend(self, segment: Segment, offset: int, size: int, since: float) -> None:
        last = self._items[-1] if self._items else None
        if isinstance(last, _Stretch) and last.segment is segment and last.end == offset:
            last.end += size
            last.count += 1
        else:
            self._items.append(_Stretch(segment, offset, offset + size, 1, since))

    def _take_held(self, limit: int) -> None:
        while len(self._taken) < limit and self._items and isinstance(entry := self._items[0], Entry):
            self._items.popleft()
            self._held -= 1
            entry.taken = True
            self._taken.append(entry)

    async def _take_stretch(self, stretch: _Stretch, limit: int) -> None:
        chunk = await self._read(stretch, min(limit, stretch.count))
        if chunk.damaged or not chunk.records:
            self._give_up(stretch)
        else:
            self._taken.extend(Entry(record, stretch.since, stretch.segment) for record in chunk.records)
            stretch.start = chunk.next
            stretch.count -= len(chunk.records)
        if not stretch.count:
            self._items.remove(stretch)

    async def _read(self, stretch: _Stretch, limit: int) -> Chunk:
        """In a thread: two thousand records take milliseconds, which the audio would hear."""
        try:
            return await asyncio.to_thread(read_chunk, stretch.segment.path, stretch.start, limit)
        except OSError:
            return Chunk([], stretch.start)

    def _give_up(self, stretch: _Stretch) -> None:
        """What was written can no longer be read; the other calls go on."""
        self._report(
            "log_unreadable",
            f"{stretch.count} records in {stretch.segment.path} cannot be read; what can be is sent at the next start.",
        )
        self._log.settle(stretch.segment, stretch.count, stored=False)
        self._gone(stretch.count)
        stretch.count = 0

    def _gone(self, count: int) -> None:
        self.depth -= count
        if not self.depth:
            self.some.clear()
        if self.depth < self._wake_at:
            self.enough.clear()
        if not self._taken:
            self._through = self.total - self.depth
        waiting, self._waiting = self._waiting, []
        for ordinal, done in waiting:
            if done.done():
                continue
            if ordinal <= self._through:
                done.set_result(None)
            else:
                self._waiting.append((ordinal, done))
                self.enough.set()
