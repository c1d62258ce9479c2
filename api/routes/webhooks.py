"""Webhook deliveries: what became of them, and once more."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from api.access import Caller
from api.answers import answers
from api.idempotency import PatchbayRoute
from api.models.common import Listed
from api.models.webhooks import WebhookDelivery
from api.problems import found
from api.requests import CallerDep, PageDep, listed
from api.routes.sessions import no_cursor
from runtime.store.row_access import Condition, Row

__all__ = ["router"]

Json = Any

router = APIRouter(tags=["webhooks"], route_class=PatchbayRoute)


@router.get("/webhook-deliveries", response_model=Listed[WebhookDelivery], responses=answers())
async def list_deliveries(
    caller: CallerDep,
    page: PageDep,
    status: Annotated[Literal["pending", "delivered", "dead"] | None, Query(description="What became of it.")] = None,
    session_id: Annotated[UUID | None, Query(description="Those of this session.")] = None,
) -> dict[str, Json]:
    """List the organization's deliveries, newest first."""
    where: list[Condition] = [("organization_id", "eq", caller.need("webhooks:read"))]
    if status is not None:
        where.append(("status", "eq", status))
    if session_id is not None:
        where.append(("session_id", "eq", str(session_id)))
    if page.after is not None and len(page.after) != 2:
        raise no_cursor()
    return await listed(
        caller.rows, page, "webhook_delivery", where=where, order=[("created_at", "desc"), ("id", "desc")]
    )


@router.get(
    "/webhook-deliveries/{delivery_id}",
    response_model=WebhookDelivery,
    responses=answers(404),
)
async def read_delivery(caller: CallerDep, delivery_id: UUID) -> Row:
    """Read one delivery."""
    return await _delivery(caller, delivery_id, "read")


@router.post(
    "/webhook-deliveries/{delivery_id}/retry",
    status_code=202,
    response_model=WebhookDelivery,
    responses=answers(404, 409),
)
async def retry_delivery(caller: CallerDep, delivery_id: UUID) -> Row:
    """Send it once more, as if it were new: also one that was delivered or given up. 409 while it is being sent."""
    await _delivery(caller, delivery_id, "write")
    row: Row = await caller.rows.rpc("retry_delivery", {"delivery_id": str(delivery_id)})
    return row


async def _delivery(caller: Caller, delivery_id: UUID, to: Literal["read", "write"]) -> Row:
    rows = await caller.rows.select("webhook_delivery", where=[("id", "eq", str(delivery_id))], limit=1)
    row = found(rows, "webhook delivery", str(delivery_id))
    caller.need("webhooks:write" if to == "write" else "webhooks:read", row["organization_id"])
    return row
