"""What is to be done after calls, and the outbox of their webhooks: a part of the store on Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from runtime.session.outbox_ports import AfterCallRow, DeliveryRow, DeliveryStatus
from runtime.store import faults, rows
from runtime.store.pool import Database

__all__ = ["AfterCalls"]

_AFTER_CALL = "a.session_id, a.organization_id, a.status, a.attempts, a.due_at, a.leased_until, a.last_error"
# A `with` that locks is never folded into the update; as a subquery of `in` it could be run more than once, and lock more.
_AFTER_CALL_CLAIM = f"""
with due as (
  select session_id from public.after_call
  where status = 'pending' and (leased_until is null or leased_until <= $1)
    and due_at <= case when $3::uuid is null then $1 else 'infinity' end and ($3 is null or session_id = $3)
  order by due_at limit 1 for update skip locked
)
update public.after_call a set leased_until = $2, attempts = a.attempts + 1
from due where a.session_id = due.session_id returning {_AFTER_CALL}
"""  # noqa: S608 - our own constant
_AFTER_CALL_FINISH = """
with done as (
  update public.after_call set status = 'done', leased_until = null, last_error = null
  where session_id = $1 and status = 'pending' and leased_until = $2 returning session_id, organization_id
)
insert into public.webhook_delivery (session_id, organization_id, tool_index, name, due_at, created_at)
select done.session_id, done.organization_id, each.number - 1, each.name, $4, $4
from done cross join unnest($3::text[]) with ordinality as each (name, number)
on conflict (session_id, tool_index) do nothing
"""
_AFTER_CALL_POSTPONE = """
update public.after_call set status = $3, due_at = $4, last_error = $5, leased_until = null
where session_id = $1 and status = 'pending' and leased_until = $2
"""

_DELIVERY = """d.id, d.session_id, d.organization_id, d.tool_index, d.name, d.status, d.attempts, d.due_at, d.created_at,
  d.leased_until, d.last_attempt_at, d.delivered_at, d.last_status, d.last_error"""
_DELIVERY_CLAIM = f"""
with due as (
  select id from public.webhook_delivery
  where status = 'pending' and (leased_until is null or leased_until <= $1) and organization_id <> all ($4::uuid[])
    and due_at <= case when $3::uuid is null then $1 else 'infinity' end and ($3 is null or id = $3)
  order by due_at limit 1 for update skip locked
)
update public.webhook_delivery d set leased_until = $2, attempts = d.attempts + 1, last_attempt_at = $1
from due where d.id = due.id returning {_DELIVERY}
"""  # noqa: S608 - our own constant
_DELIVERY_SETTLE = """
update public.webhook_delivery
set status = $3, due_at = $4, delivered_at = $5, last_status = $6, last_error = $7, leased_until = null
where id = $1 and (leased_until = $2 or $3 = 'delivered')
"""
_DELIVERY_REVIVE = """
update public.webhook_delivery set status = 'pending', attempts = 0, due_at = $2, leased_until = null
where id = $1 and (leased_until is null or leased_until <= $2)
"""
_DELIVERY_ONE = f"select {_DELIVERY} from public.webhook_delivery d where d.id = $1"  # noqa: S608 - our own constant
_DELIVERIES = f"""
select {_DELIVERY} from public.webhook_delivery d
where d.organization_id = $1 and ($2::text is null or d.status = $2) and ($3::uuid is null or d.session_id = $3)
order by d.created_at desc, d.session_id, d.tool_index limit $4
"""  # noqa: S608 - our own constant


class AfterCalls(Database):
    """The `Outbox` of a `Store`."""

    async def claim_after_call(
        self, now: datetime, until: datetime, *, session_id: str | None = None
    ) -> AfterCallRow | None:
        wanted = None if session_id is None else rows.as_uuid(session_id)
        if session_id is not None and wanted is None:
            return None
        found = await self.fetch(_AFTER_CALL_CLAIM, now, until, wanted)
        return AfterCallRow(**rows.plain(found[0])) if found else None

    async def finish_after_call(self, row: AfterCallRow, names: Sequence[str], now: datetime) -> None:
        await self.fetch(_AFTER_CALL_FINISH, rows.as_uuid(row.session_id), row.leased_until, list(names), now)

    async def postpone_after_call(self, row: AfterCallRow) -> None:
        key = rows.as_uuid(row.session_id)
        await self.fetch(_AFTER_CALL_POSTPONE, key, row.leased_until, row.status, row.due_at, row.last_error)

    async def claim_delivery(
        self, now: datetime, until: datetime, *, delivery_id: str | None = None, busy: Sequence[str] = ()
    ) -> DeliveryRow | None:
        wanted = None if delivery_id is None else rows.as_uuid(delivery_id)
        if delivery_id is not None and wanted is None:
            return None
        found = await self.fetch(_DELIVERY_CLAIM, now, until, wanted, list(busy))
        return _delivery_row(found[0]) if found else None

    async def settle_delivery(self, row: DeliveryRow) -> None:
        await self.fetch(
            _DELIVERY_SETTLE,
            rows.as_uuid(row.id),
            row.leased_until,
            row.status,
            row.due_at,
            row.delivered_at,
            row.last_status,
            row.last_error,
        )

    async def revive_delivery(self, delivery_id: str, now: datetime) -> None:
        await self.fetch(_DELIVERY_REVIVE, rows.as_uuid(delivery_id), now)

    async def delivery(self, delivery_id: str) -> DeliveryRow:
        found = await self.fetch(_DELIVERY_ONE, rows.as_uuid(delivery_id))
        if not found:
            raise faults.no_delivery(delivery_id)
        return _delivery_row(found[0])

    async def deliveries(
        self,
        organization_id: str,
        *,
        status: DeliveryStatus | None = None,
        session_id: str | None = None,
        limit: int = 50,
    ) -> list[DeliveryRow]:
        session = None if session_id is None else rows.as_uuid(session_id)
        if session_id is not None and session is None:
            return []
        return [_delivery_row(row) for row in await self.fetch(_DELIVERIES, organization_id, status, session, limit)]


def _delivery_row(record: Any) -> DeliveryRow:
    return DeliveryRow(**rows.plain(record))
