"""What the reader of ended calls needs beside the store: who loads versions, analyses calls and sends webhooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from runtime.session.after_call_ports import Analysis, Analyst, EndedCall
from runtime.workflow.graph import CompiledTool, Workflow

__all__ = ["Analysis", "Analyst", "Delivery", "EndedCall", "LoadVersion", "Sender", "Sent"]

LoadVersion: TypeAlias = Callable[[str], Awaitable[tuple[Workflow, str]]]
"""Returns a version's compiled workflow and its workflow's name, by the version's id. Raises `PatchbayError`."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt at a delivery: `id` is the same at each of them, `attempt` counts from 1."""

    id: str
    attempt: int
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """How an attempt went. `error_code` (`[a-z0-9_]`) is empty where it succeeded.

    `retryable` says that a later attempt may do better, `retry_after_s` what the receiver asked to wait.
    """

    ok: bool
    status: int | None = None
    error_code: str = ""
    retryable: bool = False
    retry_after_s: float | None = None


class Sender(Protocol):
    """Sends webhooks."""

    async def send(self, tool: CompiledTool, delivery: Delivery, call: EndedCall) -> Sent:
        """Send `call` to the receiver that `tool` names. Raises `StoreUnreachable` only, where its secrets cannot be read."""
        ...
