"""What a tool is: a type, a config, a function a model may call, and a run with its context."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict

from runtime.session.ports import Telephone

__all__ = ["NO_ARGUMENTS", "Json", "Tool", "ToolConfig", "ToolContext", "ToolError", "ToolResult"]

Json: TypeAlias = Any

NO_ARGUMENTS: Mapping[str, Json] = {"type": "object", "properties": {}, "additionalProperties": False}


class ToolConfig(BaseModel):
    """The base of tools' configs: unknown keys are faults. `description` is what the model reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    description: str = ""
    """What the tool does and when to call it, in words for the model."""


C = TypeVar("C", bound=BaseModel)


class ToolError(Exception):
    """A tool did not do what it was asked.

    `code` goes into the call's events (`[a-z0-9_]`), `message_for_model` is all that the model gets to read.
    """

    def __init__(self, code: str, message_for_model: str) -> None:
        super().__init__(f"{code}: {message_for_model}")
        self.code = code
        self.message_for_model = message_for_model


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool brought: JSON that `assign` reads, and what the model reads where that is something else.

    `hang_up` ends the call, `transfer_to` (E.164 or a SIP address) hands the caller over, `hold_s` lets answers and
    prompts rest for so many seconds; at most one of them. `say` is what the caller hears first (with
    `hang_up` it may stand in `text`).
    """

    value: Json = None
    text: str | None = None
    hang_up: bool = False
    transfer_to: str = ""
    hold_s: float = 0.0
    say: str = ""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """One run of a tool. `timeout_s` is what the whole run may take; `tool_call_id` serves as idempotency key.

    `telephone` is the caller's, None in a chat and in a voice test. `http` is shared by calls, keeps no cookies, and connects to no private address that the operator has not named.
    `secrets` are the workspace's; whatever of them comes back in a result is blotted out.
    """

    tool_call_id: str
    timeout_s: float
    http: httpx.AsyncClient = field(repr=False)
    variables: Mapping[str, Json] = field(default_factory=dict, repr=False)
    caller: Mapping[str, str] = field(default_factory=dict, repr=False)
    call: Mapping[str, str] = field(default_factory=dict)
    workspace: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    telephone: Telephone | None = field(default=None, repr=False)

    def names(self, arguments: Mapping[str, Json]) -> dict[str, Json]:
        """Return what a tool's templates read: the variables, and the reserved names over them."""
        return {
            **self.variables,
            "arguments": arguments,
            "caller": self.caller,
            "call": self.call,
            "workspace": self.workspace,
            "secrets": self.secrets,
        }


class Tool(ABC, Generic[C]):
    """A tool with its config; made once a call and run any number of times, also at the same time.

    A subclass names its `tool_type` and its `Config`. The constructor may raise ValueError for a config that it
    cannot work with.
    """

    tool_type: ClassVar[str]
    Config: ClassVar[type[BaseModel]]

    def __init__(self, config: C) -> None:
        self.config = config

    def description(self) -> str:
        """Return what the model reads of the tool."""
        return str(getattr(self.config, "description", ""))

    def parameters(self) -> Mapping[str, Json]:
        """Return the JSON Schema of the arguments, of type object. They are checked before `run`."""
        return NO_ARGUMENTS

    @abstractmethod
    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> Json | ToolResult:
        """Return JSON or a ToolResult; raises `ToolError` where the model is to know what went wrong."""
