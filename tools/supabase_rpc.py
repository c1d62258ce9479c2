"""`supabase_rpc`: a function of the builder's own database, called with named arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, Field

from tools.base import Json, Tool, ToolConfig, ToolContext, ToolResult
from tools.http_templates import check_json, json_body
from tools.jsonpaths import Path, selected
from tools.schema import Parameters
from tools.tables import Column, Place, database_of

__all__ = ["SupabaseRpc", "SupabaseRpcConfig"]

_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


class SupabaseRpcConfig(ToolConfig):
    """Templates read `arguments`, the variables by name, `caller`, `call`, `workspace` and `secrets`."""

    parameters: Parameters = Field(default_factory=lambda: dict(_NO_PARAMETERS))
    """The JSON Schema of what the model passes."""
    function: Place
    """A function that `patchbay.expose_function` exposes."""
    arguments: dict[Column, Annotated[Any, AfterValidator(check_json)]] = Field(default_factory=dict)
    """The function's arguments by name; a text that is one bare `{{ name }}` becomes the value, with its type."""
    result: Path | None = None
    """A JSONPath: what of the answer the model reads. `assign` reads the whole of it."""


class SupabaseRpc(Tool[SupabaseRpcConfig]):
    """Calls the function once, whatever becomes of the answer."""

    tool_type: ClassVar[str] = "supabase_rpc"
    Config: ClassVar[type[BaseModel]] = SupabaseRpcConfig

    def parameters(self) -> Mapping[str, Json]:
        return self.config.parameters

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolResult:
        config = self.config
        given = json_body(config.arguments, context.names(arguments))
        answer = await database_of(context).rpc(config.function, given, timeout_s=context.remaining_s())
        if answer is None:
            return ToolResult()
        shown = answer if config.result is None else selected(config.result, answer)
        return ToolResult(answer, shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False))
