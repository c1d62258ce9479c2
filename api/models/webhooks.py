"""Webhook deliveries, as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

__all__ = ["WebhookDelivery"]


class WebhookDelivery(BaseModel):
    """What became of one webhook of an ended call; neither its address nor its content is kept."""

    id: UUID = Field(description="What the receiver tells repeats by.")
    session_id: UUID
    organization_id: UUID
    tool_index: int = Field(description="Which of the version's `session.on_end` it is, from 0.")
    name: str
    status: Literal["pending", "delivered", "dead"]
    attempts: int = Field(description="Since it was made pending the last time.")
    due_at: datetime = Field(description="When it is tried next, where it is pending.")
    created_at: datetime
    leased_until: datetime | None = Field(description="In the future while it is being sent.")
    last_attempt_at: datetime | None
    delivered_at: datetime | None
    last_status: int | None = Field(description="The HTTP status of the last attempt; null where nobody answered.")
    last_error: str | None
