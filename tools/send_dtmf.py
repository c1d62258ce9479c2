"""`send_dtmf`: the agent presses keys, for a menu at the other end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel

from tools.base import Json, Tool, ToolConfig, ToolContext, ToolError, ToolResult

__all__ = ["SendDtmf"]

_PARAMETERS = {
    "type": "object",
    "properties": {
        "digits": {
            "type": "string",
            "pattern": "^[0-9*#A-Dw]{1,16}$",
            "description": "The keys in order: 0-9, *, #, A-D; w waits half a second.",
        }
    },
    "required": ["digits"],
    "additionalProperties": False,
}


class SendDtmf(Tool[ToolConfig]):
    """Sends keypad tones to whom the agent speaks with."""

    tool_type: ClassVar[str] = "send_dtmf"
    Config: ClassVar[type[BaseModel]] = ToolConfig

    def description(self) -> str:
        return self.config.description or "Presses keys on the telephone, as an automatic menu asks for."

    def parameters(self) -> Mapping[str, Json]:
        return _PARAMETERS

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolResult:
        if context.telephone is None:
            raise ToolError("no_telephone", "There is no telephone in this test: no key was sent.")
        why = await context.telephone.send_keys(str(arguments["digits"]))
        if why is not None:
            raise ToolError("keys_not_sent", f"The keys were not sent: {why}.")
        return ToolResult(text="The keys were sent.")
