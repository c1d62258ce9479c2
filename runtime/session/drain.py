"""The logs that dead processes left: sent to the store, their calls ended, their files deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import structlog

from runtime.errors import NotFound
from runtime.session.backlog import Entry
from runtime.session.dead_logs import dead_logs, files_of, held, read_chunk
from runtime.session.delivery import Delivery, RefusedFile
from runtime.session.lost_calls import ending_of
from runtime.session.ports import CallRow, EventRow, Store
from runtime.session.records import Closed, Opened, Record
from runtime.session.unwritten import session_of

__all__ = ["DrainReport", "Ends", "drain", "left_to_the_fleet"]

_BATCH = 1000

Ends: TypeAlias = Callable[[CallRow], Awaitable[bool]]
"""Whether a call that its process did not end, as it stands in the store, is lost; False leaves it to who takes it over."""

_log = structlog.get_logger("event_log")


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What was found in files of dead processes, and done about it; `left` are calls whose end is somebody else's."""

    files: int = 0
    calls: int = 0
    events: int = 0
    closed_as_lost: int = 0
    refused: int = 0
    damaged: int = 0
    left: int = 0


def left_to_the_fleet(store: Store) -> Ends:
    """Return the rule by which every process goes: lost is all but what has a room and an owner, or may get one."""

    async def ends(row: CallRow) -> bool:
        return row.room is None or await store.lease(row.id) is None

    return ends


def _warn(code: str, message: str) -> None:
    _log.warning(code, message=message)


async def drain(
    folder: Path, store: Store, *, report: Callable[[str, str], None] = _warn, ends: Ends | None = None
) -> DrainReport:
    """Send what dead processes left in `folder`, oldest first; logs of living processes are not touched.

    A call that did not end gets its `call_ended` (dropped, worker_lost) and its row is closed, where `ends` says so (by
    default `left_to_the_fleet`: nobody ends a call that can go on). Doing it twice, or at once with another process, changes nothing. Raises `StoreUnreachable`: what was not sent stays for the
    next time; and `OSError` where a file cannot be read.
    """
    work = _Drain(store, Delivery(store, RefusedFile(folder), report=report), report, ends or left_to_the_fleet(store))
    for log in await asyncio.to_thread(dead_logs, folder):
        with held(folder, log) as ours:
            if ours:
                await work.drain(await asyncio.to_thread(files_of, folder, log.name))
    return work.result()


@dataclass(slots=True)
class _Drain:
    store: Store
    delivery: Delivery
    report: Callable[[str, str], None]
    ends: Ends
    sessions: set[str] = field(default_factory=set)
    files: int = 0
    events: int = 0
    closed_as_lost: int = 0
    damaged: int = 0
    left: int = 0
    epochs: dict[str, int] = field(default_factory=dict)

    def result(self) -> DrainReport:
        return DrainReport(
            self.files,
            len(self.sessions),
            self.events,
            self.closed_as_lost,
            self.delivery.refused,
            self.damaged,
            self.left,
        )

    async def drain(self, paths: list[Path]) -> None:
        open_calls: dict[str, int] = {}
        for path in paths:
            damaged = await self._send_file(path, open_calls)
            if path is paths[-1]:  # each file begins with the calls still open: only the last tells which never ended
                for session_id, last_seq in open_calls.items():
                    await self._end(session_id, last_seq)
            self._put_away(path, damaged)

    async def _send_file(self, path: Path, open_calls: dict[str, int]) -> int:
        offset = damaged = 0
        while True:
            chunk = await asyncio.to_thread(read_chunk, path, offset, _BATCH)
            if chunk.next == offset:
                return damaged
            offset = chunk.next
            damaged += chunk.damaged
            await self._send(chunk.records)
            for record in chunk.records:
                self._note(record, open_calls)

    async def _send(self, records: list[Record]) -> None:
        await self.delivery.deliver([Entry(record, time.monotonic()) for record in records])

    def _note(self, record: Record, open_calls: dict[str, int]) -> None:
        session_id = session_of(record)
        self.sessions.add(session_id)
        if isinstance(record, Closed):
            open_calls.pop(session_id, None)
        elif isinstance(record, EventRow):
            self.events += 1
            open_calls[session_id] = record.seq
            self.epochs[session_id] = record.epoch
        elif isinstance(record, Opened):
            open_calls.setdefault(session_id, 0)
            self.epochs[session_id] = record.row.epoch

    async def _end(self, session_id: str, last_seq: int) -> None:
        try:
            row = await self.store.call(session_id)
        except NotFound:  # the store refused it: reported and set aside
            return
        if row.epoch > self.epochs[session_id]:  # another worker has taken the call
            return
        events = await self.store.events(session_id)
        if row.status != "active" or _goes_on_elsewhere(events, last_seq):
            return
        ended = bool(events) and events[-1].event_type == "call_ended"  # only its row is still to be closed
        if not ended and not await self.ends(row):
            self.left += 1
            return
        ending = ending_of(row, events)
        await self._send([*ending.events, Closed(ending.row)])
        self.closed_as_lost += 1

    def _put_away(self, path: Path, damaged: int) -> None:
        self.files += 1
        self.damaged += damaged
        if not damaged:
            path.unlink(missing_ok=True)
            return
        kept = path.rename(path.with_suffix(".damaged"))
        self.report("log_damaged", f"{damaged} lines of {kept} could not be read; the others are stored.")


def _goes_on_elsewhere(events: list[EventRow], last_seq: int) -> bool:
    return any(event.event_type == "call_resumed" and event.seq > last_seq for event in events)
