"""`end_call`: the model hangs up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel

from tools.base import Json, Tool, ToolConfig, ToolContext, ToolResult

__all__ = ["EndCall"]

_PARAMETERS = {
    "type": "object",
    "properties": {"farewell": {"type": "string", "description": "What the caller hears before the call ends."}},
    "additionalProperties": False,
}


class EndCall(Tool[ToolConfig]):
    """Says the farewell, where the model gives one, and hangs up."""

    tool_type: ClassVar[str] = "end_call"
    Config: ClassVar[type[BaseModel]] = ToolConfig

    def description(self) -> str:
        return self.config.description or "Ends the call. Call it when the caller says goodbye or wants nothing more."

    def parameters(self) -> Mapping[str, Json]:
        return _PARAMETERS

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolResult:  # noqa: ARG002 - needs no context
        return ToolResult(text=str(arguments.get("farewell") or "").strip(), hang_up=True)
