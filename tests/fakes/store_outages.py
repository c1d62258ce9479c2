"""A store's bad days: it is away, hangs, loses its answer after the commit, or refuses rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from runtime.errors import NotFound, StoreUnreachable
from runtime.session.fleet_ports import Lease
from runtime.session.ports import CallRow, EventRow

__all__ = ["RowStore", "StoreOutages"]


class RowStore:
    """The calls and events of a store and nothing else, as strict as a database about what must be there before."""

    def __init__(self) -> None:
        self.call_rows: dict[str, CallRow] = {}
        self.event_rows: dict[str, dict[int, EventRow]] = {}
        self.leases: dict[str, Lease] = {}

    async def open_call(self, row: CallRow) -> None:
        self.call_rows.setdefault(row.id, row)

    async def append(self, events: Sequence[EventRow]) -> None:
        if missing := {event.session_id for event in events} - self.call_rows.keys():
            raise KeyError(f"foreign key: no call_session {missing}")
        for event in events:
            self.event_rows.setdefault(event.session_id, {}).setdefault(event.seq, event)

    async def close_call(self, row: CallRow) -> None:
        if row.id not in self.call_rows:
            raise KeyError(row.id)
        self.call_rows[row.id] = row

    async def call(self, session_id: str) -> CallRow:
        if session_id not in self.call_rows:
            raise NotFound(f"There is no session '{session_id}'.")
        return self.call_rows[session_id]

    async def lease(self, session_id: str) -> Lease | None:
        return self.leases.get(session_id)

    async def events(self, session_id: str) -> list[EventRow]:
        return [event for _, event in sorted(self.event_rows.get(session_id, {}).items())]


class StoreOutages:
    """Passes everything on to `store`, but for what it is told to do wrong.

    `away`: every call raises `StoreUnreachable`. `hanging`: no call returns. `lost_answers`: so many calls do their
    work and raise nevertheless. `refuse(row)`: a batch or call with such a row raises `ValueError`. `sent` lists the
    batches that were passed on, `order` every writing call by name.
    """

    def __init__(self, store: Any) -> None:
        self.store = store
        self.away = False
        self.hanging = False
        self.lost_answers = 0
        self.refuse: Callable[[CallRow | EventRow], bool] = lambda _: False
        self.sent: list[list[EventRow]] = []
        self.order: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def open_call(self, row: CallRow) -> None:
        await self._pass_on("open_call", row, [row])

    async def append(self, events: Sequence[EventRow]) -> None:
        await self._pass_on("append", events, events)
        self.sent.append(list(events))

    async def close_call(self, row: CallRow) -> None:
        await self._pass_on("close_call", row, [row])

    async def _pass_on(self, name: str, argument: Any, rows: Sequence[CallRow | EventRow]) -> None:
        if self.hanging:
            await asyncio.Event().wait()
        if self.away:
            raise StoreUnreachable("The store is away.")
        for row in rows:
            if self.refuse(row):
                raise ValueError("secret detail: no such row")
        await getattr(self.store, name)(argument)
        self.order.append(name)
        if self.lost_answers:
            self.lost_answers -= 1
            raise StoreUnreachable("The answer was lost.")
