"""Records to the store; one that the store refuses for its content is set aside, so that it holds up no other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runtime.errors import StoreUnreachable
from runtime.session.backlog import Entry
from runtime.session.fleet_ports import CheckpointRow
from runtime.session.local_log import private_folder
from runtime.session.ports import CallRow, EventRow, Store
from runtime.session.records import Closed, Opened, Record, encode, name_of
from runtime.session.unwritten import session_of

__all__ = ["Delivery", "RefusedFile"]

_PATIENCE_S = (0.1, 0.4, 1.5, 4.0)
_SEND_TIMEOUT_S = 30.0


class _Refused(Exception):
    """The store is there and does not want this."""


class RefusedFile:
    """Where refused records lie, `refused.ndjson`: lines as in the log, with the reason.

    Renamed to `<name>.000001.ndjson` the file is drained again like the log of a dead process.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "refused.ndjson"

    def add(self, line: bytes) -> None:
        """Raises `OSError`."""
        private_folder(self.path.parent)
        fd = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class _Way:
    """How one record reaches the store by itself: as it is, and as what can stand in for it."""

    as_it_is: Callable[[], Awaitable[object]]
    stand_in: Callable[[str], Awaitable[object]]


class Delivery:
    """Sends records in order and marks them `done`; `refused` counts those set aside.

    A refused event's number is taken by a `fault_raised` that names it, so that the session has no gap; a refused
    call row is stored without what may be at fault. Where the store refuses even that, it is asked again for
    `patience_s` seconds each before the record is set aside, and with it the rest of its session.
    """

    def __init__(
        self,
        store: Store,
        refused: RefusedFile,
        *,
        report: Callable[[str, str], None],
        patience_s: Sequence[float] = _PATIENCE_S,
        send_timeout_s: float = _SEND_TIMEOUT_S,
    ) -> None:
        self._store = store
        self._file = refused
        self._report = report
        self._patience_s = patience_s
        self._send_timeout_s = send_timeout_s
        self._hopeless: set[str] = set()
        self.refused = 0

    async def deliver(self, entries: Sequence[Entry]) -> None:
        """Send what is not done: openings, then all events in one batch, each call's newest checkpoint, then closings.

        Raises `StoreUnreachable` when the store is away or silent for too long; what was sent is marked by then.
        """
        left: dict[type[Record], list[Entry]] = {Opened: [], EventRow: [], CheckpointRow: [], Closed: []}
        for entry in entries:
            if not entry.done:
                left[type(entry.record)].append(entry)
        await self._send(left[Opened])
        await self._send(left[EventRow])
        await self._save_checkpoints(left[CheckpointRow])
        await self._send(left[Closed])

    async def _save_checkpoints(self, entries: list[Entry]) -> None:
        """Only the newest of each call; one that the store refuses is dropped, as the next one takes its place."""
        newest = {entry.record.session_id: entry.record for entry in entries if isinstance(entry.record, CheckpointRow)}
        rows = [row for row in newest.values() if row.session_id not in self._hopeless]
        try:
            if rows:
                await self._ask(self._store.save_checkpoints(rows))
        except _Refused as refusal:
            kind = str(refusal).partition(":")[0]
            self._report("checkpoint_refused", f"The store refused {len(rows)} checkpoints of calls ({kind}).")
        for entry in entries:
            entry.done = True

    async def _send(self, entries: list[Entry]) -> None:
        """Entries of one kind: events together, halved until the refused one stands alone; rows of calls one by one."""
        if self._hopeless:
            entries = [entry for entry in entries if not self._without_hope(entry)]
        if not entries:
            return
        rows = [entry.record for entry in entries if isinstance(entry.record, EventRow)]
        if len(entries) == 1 or not rows:
            for entry in entries:
                await self._send_alone(entry)
            return
        try:
            await self._ask(self._store.append(rows))
        except _Refused:
            middle = len(entries) // 2
            await self._send(entries[:middle])
            await self._send(entries[middle:])
            return
        for entry in entries:
            entry.done = True

    async def _send_alone(self, entry: Entry) -> None:
        way = self._way(entry)
        reason = ""
        for pause_s in (0.0, *self._patience_s):
            await asyncio.sleep(pause_s)
            try:
                await self._ask(way.as_it_is())
            except _Refused as refusal:
                reason = str(refusal)
            else:
                entry.done = True
                return
            try:
                await self._ask(way.stand_in(reason))
            except _Refused:
                continue
            self._set_aside(entry, reason)
            return
        self._hopeless.add(session_of(entry.record))
        self._set_aside(entry, reason)

    def _without_hope(self, entry: Entry) -> bool:
        session_id = session_of(entry.record)
        if session_id not in self._hopeless:
            return False
        self._set_aside(entry, "an earlier record of its session was refused")
        if isinstance(entry.record, Closed):
            self._hopeless.discard(session_id)
        return True

    def _way(self, entry: Entry) -> _Way:
        record, store = entry.record, self._store
        match record:
            case EventRow():
                return _Way(lambda: store.append([record]), lambda why: store.append([_stand_in(record, why)]))
            case CheckpointRow():
                return _Way(lambda: store.save_checkpoints([record]), lambda _: store.save_checkpoints([]))
            case Opened(row):
                return _Way(lambda: store.open_call(row), lambda _: store.open_call(_bare(row)))
            case Closed(row):
                return _Way(lambda: store.close_call(row), lambda _: store.close_call(_bare(row)))

    async def _ask(self, sending: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(self._send_timeout_s):
                await sending
        except StoreUnreachable:
            raise
        except OSError as error:  # a timeout is one too
            raise StoreUnreachable(f"The store does not answer: {type(error).__name__} {error}") from error
        except Exception as error:
            # An edge: whatever a store's driver raises for a row, the other rows must get through.
            raise _Refused(f"{type(error.__cause__ or error).__name__}: {error}") from error

    def _set_aside(self, entry: Entry, reason: str) -> None:
        entry.done = True
        self.refused += 1
        kind = reason.partition(":")[0]
        where = f"it is kept in {self._file.path}"
        try:
            self._file.add(encode(entry.record, refused=reason))
        except OSError as error:
            entry.lost = True
            where = f"it could not be kept in {self._file.path} ({error}), so its log file stays"
        # A driver's message may quote the row: it goes to the file, which is private, and not to the log.
        self._report("row_refused", f"The store refused {name_of(entry.record)} ({kind}); {where}.")


def _bare(row: CallRow) -> CallRow:
    """The row without what comes from outside and may be at fault."""
    return replace(
        row,
        workflow_version_id=None,
        external_session_id=None,
        from_number=None,
        to_number=None,
        room=None,
        cost=None,
        variables={},
    )


def _stand_in(row: EventRow, reason: str) -> EventRow:
    payload: dict[str, Any] = {
        "v": 1,
        **{key: _whole(row.payload.get(key)) for key in ("turn", "elapsed_ms")},
        "caused_by": None,
        "component": "store",
        "code": "row_refused",
        "message": f"A {row.event_type} stood here that the store refused ({reason.partition(':')[0]}).",
        "retryable": False,
        "recovered_by": "set aside in refused.ndjson",
    }
    return replace(row, event_type="fault_raised", payload=payload, agent_id=None, secret=None)


def _whole(value: object) -> int:
    return value if isinstance(value, int) and abs(value) < 2**31 else 0
