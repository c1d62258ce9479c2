"""Results that a test puts in the place of tools: in order, by matching arguments, or failures."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from runtime.docstrings import describe_fields
from runtime.errors import UsageFault
from runtime.workflow.faults import suggestion
from runtime.workflow.graph import CompiledTool, Workflow
from tools.base import ToolError, ToolResult

__all__ = ["Mocks", "listed", "parse_mocks"]

Json = Any
_TEXT = "The test lets this tool fail."


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_fields, hide_input_in_errors=True)


class MockFailure(_Model):
    """A failure: `message` is what the model reads."""

    code: str = Field(default="failed", pattern=r"^[a-z0-9_]{1,60}$")
    message: str = _TEXT


def _failure(raw: Json) -> Json:
    return {"code": raw} if isinstance(raw, str) else raw


class MockResult(_Model):
    """One result, or one failure. With `arguments` it is for the calls whose arguments hold these, however often."""

    arguments: dict[str, Json] | None = None
    result: Json = None
    text: str | None = None
    """What the model reads, where that is something else."""
    error: Annotated[MockFailure | None, BeforeValidator(_failure)] = None
    delay_s: float = Field(default=0.0, ge=0, le=300)
    hang_up: bool = False
    """As `end_call` does: the call ends after what is being said."""
    transfer_to: str = ""
    """As `transfer_call` does."""

    @model_validator(mode="after")
    def _one_outcome(self) -> Self:
        if self.error is not None and self.model_fields_set & {"result", "text", "hang_up", "transfer_to"}:
            raise ValueError("it has an error or a result, not both")
        return self


class MockFile(_Model):
    """`tools`: results by function name (`check_order`), or by tool_type for all tools of that type."""

    tools: dict[str, Annotated[list[MockResult], Field(min_length=1)]]


class Mocks:
    """The replaced tools of one call. Without a match: the next result in order, and the last of them again and again."""

    def __init__(self, tools: Mapping[str, Sequence[MockResult]]) -> None:
        self._tools = tools
        self._used: dict[str, int] = {}

    def replaces(self, tool: CompiledTool, function: str | None = None) -> bool:
        """Whether a result stands in for the tool, or for this function of it."""
        return self._key(tool, function or tool.function_name) is not None

    def names(self) -> Collection[str]:
        """Return what is replaced: names of functions and tool_types."""
        return self._tools.keys()

    async def run(self, tool: CompiledTool, function: str, arguments: Mapping[str, Json]) -> ToolResult:
        """Return the result that stands in. Raises `ToolError` where it is a failure."""
        mock = self._next(self._key(tool, function) or function, arguments)
        await asyncio.sleep(mock.delay_s)
        if mock.error is not None:
            raise ToolError(mock.error.code, mock.error.message)
        return ToolResult(mock.result, mock.text, hang_up=mock.hang_up, transfer_to=mock.transfer_to)

    def _key(self, tool: CompiledTool, function: str) -> str | None:
        return next((key for key in (function, tool.tool.tool_type) if key in self._tools), None)

    def _next(self, key: str, arguments: Mapping[str, Json]) -> MockResult:
        mocks = self._tools[key]
        for mock in mocks:
            if mock.arguments is not None and _holds(arguments, mock.arguments):
                return mock
        ordered = [mock for mock in mocks if mock.arguments is None]
        if not ordered:
            raise ToolError("no_mock", "The test has no result for these arguments.")
        at = self._used.get(key, 0)
        self._used[key] = at + 1
        return ordered[min(at, len(ordered) - 1)]


def _holds(given: Mapping[str, Json], wanted: Mapping[str, Json]) -> bool:
    """A number that a model passes as a text is the same number."""
    return all(name in given and str(given[name]) == str(value) for name, value in wanted.items())


def parse_mocks(raw: Json, workflow: Workflow, origin: str = "The mocks") -> Mocks:
    """Return the mocks of a file's content, none for an empty one. Raises UsageFault naming the place and the remedy."""
    if raw is None or raw == {}:
        return Mocks({})
    try:
        mocks = Mocks(MockFile.model_validate(raw).tools)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top"
        raise UsageFault(
            f"{origin}: {where}: {first['msg']}.",
            remedy='Mocks look like {"tools": {"check_order": [{"result": {"status": "shipped"}}, {"error": "timeout"}]}}.',
        ) from error
    known = _replaceable(workflow)
    for name in mocks.names():
        if name not in known:
            raise UsageFault(
                f"{origin}: tools.{name}: the workflow has no such tool. {suggestion(name, known, what='Tools')}",
                remedy="Name a tool by its function name or its tool_type.",
            )
    return mocks


def _replaceable(workflow: Workflow) -> set[str]:
    tools = [
        *workflow.on_start,
        *workflow.on_end,
        *(tool for agent in workflow.agents.values() for tool in agent.tools),
    ]
    names = {name for tool in tools for name in (tool.function_name, tool.tool.tool_type)}
    return names | {name for tool in tools for name in listed(tool)}


def listed(tool: CompiledTool) -> list[str]:
    """Return the functions of a tool that is several (an MCP server's)."""
    named = tool.tool.config.get("tools")
    prefix = str(tool.tool.config.get("prefix") or "")
    return [prefix + name for name in named if isinstance(name, str)] if isinstance(named, list) else []
