"""The tool `check_order`: what has become of an order."""

from collections.abc import Mapping
from typing import ClassVar

from patchbay import (
    Json,
    Text,
    Tool,
    ToolConfig,
    ToolContext,
    ToolError,
    ToolResult,
    Url,
    fetch,
    render,
    render_url,
)

__all__ = ["CheckOrder", "CheckOrderConfig"]

_DESCRIPTION = (
    "Looks an order up by its number and says what has become of it."
    ' For example: "where is my order"; "my order number is"'
)
_NUMBER = "the order number; 4 digits; digits only, or the words as heard"

# The shop's codes, and what a caller is told of each.
_STATUSES: Mapping[str, str] = {
    "NEW": "received",
    "PACK": "being packed",
    "SENT": "on its way",
    "LATE": "delayed",
    "DONE": "delivered",
}


class CheckOrderConfig(ToolConfig):
    """What a workflow sets."""

    base_url: Url
    """Where the shop's order service is; orders are below it, at /orders/NUMBER."""
    api_key: Text = ""
    """Sent as a bearer token; write a secret as {{ secrets.NAME }}."""


class CheckOrder(Tool[CheckOrderConfig]):
    """Looks an order up by its number and says what has become of it."""

    tool_type: ClassVar[str] = "check_order"
    Config = CheckOrderConfig

    def description(self) -> str:
        return self.config.description or _DESCRIPTION

    def parameters(self) -> Mapping[str, Json]:
        return {
            "type": "object",
            "properties": {"order_number": {"type": "string", "description": _NUMBER}},
            "required": ["order_number"],
            "additionalProperties": False,
        }

    def is_repeatable(self, arguments: Mapping[str, Json]) -> bool:
        return True

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolResult:
        """Return `{"order_number", "status", "expected_on"}`; `expected_on` is a date, or null."""
        order = await self._asked(arguments, context)
        status = _STATUSES.get(order["status"]) if isinstance(order, dict) else None
        if status is None:
            raise ToolError("bad_response", "The shop's answer could not be read.")
        expected = order.get("expected_on")
        told = f"The order is {status}." + (f" Expected on {expected}." if expected else "")
        number = arguments["order_number"]
        return ToolResult({"order_number": number, "status": status, "expected_on": expected}, told)

    async def _asked(self, arguments: Mapping[str, Json], context: ToolContext) -> Json:
        address = self.config.base_url.rstrip("/") + "/orders/{{ arguments.order_number }}"
        request = context.http.build_request(
            "GET", render_url(address, arguments, context), timeout=context.remaining_s()
        )
        if key := render(self.config.api_key, arguments, context):
            request.headers["Authorization"] = f"Bearer {key}"
        try:
            return await fetch(context.http, request)
        except ToolError as error:
            if error.code != "http_404":
                raise
            message = "There is no order with this number. Ask the caller to say it again."
            raise ToolError("unknown_order", message) from error
