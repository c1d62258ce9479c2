"""`transfer_call`: the model puts the caller through to a telephone that the builder named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, Field, model_validator

from runtime.numbers import telephone_address
from runtime.workflow.templates import Template, compile_template
from tools.base import Json, Tool, ToolConfig, ToolContext, ToolError, ToolResult

__all__ = ["TransferCall", "TransferCallConfig"]

Destination = Annotated[str, Field(min_length=1, max_length=500)]


class TransferCallConfig(ToolConfig):
    """Exactly one of `to` and `destinations`."""

    to: Destination | None = None
    """A number (E.164) or a SIP address; Liquid."""
    destinations: Mapping[str, Destination] = {}
    """Name to number, for the model to choose by name."""
    say: str | None = None
    """What the caller hears first; Liquid."""

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.to is None) == (not self.destinations):
            raise ValueError("write either `to`, one number, or `destinations`, numbers by name")
        return self


class TransferCall(Tool[TransferCallConfig]):
    """Hands the caller to another telephone; where that fails, the agent has them back and is told."""

    tool_type: ClassVar[str] = "transfer_call"
    Config: ClassVar[type[BaseModel]] = TransferCallConfig

    def __init__(self, config: TransferCallConfig) -> None:
        super().__init__(config)
        texts = {"": config.to} if config.to is not None else dict(config.destinations)
        self._to = {name: _compiled(text) for name, text in texts.items()}
        self._say = _compiled(config.say) if config.say else None

    def description(self) -> str:
        return self.config.description or "Puts the caller through to a person. Call it when the caller asks for one."

    def parameters(self) -> Mapping[str, Json]:
        names = list(self.config.destinations)
        properties = {"destination": {"type": "string", "enum": names}} if names else {}
        required = ["destination"] if names else []
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolResult:
        names = context.names(arguments)
        to = telephone_address(self._to[str(arguments.get("destination", ""))].render(names))
        if to is None:
            raise ToolError("no_number", "There is no valid number to put the caller through to.")
        say = self._say.render(names).strip() if self._say is not None else ""
        return ToolResult(text="The caller is being put through.", transfer_to=to, say=say)


def _compiled(text: str) -> Template:
    compiled = compile_template(text)
    if not isinstance(compiled, Template):
        raise ValueError(f"line {compiled.line}, column {compiled.column}: {compiled.message}")  # noqa: TRY004 - a fault of the config
    return compiled
