"""Composes the reader of ended calls out of its parts: for workers, and for commands that end calls or send webhooks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from runtime.aftercall.loading import VersionLoader
from runtime.aftercall.payload import as_body, call_ended
from runtime.aftercall.ports import Analyst, Delivery, EndedCall, Sender, Sent
from runtime.aftercall.reader import AfterCallReader
from runtime.session.call_session import SystemClock
from runtime.session.outbox_ports import DeliveryRow
from runtime.session.ports import Store
from runtime.settings import Settings
from runtime.store.secrets import Keyring
from runtime.workflow.graph import CompiledTool
from tools.guard import open_client
from tools.mocks import parse_mocks
from tools.webhook import WebhookConfig, WebhookSender
from tools.workspaces import workspaces_of

__all__ = ["open_reader", "payload_of"]

Json = Any


@asynccontextmanager
async def open_reader(
    store: Store,
    keyring: Keyring,
    settings: Settings,
    *,
    analyst: Analyst | None = None,
    mocks: Mapping[str, Json] | None = None,
) -> AsyncIterator[AfterCallReader]:
    """Yield a reader on the settings' terms: which private addresses webhooks may reach. `mocks` are those of a test."""
    async with open_client(settings.allow_private_hosts.allows) as client:
        sender: Sender = WebhookSender(client, workspaces_of(store, keyring.decrypt))
        if mocks:
            sender = _Mocked(sender, mocks)
        yield AfterCallReader(store, VersionLoader(store).load, sender, analyst, SystemClock())


class _Mocked:
    """Sends what a test does not replace; what it does counts as delivered, without a status."""

    def __init__(self, sender: Sender, mocks: Mapping[str, Json]) -> None:
        self._sender = sender
        self._mocks = mocks

    async def send(self, tool: CompiledTool, delivery: Delivery, call: EndedCall) -> Sent:
        if parse_mocks(self._mocks, call.workflow).replaces(tool):
            return Sent(ok=True)
        return await self._sender.send(tool, delivery, call)


async def payload_of(store: Store, row: DeliveryRow) -> dict[str, Json]:
    """Return what the next attempt would send. Raises IndexError where its version has no such webhook (any more)."""
    call = await store.call(row.session_id)
    workflow, name = await VersionLoader(store).load(call.workflow_version_id or "")
    config = WebhookConfig.model_validate(workflow.on_end[row.tool_index].tool.config)
    ended = EndedCall(call, await store.events(row.session_id), workflow, name)
    delivery = Delivery(row.id, row.attempts + 1, datetime.now(UTC))
    told: dict[str, Json] = json.loads(as_body(call_ended(ended, delivery, events=config.events)))
    return told
