"""A function as LiveKit calls it, with the schema that all calls of a workflow's version share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from livekit.agents.llm import RawFunctionTool, ToolFlag
from livekit.agents.llm.tool_context import RawFunctionToolInfo

__all__ = ["RawTool", "offered"]

Json = Any
RawTool: TypeAlias = RawFunctionTool[Any, Any]


def offered(handler: Callable[..., Awaitable[Any]], schema: dict[str, Json]) -> RawTool:
    """Return the function `schema["name"]`; what `handler` takes is LiveKit's: `raw_arguments` and `context`.

    `schema` is not copied, as `function_tool` would: clients tell by it that they have seen a function before.
    """
    return RawFunctionTool(handler, RawFunctionToolInfo(str(schema["name"]), schema, ToolFlag.NONE))
