"""Calls with their events, secrets, analyses and tests, and word of changes: a part of the store over Supabase's API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

import httpx

from runtime.session.ports import CallRow, EventRow, TestSessionRow
from runtime.store import faults
from runtime.store.postgres import PostgresStore
from runtime.store.supabase_api import Api
from runtime.store.supabase_faults import not_notified
from runtime.store.supabase_records import as_id, as_object, built, built_all

__all__ = ["Calls"]


class Calls(Api):
    """The calls and tests of a `Store`; what comes in bulk goes to `database` where there is one."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        database: PostgresStore | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, key, transport=transport)
        self.database = database
        self._late = 0

    @property
    def late_seen(self) -> int:
        return self._late if self.database is None else self.database.late_seen

    def listen(self, on_change: Callable[[str, str], None]) -> AbstractAsyncContextManager[None]:
        return _Unheard(self) if self.database is None else self.database.listen(on_change)

    async def open_call(self, row: CallRow) -> None:
        if self.database is not None:
            await self.database.open_call(row)
        else:
            await self.ask("open_call", call=as_object(row))

    async def append(self, events: Sequence[EventRow]) -> None:
        if self.database is not None:
            await self.database.append(events)
        elif events:
            late = await self.ask("append", events=[as_object(event) for event in events])
            self._late += late  # not in one: others append meanwhile

    async def close_call(self, row: CallRow) -> bool:
        if self.database is not None:
            return await self.database.close_call(row)
        closed = await self.ask("close_call", call=as_object(row) | {"id": as_id(row.id)})
        if closed is None:
            raise faults.no_call(row.id)
        return bool(closed)

    async def save_analysis(self, session_id: str, analysis: Mapping[str, Any]) -> None:
        if not await self.ask("save_analysis", session_id=as_id(session_id), analysis=dict(analysis)):
            raise faults.no_call(session_id)

    async def call(self, session_id: str) -> CallRow:
        found = await self.ask("call", session_id=as_id(session_id))
        if found is None:
            raise faults.no_call(session_id)
        return built(CallRow, found)

    async def calls(self, organization_id: str, *, limit: int = 20, tests: bool = True) -> list[CallRow]:
        return built_all(CallRow, await self.ask("calls", organization_id=organization_id, most=limit, tests=tests))

    async def events(self, session_id: str) -> list[EventRow]:
        found = await self.ask("events", session_id=as_id(session_id))
        if not found:
            await self.call(session_id)
        return built_all(EventRow, found)

    async def save_test(self, row: TestSessionRow) -> None:
        await self.ask("save_test", test=as_object(row))

    async def tests(self, organization_id: str, *, limit: int = 20) -> list[TestSessionRow]:
        return built_all(TestSessionRow, await self.ask("tests", organization_id=organization_id, most=limit))


class _Unheard(AbstractAsyncContextManager[None]):
    """Listening where nothing is told: entering says so, once the API has shown that it is there."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def __aenter__(self) -> None:
        await self._api.schema()
        raise not_notified(self._api.place)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close nothing: it was never entered."""
