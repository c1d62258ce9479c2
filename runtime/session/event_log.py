"""What happens in a call, ordered, numbered and durable: in the local log before it has effects, in the store behind it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from runtime.session.backlog import Backlog
from runtime.session.delivery import Delivery, RefusedFile
from runtime.session.drain import DrainReport, Ends, drain
from runtime.session.drainer import Drainer
from runtime.session.fleet_ports import CheckpointRow
from runtime.session.local_log import LocalLog
from runtime.session.log_bounds import FULL, MAX_BYTES
from runtime.session.payloads import with_json
from runtime.session.ports import CallRow, EventRow, Store
from runtime.session.records import Closed, Opened, Record, encode
from runtime.session.writer import Backoff, Writer
from runtime.tasks import cancel_and_wait, spawn

__all__ = ["CallLog", "DrainReport", "EventLog", "Tuning", "drain"]

_log = structlog.get_logger("event_log")


@dataclass(frozen=True, slots=True)
class Tuning:
    """Sizes and waits that nobody has to set; tests do. Seconds, bytes and numbers of records."""

    memory: int = 5000
    memory_bytes: int = 64 * 1024 * 1024
    segment_bytes: int = 16 * 1024 * 1024
    # Each time while the store takes twice that; else every fifth time, to see that the disk answers: what is stored needs no sync.
    sync_s: float = 0.2
    retry_s: tuple[float, float] = (0.1, 5.0)
    patience_s: Sequence[float] = (0.1, 0.4, 1.5, 4.0)
    send_timeout_s: float = 30.0
    drain_wait_s: float = 5.0
    look_s: float = 3.0


class EventLog:
    """The event log of one process, for all its calls; used on one event loop. Made by `open`.

    Lifecycle: `open` drains dead processes' files, starts the writer, and looks for more such files every few seconds;
    `open_call` for each call; `aclose`.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        on_fault: Callable[[str, str], None] | None,
        flushing: tuple[float, int],
        tuning: Tuning,
        bounds: tuple[int, Ends | None] = (MAX_BYTES, None),
    ) -> None:
        self._folder = folder
        self._store = store
        self._on_fault = on_fault
        self._tuning = tuning
        self._loop = asyncio.get_running_loop()
        self._calls: dict[str, CallLog] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        flush_s, max_batch = flushing
        max_bytes, ends = bounds
        self._drainer = Drainer(
            lambda: drain(folder, store, report=self._report, ends=ends),
            look_s=tuning.look_s,
            backoff=Backoff(*tuning.retry_s),
            report=self._report,
        )
        self._local = LocalLog(
            folder, heads=self._heads, report=self._report, segment_bytes=tuning.segment_bytes, max_bytes=max_bytes
        )
        self._backlog = Backlog(
            self._local,
            memory=tuning.memory,
            memory_bytes=tuning.memory_bytes,
            wake_at=max_batch,
            report=self._report,
        )
        delivery = Delivery(
            store,
            RefusedFile(folder),
            report=self._report,
            patience_s=tuning.patience_s,
            send_timeout_s=tuning.send_timeout_s,
        )
        self._writer = Writer(
            self._backlog, delivery, flush_s=flush_s, backoff=Backoff(*tuning.retry_s), report=self._report
        )

    @classmethod
    async def open(  # noqa: PLR0913 - what may be said of it, each by name
        cls,
        folder: Path,
        store: Store,
        *,
        on_fault: Callable[[str, str], None] | None = None,
        flush_s: float = 0.2,
        max_batch: int = 1000,
        tuning: Tuning = Tuning(),
        max_bytes: int = MAX_BYTES,
        ends: Ends | None = None,
    ) -> EventLog:
        """Start the log in `folder`; the store gets batches after `flush_s` seconds or `max_batch` records.

        Dead processes' files are drained first, for at most `tuning.drain_wait_s`; after that, or when the store is
        away, in the background. `ends` says which of their calls are lost, by default all that nobody may take over; the others are left to who does.

        All files in `folder` together take at most `max_bytes`, and half of what is free at the start; beyond that events
        are in memory, as on a full disk. `on_fault(code, message)` hears of `log_filling`, `log_full`, `log_unwritable`,
        `log_unsynced`, `log_unreadable`, `log_damaged`, `events_given_up`, `store_away` and `row_refused`, on the loop,
        never from within `write`.
        """
        log = cls(folder, store, on_fault, (flush_s, max_batch), tuning, (max_bytes, ends))
        await log._local.bound.look()
        log._tasks = [
            spawn(log._drainer.run(), name="event_log.drain"),
            spawn(log._writer.run(), name="event_log.writer"),
            spawn(log._housekeep(), name="event_log.housekeeper"),
        ]
        try:
            async with asyncio.timeout(tuning.drain_wait_s):
                await log._drainer.first.wait()
        except TimeoutError:
            _log.info("drain_goes_on", folder=str(folder))
        return log

    def open_call(self, row: CallRow, *, last_seq: int = 0) -> CallLog:
        """Begin the call's log; its row is in the local log on return. `last_seq` > 0 for a call that is resumed."""
        call = CallLog(self, row, last_seq)
        self._put(Opened(row))
        self._calls[row.id] = call
        return call

    @property
    def depth(self) -> int:
        """How many records are not stored yet."""
        return self._backlog.depth

    @property
    def lag_s(self) -> float:
        """Seconds since the oldest record that is not stored was written; 0 when all are stored."""
        return self._backlog.lag_s

    @property
    def fill(self) -> float:
        """How full the log is, 0 to 1: what its folder may take on the disk; 1 while the disk refuses."""
        return 1.0 if self._backlog.in_memory_only else self._local.bound.fill

    @property
    def full(self) -> bool:
        """Whether to take no new call: 90 % full."""
        return self.fill >= FULL

    async def look(self) -> DrainReport:
        """Drain now what dead processes left; it is done every few seconds anyway. Raises `StoreUnreachable`, `OSError`."""
        return await self._drainer.look()

    async def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was written is stored; False when `timeout_s` is over before."""
        return await self._backlog.settled(self._backlog.total, timeout_s)

    async def aclose(self, *, timeout_s: float = 5.0) -> None:
        """Flush for at most `timeout_s`, stop, and delete the files if all is stored; else the next start drains them."""
        if self._closed:
            return
        self._closed = True
        stored = await self.flush(timeout_s)
        await cancel_and_wait(*self._tasks)
        self._backlog.catch_up()
        await self._local.close(discard=stored and not self._calls)

    def _put(self, record: Record) -> int:
        if self._closed:
            raise RuntimeError(f"The event log in {self._folder} is closed; close the calls before it.")
        self._backlog.put(record)
        return self._backlog.total

    async def _settled(self, ordinal: int, timeout_s: float) -> bool:
        return await self._backlog.settled(ordinal, timeout_s)

    def _forget(self, session_id: str) -> None:
        self._calls.pop(session_id, None)

    def _heads(self) -> list[bytes]:
        return [encode(Opened(call.row)) for call in self._calls.values()]

    async def _housekeep(self) -> None:
        looked_at = self._loop.time()
        for turn in itertools.count(1):
            await asyncio.sleep(self._tuning.sync_s)
            self._backlog.catch_up()
            if turn % 5 == 0 or self._local.has_finished or self._backlog.lag_s > 2 * self._tuning.sync_s:
                await self._local.housekeep()
            if self._loop.time() - looked_at >= min(1.0, self._tuning.look_s):
                await self._local.bound.look()
                looked_at = self._loop.time()

    def _report(self, code: str, message: str) -> None:
        """Later, on the loop: who hears of a fault may write an event about it, and we may be in the middle of one."""
        _log.warning(code, message=message)
        if self._on_fault is not None:
            self._loop.call_soon(self._on_fault, code, message)


class CallLog:
    """The log of one call. `row` is the call's row as last written, `last_seq` the number of its newest event."""

    def __init__(self, log: EventLog, row: CallRow, last_seq: int) -> None:
        self.row = row
        self.last_seq = last_seq
        self._log = log
        self._listeners: list[Callable[[EventRow], None]] = []
        self._abandoned = False
        self._closing: int | None = None

    def write(
        self,
        event_type: str,
        payload: Mapping[str, Any],
        *,
        agent_id: str | None,
        occurred_at: datetime,
        secret: str | None = None,
    ) -> EventRow:
        """Number the event and write it to the local log; on return it survives the death of this process.

        Never waits for the store or a sync, and never fails because of the disk: then memory holds it, and `on_fault`
        hears so. The payload must not be changed afterwards. Raises `ValueError` where it is no JSON.
        """
        seq, own = self.last_seq + 1, self.row
        try:
            content = with_json(payload)
        except ValueError as error:
            what = f"event {seq} ({event_type}) of session {own.id}"
            raise ValueError(f"{what} cannot be written as JSON: {error}") from error
        row = EventRow(own.id, own.organization_id, seq, event_type, content, agent_id, occurred_at, secret, own.epoch)
        if not self._abandoned:
            self._log._put(row)  # noqa: SLF001 - one thing in two classes
        self.last_seq = row.seq
        for listener in self._listeners:
            self._tell(listener, row)
        return row

    def checkpoint(self, ciphertext: str) -> None:
        """Write what the call is resumed from, as of its newest event; only the newest of a call reaches the store."""
        if not self._abandoned and self._closing is None:
            row = self.row
            checkpoint = CheckpointRow(row.id, row.organization_id, self.last_seq, row.epoch, ciphertext)
            self._log._put(checkpoint)  # noqa: SLF001 - one thing in two classes

    def subscribe(self, listener: Callable[[EventRow], None]) -> None:
        """Have each event from now on told to `listener`, in order, once it is in the local log."""
        self._listeners.append(listener)

    @property
    def closing(self) -> bool:
        """Whether its last record is written."""
        return self._closing is not None

    @property
    def abandoned(self) -> bool:
        """Whether the call is somebody else's."""
        return self._abandoned

    def abandon(self) -> None:
        """Keep nothing of the call from now on, not even its end: somebody else runs it. Listeners go on hearing of it."""
        self._abandoned = True
        self._log._forget(self.row.id)  # noqa: SLF001 - one thing in two classes

    async def close(self, row: CallRow, *, timeout_s: float = 5.0) -> None:
        """Write the call's last row and wait until all its records are stored, for at most `timeout_s` seconds.

        What is not stored by then is stored later. Closing twice is closing once.
        """
        if self._abandoned:
            return
        if self._closing is None:
            self.row = row
            self._closing = self._log._put(Closed(row))  # noqa: SLF001 - one thing in two classes
            self._log._forget(row.id)  # noqa: SLF001 - one thing in two classes
        await self._log._settled(self._closing, timeout_s)  # noqa: SLF001 - one thing in two classes

    def _tell(self, listener: Callable[[EventRow], None], row: EventRow) -> None:
        try:
            listener(row)
        except Exception:  # noqa: BLE001 - an edge: who watches a call must not be able to end it
            _log.exception("listener_failed", event_type=row.event_type, seq=row.seq)
