"""The outbox of what is to be done after calls: its rows, and its part of the `Store` Protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

__all__ = ["AfterCallRow", "AfterCallStatus", "DeliveryRow", "DeliveryStatus", "Outbox"]

AfterCallStatus = Literal["pending", "done", "failed"]
DeliveryStatus = Literal["pending", "delivered", "dead"]


@dataclass(frozen=True, slots=True)
class AfterCallRow:
    """A call that has ended and is to be analysed, or told of: made by the store as the call's row is closed.

    `leased_until` is the time (UTC) until which a reader holds it; `attempts` counts how often one took it up.
    """

    session_id: str
    organization_id: str
    status: AfterCallStatus
    attempts: int
    due_at: datetime
    leased_until: datetime | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A webhook of an ended call: the `tool_index`-th of its version's `session.on_end`. It holds no secret and no URL.

    `id` is what the receiver tells repeats by. `attempts` counts from the last time it was made pending, and `last_status`
    is the HTTP status of the last attempt, None where there was no answer. `last_error` is a code (`[a-z0-9_]`).
    """

    id: str
    session_id: str
    organization_id: str
    tool_index: int
    name: str
    status: DeliveryStatus
    attempts: int
    due_at: datetime
    created_at: datetime
    leased_until: datetime | None = None
    last_attempt_at: datetime | None = None
    delivered_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None


class Outbox(Protocol):
    """What readers take up under a lease and settle. Any number of readers may do so at once.

    A row that was claimed comes back by itself once its lease is over. Settling it counts only for who holds the lease
    still, told by `leased_until`; so a row that was taken up by somebody else in between is theirs.
    """

    async def claim_after_call(
        self, now: datetime, until: datetime, *, session_id: str | None = None
    ) -> AfterCallRow | None:
        """Take the pending call that has been due the longest; of `session_id` also where it is not due yet."""
        ...

    async def finish_after_call(self, row: AfterCallRow, names: Sequence[str], now: datetime) -> None:
        """Mark it done and make a delivery for each name, due now, in one transaction; those there already stay."""
        ...

    async def postpone_after_call(self, row: AfterCallRow) -> None:
        """Write the row's status, due_at and last_error, and give up the lease."""
        ...

    async def claim_delivery(
        self, now: datetime, until: datetime, *, delivery_id: str | None = None, busy: Sequence[str] = ()
    ) -> DeliveryRow | None:
        """Take the pending delivery that has been due the longest; `delivery_id` also where it is not due yet.

        Those of the organizations in `busy` are left to others.
        """
        ...

    async def settle_delivery(self, row: DeliveryRow) -> None:
        """Write the row's status, due_at, delivered_at, last_status and last_error, and give up the lease.

        That it was delivered is written whoever holds the lease.
        """
        ...

    async def revive_delivery(self, delivery_id: str, now: datetime) -> None:
        """Make a delivery pending and due now, its attempts counted anew; one that is being sent stays as it is."""
        ...

    async def delivery(self, delivery_id: str) -> DeliveryRow:
        """Return one delivery. Raises `NotFound`."""
        ...

    async def deliveries(
        self,
        organization_id: str,
        *,
        status: DeliveryStatus | None = None,
        session_id: str | None = None,
        limit: int = 50,
    ) -> list[DeliveryRow]:
        """Return the newest deliveries first, those of one call in the order of its webhooks."""
        ...
