"""Sessions, their events and tickets for live events, as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

__all__ = ["EVENT_COLUMNS", "Event", "LiveTicket", "Session", "Word"]

Json = Any
EVENT_COLUMNS = ("session_id", "seq", "event_type", "payload", "agent_id", "occurred_at", "recorded_at")

Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
"""A name such as `chat_test` or `user_turn`."""


class Session(BaseModel):
    """A call or a test call: one row of `call_session`."""

    id: UUID
    organization_id: UUID
    workflow_version_id: UUID | None = Field(description="The version it ran on; null where no workflow was found.")
    external_session_id: str | None = Field(description="The telephone's or the transport's own name for it.")
    channel: str = Field(description="phone, web, voice_test or chat_test.")
    direction: str = Field(description="inbound or outbound.")
    from_number: str | None
    to_number: str | None
    is_test: bool
    status: Literal["active", "completed", "dropped"]
    end_reason: str | None = Field(description="Why it ended: caller_hangup, agent_hangup, transferred, …")
    worker_id: str | None
    runtime_version: str | None
    room: str | None
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    cost: float | None = Field(description="What providers took for it; null where a price is not known, never 0.")
    variables: dict[str, Json] = Field(description="What was collected, sensitive values as `•••`.")
    analysis: dict[str, Json] | None = Field(description="What the call came to; null before it was analysed.")


class Event(BaseModel):
    """What happened in a session: one row of `session_event`."""

    session_id: UUID
    seq: int = Field(description="Its number in the session, from 1 and without gaps.")
    event_type: str
    payload: dict[str, Json] = Field(description="What its type says; sensitive values are `•••`.")
    agent_id: str | None = Field(description="The agent's id in the config; null before the first agent.")
    occurred_at: datetime
    recorded_at: datetime


class LiveTicket(BaseModel):
    """Stands for who asked for it, once: `?ticket=` in the address of a socket."""

    ticket: str
    expires_at: datetime
