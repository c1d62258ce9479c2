"""What a tool is: a type, a config, a function a model may call, and a run with its context."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict

from runtime.docstrings import describe_fields
from runtime.session.ports import Telephone
from tools.handles import Database, Knowledge, Mcp

__all__ = ["NO_ARGUMENTS", "Json", "Tool", "ToolConfig", "ToolContext", "ToolError", "ToolFunction", "ToolResult"]

Json: TypeAlias = Any

NO_ARGUMENTS: Mapping[str, Json] = {"type": "object", "properties": {}, "additionalProperties": False}


class ToolConfig(BaseModel):
    """The base of tools' configs: unknown keys are faults. `description` is what the model reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_fields, hide_input_in_errors=True)

    description: str = ""
    """What the tool does and when to call it, in words for the model."""


C = TypeVar("C", bound=BaseModel)


class ToolError(Exception):
    """A tool did not do what it was asked.

    `code` goes into the call's events (`[a-z0-9_]`), `message_for_model` is all that the model gets to read.
    `passing` says that the service is at fault and may be well again soon: what is safe to repeat is tried once more,
    and a service that goes on failing so is not asked for a while.
    """

    def __init__(self, code: str, message_for_model: str, *, passing: bool = False) -> None:
        super().__init__(f"{code}: {message_for_model}")
        self.code = code
        self.message_for_model = message_for_model
        self.passing = passing


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool brought: JSON that `assign` reads, and what the model reads where that is something else.

    `sources` (JSON objects) say where it comes from; they go into the event.
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
    sources: Sequence[Mapping[str, Json]] = ()


@dataclass(frozen=True, slots=True)
class ToolFunction:
    """A function as a model is offered it; `parameters` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Json] = field(default_factory=lambda: dict(NO_ARGUMENTS))


@dataclass(frozen=True, slots=True)
class ToolContext:
    """One run of a tool. `timeout_s` is what the whole run may take, until `deadline` on the loop's clock; repeats included.

    `tool_call_id` serves as idempotency key, also over repeats; `function` is the name the model called it by.
    `database` and `knowledge` are the organization's, None where there is no database.

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
    organization_id: str = ""
    function: str = ""
    deadline: float = math.inf
    database: Database | None = field(default=None, repr=False)
    knowledge: Knowledge | None = field(default=None, repr=False)
    mcp: Mcp | None = field(default=None, repr=False)

    def remaining_s(self) -> float:
        """Return the seconds left until the deadline, at least 0."""
        return max(0.0, min(self.timeout_s, self.deadline - asyncio.get_running_loop().time()))

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

    def functions(self, name: str) -> Sequence[ToolFunction]:
        """Return what the model is offered, under `name` where it is one function; asked again at each agent."""
        return (ToolFunction(name, self.description(), self.parameters()),)

    def is_repeatable(self, arguments: Mapping[str, Json]) -> bool:  # noqa: ARG002 - a tool may decide by them
        """Whether a run that failed in passing may be done again, because doing it twice is as doing it once."""
        return False

    async def prepare(self, context: ToolContext) -> None:
        """Get ready while the telephone rings, within `context.timeout_s`; may raise `ToolError`, which ends nothing."""

    def parameters(self) -> Mapping[str, Json]:
        """Return the JSON Schema of the arguments, of type object. They are checked before `run`."""
        return NO_ARGUMENTS

    @abstractmethod
    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> Json | ToolResult:
        """Return JSON or a ToolResult; raises `ToolError` where the model is to know what went wrong."""
