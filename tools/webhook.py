"""`webhook`: tells another system, signed; during a call when the model calls it, and of the whole call once it has ended."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, TypeAlias

import httpx
from pydantic import AfterValidator, BaseModel, Field

from runtime.aftercall.payload import as_body, call_ended
from runtime.aftercall.ports import Delivery, EndedCall, Sent
from runtime.conversation.events import FACTS
from runtime.workflow.faults import suggestion
from runtime.workflow.graph import CompiledTool
from tools.base import Json, Tool, ToolConfig, ToolContext, ToolError, ToolResult
from tools.http_templates import Text, Url, checked_header, headers, url
from tools.schema import Parameters
from tools.webhook_post import Message, post, signatures

__all__ = ["Webhook", "WebhookConfig", "WebhookSender", "Workspace", "Workspaces"]

_SECRET = re.compile(r"\{\{-?\s*secrets\.([A-Za-z_]\w*)\s*-?\}\}")
_NAMESPACE = uuid.UUID("6f0d8c0e-6f0b-4c9d-9a55-6c1a3c1f2b7e")
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


def _checked_secret(text: str) -> str:
    if not _SECRET.fullmatch(text.strip()):
        raise ValueError("a secret comes by name, as {{ secrets.NAME }}; null sends without a signature")
    return text


def _checked_header(name: str) -> str:
    if name.casefold().startswith("webhook-"):
        raise ValueError(f"the header '{name}' is set by itself")
    return checked_header(name)


def _checked_event(name: str) -> str:
    if name not in FACTS:
        raise ValueError(f"there is no event '{name[:80]}'. {suggestion(name, FACTS, what='Events')}")
    return name


class WebhookConfig(ToolConfig):
    """Templates read the variables by name, `caller`, `call`, `workspace` and `secrets`; during a call `arguments` too."""

    url: Url
    headers: dict[Annotated[str, AfterValidator(_checked_header)], Text] = Field(default_factory=dict)
    secret: Annotated[str, AfterValidator(_checked_secret)] | None
    """What signs it: `{{ secrets.NAME }}`. To send without a signature say null."""
    events: bool | list[Annotated[str, AfterValidator(_checked_event)]] = False
    """After the call: whether the call's events are sent along, or which types of them."""
    parameters: Parameters = Field(default_factory=lambda: dict(_NO_PARAMETERS))
    """During a call: the JSON Schema of the arguments."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """An organization's workspace variables by name, secrets apart and in plain text."""

    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


Workspaces: TypeAlias = Callable[[str], Awaitable[Workspace]]
"""Returns an organization's workspace as it is now. Raises `StoreUnreachable`."""


class Webhook(Tool[WebhookConfig]):
    """Posts the arguments and who calls. The receiver tells repeats by `webhook-id`."""

    tool_type: ClassVar[str] = "webhook"
    Config: ClassVar[type[BaseModel]] = WebhookConfig

    def parameters(self) -> Mapping[str, Json]:
        return self.config.parameters

    def is_repeatable(self, arguments: Mapping[str, Json]) -> bool:  # noqa: ARG002 - whatever they are
        return True

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolResult:
        names, now = context.names(arguments), datetime.now(UTC)
        # Some model servers number their calls anew in every conversation.
        key = str(uuid.uuid5(_NAMESPACE, f"{context.call.get('id')}:{context.tool_call_id}"))
        payload = {
            "v": 1,
            "type": "call.tool",
            "delivery_id": key,
            "sent_at": now,
            "tool": context.function or self.tool_type,
            "arguments": arguments,
            "session": {**context.call, "caller": context.caller},
        }
        message = Message(key, now, as_body(payload))
        sent = await _posted(context.http, self.config, message, names, context.remaining_s())
        if not sent.ok:
            raise _as_tool_error(sent)
        return ToolResult({"ok": True, "status": sent.status}, "Done.")


class WebhookSender:
    """The `Sender` of `session.on_end`. `http` is `tools.guard.open_client`'s, closed by its owner."""

    def __init__(self, http: httpx.AsyncClient, workspaces: Workspaces) -> None:
        self._http = http
        self._workspaces = workspaces

    async def send(self, tool: CompiledTool, delivery: Delivery, call: EndedCall) -> Sent:
        """Send `call` to the receiver that `tool` names. Raises `StoreUnreachable`."""
        try:
            config = WebhookConfig.model_validate(tool.tool.config)
        except ValueError:  # validation lets no such config through
            return Sent(ok=False, error_code="config_invalid")
        payload = call_ended(call, delivery, events=config.events)
        message = Message(delivery.id, delivery.sent_at, as_body(payload))
        names = _names(call, await self._workspaces(call.row.organization_id))
        try:
            return await _posted(self._http, config, message, names, tool.tool.timeout_s)
        except ToolError as error:
            return Sent(ok=False, error_code=error.code, retryable=error.passing)


async def _posted(
    http: httpx.AsyncClient, config: WebhookConfig, message: Message, names: Mapping[str, Json], timeout_s: float
) -> Sent:
    """Raises `ToolError` where the request cannot be made of `names`."""
    target, given = url(config.url, names), headers(config.headers, names)
    if config.secret is not None:
        given = [*given, (b"webhook-signature", _signature(config.secret, message, names["secrets"]))]
    return await post(http, target, message, given, timeout_s)


def _signature(secret: str, message: Message, secrets: Mapping[str, str]) -> bytes:
    found = _SECRET.fullmatch(secret.strip())
    try:
        return signatures(secrets.get(found[1], "") if found else "", message).encode()
    except (
        ValueError
    ) as error:  # passing: the secret may be set tomorrow, and what was to be signed goes out unsigned never
        raise ToolError("secret_missing", "This is not set up completely.", passing=True) from error


def _names(call: EndedCall, workspace: Workspace) -> dict[str, Json]:
    row = call.row
    return {
        **row.variables,
        "arguments": {},
        "caller": {"number": row.from_number or "", "dialled": row.to_number or ""},
        "call": {"id": row.id, "channel": row.channel, "direction": row.direction},
        "workspace": workspace.variables,
        "secrets": workspace.secrets,
    }


def _as_tool_error(sent: Sent) -> ToolError:
    words = {"address_refused": "This service may not be asked from here.", "timeout": "It did not answer in time."}
    sentence = words.get(sent.error_code, "The service did not take it.")
    return ToolError(sent.error_code, f"Not done: {sentence}", passing=sent.retryable)
