"""`wait`: the caller asked for a moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from tools.base import Json, Tool, ToolConfig, ToolContext, ToolResult

__all__ = ["Wait", "WaitConfig"]

MAX_S = 120


class WaitConfig(ToolConfig):
    """How long a caller may be away."""

    max_s: Annotated[float, Field(gt=0, le=MAX_S)] = MAX_S
    """Seconds; the model may ask for less."""


class Wait(Tool[WaitConfig]):
    """Lets answers and prompts rest until the caller is back, or the time is over."""

    tool_type: ClassVar[str] = "wait"
    Config: ClassVar[type[BaseModel]] = WaitConfig

    def description(self) -> str:
        return self.config.description or (
            "Waits for the caller. Call it when the caller asks you to hold on or to wait a moment. "
            "Say nothing yourself: the caller is told to take their time."
        )

    def parameters(self) -> Mapping[str, Json]:
        seconds = {
            "type": "number",
            "minimum": 1,
            "maximum": self.config.max_s,
            "description": "How long, if they said.",
        }
        return {"type": "object", "properties": {"seconds": seconds}, "additionalProperties": False}

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolResult:  # noqa: ARG002 - needs no context
        return ToolResult(text="The caller has a moment.", hold_s=float(arguments.get("seconds") or self.config.max_s))
