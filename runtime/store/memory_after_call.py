"""What is to be done after calls, and the outbox of their webhooks: a part of the store in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar
from uuid import uuid4

from runtime.session.outbox_ports import AfterCallRow, DeliveryRow, DeliveryStatus
from runtime.session.ports import CallRow
from runtime.store import faults
from runtime.store.memory_tables import Tables

__all__ = ["AfterCalls"]

R = TypeVar("R", AfterCallRow, DeliveryRow)


class AfterCalls(Tables):
    """The `Outbox` of a `Store`."""

    def __init__(self) -> None:
        super().__init__()
        self._after_calls: dict[str, AfterCallRow] = {}
        self._deliveries: dict[str, DeliveryRow] = {}

    def _remember_after_call(self, row: CallRow) -> None:
        """Do what the trigger `call_session_remembered` does."""
        version = self._versions.get(row.workflow_version_id or "")
        session = version.config.get("session") if version is not None else None
        if row.ended_at is None or not isinstance(session, Mapping):
            return
        on_end, analysis = session.get("on_end"), session.get("analysis")
        if isinstance(analysis, Mapping) or (isinstance(on_end, list) and on_end):
            new = AfterCallRow(row.id, row.organization_id, "pending", attempts=0, due_at=row.ended_at)
            self._after_calls.setdefault(row.id, new)

    async def claim_after_call(
        self, now: datetime, until: datetime, *, session_id: str | None = None
    ) -> AfterCallRow | None:
        self._reach()
        wanted = (row for row in self._after_calls.values() if session_id in {None, row.session_id})
        found = _first(wanted, now, whenever=session_id is not None)
        if found is None:
            return None
        self._after_calls[found.session_id] = replace(found, leased_until=until, attempts=found.attempts + 1)
        return self._after_calls[found.session_id]

    async def finish_after_call(self, row: AfterCallRow, names: Sequence[str], now: datetime) -> None:
        self._reach()
        if not _holds(self._after_calls.get(row.session_id), row):
            return
        self._after_calls[row.session_id] = replace(row, status="done", leased_until=None, last_error=None)
        there = {each.tool_index for each in self._deliveries.values() if each.session_id == row.session_id}
        for index, name in enumerate(names):
            if index not in there:
                key = str(uuid4())
                self._deliveries[key] = DeliveryRow(
                    key, row.session_id, row.organization_id, index, name, "pending", 0, due_at=now, created_at=now
                )

    async def postpone_after_call(self, row: AfterCallRow) -> None:
        self._reach()
        if _holds(self._after_calls.get(row.session_id), row):
            self._after_calls[row.session_id] = replace(row, leased_until=None)

    async def claim_delivery(
        self, now: datetime, until: datetime, *, delivery_id: str | None = None, busy: Sequence[str] = ()
    ) -> DeliveryRow | None:
        self._reach()
        wanted = (
            row
            for row in self._deliveries.values()
            if delivery_id in {None, row.id} and row.organization_id not in busy
        )
        found = _first(wanted, now, whenever=delivery_id is not None)
        if found is None:
            return None
        self._deliveries[found.id] = replace(
            found, leased_until=until, attempts=found.attempts + 1, last_attempt_at=now
        )
        return self._deliveries[found.id]

    async def settle_delivery(self, row: DeliveryRow) -> None:
        self._reach()
        known = self._deliveries.get(row.id)
        if known is not None and (row.status == "delivered" or _holds(known, row)):
            self._deliveries[row.id] = replace(
                known,
                status=row.status,
                due_at=row.due_at,
                delivered_at=row.delivered_at,
                last_status=row.last_status,
                last_error=row.last_error,
                leased_until=None,
            )

    async def revive_delivery(self, delivery_id: str, now: datetime) -> None:
        self._reach()
        known = self._deliveries.get(delivery_id)
        if known is not None and _is_free(known, now):
            self._deliveries[delivery_id] = replace(known, status="pending", attempts=0, due_at=now, leased_until=None)

    async def delivery(self, delivery_id: str) -> DeliveryRow:
        self._reach()
        try:
            return self._deliveries[delivery_id]
        except KeyError:
            raise faults.no_delivery(delivery_id) from None

    async def deliveries(
        self,
        organization_id: str,
        *,
        status: DeliveryStatus | None = None,
        session_id: str | None = None,
        limit: int = 50,
    ) -> list[DeliveryRow]:
        self._reach()
        chosen = [
            row
            for row in self._deliveries.values()
            if row.organization_id == organization_id
            and status in {None, row.status}
            and session_id in {None, row.session_id}
        ]
        chosen.sort(key=lambda row: (row.session_id, row.tool_index))
        return sorted(chosen, key=lambda row: row.created_at, reverse=True)[:limit]


def _first(rows: Iterable[R], now: datetime, *, whenever: bool) -> R | None:
    free = [row for row in rows if row.status == "pending" and _is_free(row, now)]
    due = [row for row in free if whenever or row.due_at <= now]
    return min(due, key=lambda row: row.due_at, default=None)


def _is_free(row: AfterCallRow | DeliveryRow, now: datetime) -> bool:
    return row.leased_until is None or row.leased_until <= now


def _holds(known: AfterCallRow | DeliveryRow | None, row: AfterCallRow | DeliveryRow) -> bool:
    return known is not None and known.leased_until is not None and known.leased_until == row.leased_until
