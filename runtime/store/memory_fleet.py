"""Workers, leases and checkpoints: a part of the store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from runtime.session.fleet_ports import Beat, CheckpointRow, Lease, WorkerRow
from runtime.session.ports import CallRow, EventRow
from runtime.store.memory_tables import Tables

__all__ = ["Fleets"]

_FIRST_LEASE = timedelta(seconds=5)
_LOST = timedelta(seconds=10)
_KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Worker:
    row: WorkerRow
    started_at: datetime
    seen_at: datetime
    steady_since: datetime


class Fleets(Tables):
    """The `Fleet` of a `Store`; `late_events` are those of a call's earlier owners, by session."""

    def __init__(self) -> None:
        super().__init__()
        self.late_seen = 0
        self.late_events: dict[str, dict[tuple[int, int], EventRow]] = {}
        self._workers: dict[str, _Worker] = {}
        self._leases: dict[str, Lease] = {}
        self._checkpoints: dict[str, CheckpointRow] = {}
        self._heard: dict[str, datetime] = {}

    async def beat(self, worker: WorkerRow, calls: Sequence[tuple[str, int]], lease_s: float) -> Beat:
        self._reach()
        now = datetime.now(UTC)
        before = self._workers.get(worker.id)
        started_at = before.started_at if before else worker.started_at or now
        steady_since = before.steady_since if before and now - before.seen_at <= _gap(lease_s) else now
        self._workers[worker.id] = _Worker(worker, started_at, now, steady_since)
        lost = set()
        for session_id, epoch in calls:
            lease, call = self._leases.get(session_id), self._calls.get(session_id)
            if lease is not None and (lease.worker_id, lease.epoch) == (worker.id, epoch):
                self._leases[session_id] = replace(lease, leased_until=now + timedelta(seconds=lease_s))
            elif call is not None and (lease is not None or call.ended_at is not None or call.epoch > epoch):
                lost.add(session_id)
        return Beat(frozenset(lost))

    async def leave(self, worker_id: str) -> None:
        self._reach()
        self._workers.pop(worker_id, None)
        now = datetime.now(UTC)
        for lease in [each for each in self._leases.values() if each.worker_id == worker_id]:
            self._leases[lease.session_id] = replace(lease, leased_until=min(lease.leased_until, now))

    async def take_over(
        self, worker_id: str, lease_s: float, *, dead: Sequence[str] = (), limit: int = 10, rooms: bool = True
    ) -> list[Lease]:
        self._reach()
        now = datetime.now(UTC)
        steady = self._steady(worker_id, lease_s, now)
        due = [
            lease.session_id
            for lease in sorted(self._leases.values(), key=lambda lease: lease.leased_until)
            if (rooms or lease.room is None or lease.leased_until < now - _KEPT)
            and ((lease.worker_id in dead and lease.worker_id != worker_id) or (steady and lease.leased_until <= now))
        ]
        abandoned = [row.id for row in self._calls.values() if steady and self._abandoned(row, now)]
        until = now + timedelta(seconds=lease_s)
        return [self._take(session_id, worker_id, until) for session_id in [*due, *abandoned][:limit]]

    async def lease(self, session_id: str) -> Lease | None:
        self._reach()
        return self._leases.get(session_id)

    async def workers(self) -> list[WorkerRow]:
        self._reach()
        now = datetime.now(UTC)
        known = [each for each in self._workers.values() if now - each.seen_at < _KEPT]
        return [
            replace(
                each.row,
                state="lost" if now - each.seen_at > _LOST else each.row.state,
                started_at=each.started_at,
                seen_at=each.seen_at,
            )
            for each in sorted(known, key=lambda each: (each.started_at, each.row.id))
        ]

    async def save_checkpoints(self, rows: Sequence[CheckpointRow]) -> None:
        self._reach()
        for row in rows:
            call, known = self._calls.get(row.session_id), self._checkpoints.get(row.session_id)
            if call is None or call.ended_at is not None or row.epoch < call.epoch:
                continue
            if known is None or (row.epoch, row.seq) >= (known.epoch, known.seq):
                self._checkpoints[row.session_id] = row

    async def checkpoint(self, session_id: str) -> CheckpointRow | None:
        self._reach()
        return self._checkpoints.get(session_id)

    def _first_lease(self, row: CallRow) -> None:
        if row.worker_id is not None and row.ended_at is None:
            until = datetime.now(UTC) + _FIRST_LEASE
            self._leases[row.id] = Lease(row.id, row.organization_id, row.worker_id, row.epoch, until, row.room)

    def _late(self, event: EventRow) -> bool:
        """Put an event of an earlier owner aside, unless it was stored in time; True where it is one."""
        if event.epoch >= self._calls[event.session_id].epoch:
            return False
        stored = self._events[event.session_id].get(event.seq)
        if stored is None or stored.epoch != event.epoch:
            kept = self.late_events.setdefault(event.session_id, {})
            kept.setdefault((event.epoch, event.seq), replace(event, secret=None))
            self.late_seen += 1
        return True

    def _forget_lease(self, session_id: str) -> None:
        self._leases.pop(session_id, None)
        self._checkpoints.pop(session_id, None)

    def _steady(self, worker_id: str, lease_s: float, now: datetime) -> bool:
        worker = self._workers.get(worker_id)
        if worker is None or now - worker.seen_at > _gap(lease_s):
            return False
        return now - worker.steady_since >= timedelta(seconds=2 * lease_s)

    def _abandoned(self, row: CallRow, now: datetime) -> bool:
        if row.ended_at is not None or row.id in self._leases:
            return False
        return max(row.started_at, self._heard.get(row.id, row.started_at)) < now - _KEPT

    def _take(self, session_id: str, worker_id: str, until: datetime) -> Lease:
        row = self._calls[session_id]
        row = self._calls[session_id] = replace(row, epoch=row.epoch + 1, worker_id=worker_id)
        before = self._leases.get(session_id)
        room = before.room if before else None
        lease = Lease(session_id, row.organization_id, worker_id, row.epoch, until, room)
        self._leases[session_id] = lease
        return lease


def _gap(lease_s: float) -> timedelta:
    """Return for how long a worker may be silent without having to prove itself anew."""
    return timedelta(seconds=max(lease_s / 2, 2))
