"""What is to be done after calls, and the outbox of their webhooks: a part of the store over Supabase's API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from runtime.session.outbox_ports import AfterCallRow, DeliveryRow, DeliveryStatus
from runtime.store import faults
from runtime.store.supabase_api import Api
from runtime.store.supabase_records import as_id, as_object, built, built_all

__all__ = ["AfterCalls"]


class AfterCalls(Api):
    """The `Outbox` of a `Store`."""

    async def claim_after_call(
        self, now: datetime, until: datetime, *, session_id: str | None = None
    ) -> AfterCallRow | None:
        wanted = None if session_id is None else as_id(session_id)
        if session_id is not None and wanted is None:
            return None
        found = await self.ask("claim_after_call", at=now.isoformat(), until=until.isoformat(), session_id=wanted)
        return built(AfterCallRow, found) if found else None

    async def finish_after_call(self, row: AfterCallRow, names: Sequence[str], now: datetime) -> None:
        held = as_object(row)
        await self.ask(
            "finish_after_call",
            session_id=as_id(row.session_id),
            leased_until=held["leased_until"],
            names=list(names),
            at=now.isoformat(),
        )

    async def postpone_after_call(self, row: AfterCallRow) -> None:
        held = as_object(row)
        chosen = {name: held[name] for name in ("leased_until", "status", "due_at", "last_error")}
        await self.ask("postpone_after_call", session_id=as_id(row.session_id), **chosen)

    async def claim_delivery(
        self, now: datetime, until: datetime, *, delivery_id: str | None = None, busy: Sequence[str] = ()
    ) -> DeliveryRow | None:
        wanted = None if delivery_id is None else as_id(delivery_id)
        if delivery_id is not None and wanted is None:
            return None
        found = await self.ask(
            "claim_delivery", at=now.isoformat(), until=until.isoformat(), delivery_id=wanted, busy=list(busy)
        )
        return built(DeliveryRow, found) if found else None

    async def settle_delivery(self, row: DeliveryRow) -> None:
        await self.ask("settle_delivery", delivery=as_object(row) | {"id": as_id(row.id)})

    async def revive_delivery(self, delivery_id: str, now: datetime) -> None:
        await self.ask("revive_delivery", delivery_id=as_id(delivery_id), at=now.isoformat())

    async def delivery(self, delivery_id: str) -> DeliveryRow:
        found = await self.ask("delivery", delivery_id=as_id(delivery_id))
        if found is None:
            raise faults.no_delivery(delivery_id)
        return built(DeliveryRow, found)

    async def deliveries(
        self,
        organization_id: str,
        *,
        status: DeliveryStatus | None = None,
        session_id: str | None = None,
        limit: int = 50,
    ) -> list[DeliveryRow]:
        session = None if session_id is None else as_id(session_id)
        if session_id is not None and session is None:
            return []
        found = await self.ask(
            "deliveries", organization_id=organization_id, status=status, session_id=session, most=limit
        )
        return built_all(DeliveryRow, found)
