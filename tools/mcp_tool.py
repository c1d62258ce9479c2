"""`mcp`: tools of a Model Context Protocol server, those of them that the builder names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Self

import structlog
from pydantic import AfterValidator, BaseModel, Field, model_validator

from tools.base import Json, Tool, ToolConfig, ToolContext, ToolError, ToolFunction, ToolResult
from tools.handles import Mcp, McpEndpoint, McpFunction
from tools.http_templates import Text, Url, checked_header, compiled, headers, url

__all__ = ["McpConfig", "McpTool"]

_LONGEST_NAME = 64  # what providers of models take
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_OWN_HEADERS = re.compile(r"mcp-.*|accept|content-type|last-event-id", re.IGNORECASE)

_log = structlog.get_logger("tools")


def _checked_header(name: str) -> str:
    if _OWN_HEADERS.fullmatch(name):
        raise ValueError(f"the header '{name}' is set by itself")
    return checked_header(name)


def _before_a_call(text: str) -> str:
    if any(name.split(".")[0] == "arguments" for name in compiled(text).names):
        raise ValueError("{{ arguments.… }} is not known here: the server is connected before a tool is called")
    return text


class McpConfig(ToolConfig):
    """Which server, and which of its tools. Templates read the variables, `caller`, `call`, `workspace` and `secrets`."""

    server: str | None = Field(default=None, min_length=1, max_length=200)
    """The name of a server in the operator's PATCHBAY_MCP_SERVERS."""
    url: Annotated[Url, AfterValidator(_before_a_call)] | None = None
    """A server that speaks streamable HTTP."""
    headers: dict[Annotated[str, AfterValidator(_checked_header)], Annotated[Text, AfterValidator(_before_a_call)]] = (
        Field(default_factory=dict)
    )
    """Sent with every request to `url`."""
    tools: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(min_length=1)]
    """The tools the model may call, by the server's names for them."""
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,32}$")
    """Put before the tools' names, where the model sees them."""

    @model_validator(mode="after")
    def _one_server(self) -> Self:
        if (self.server is None) == (self.url is None):
            raise ValueError("exactly one of server and url names the MCP server")
        if self.server is not None and self.headers:
            raise ValueError("headers go with url; a server of the operator's has what it needs")
        if len(set(self.tools)) < len(self.tools):
            raise ValueError("tools names one of them twice")
        return self


class McpTool(Tool[McpConfig]):
    """One function for each tool that the config allows and the server has; none while the server is not known."""

    tool_type: ClassVar[str] = "mcp"
    Config: ClassVar[type[BaseModel]] = McpConfig

    def __init__(self, config: McpConfig) -> None:
        super().__init__(config)
        self._mcp: Mcp | None = None
        self._endpoint: McpEndpoint | None = None
        self._listing: Sequence[McpFunction] = ()
        self._named: Mapping[str, McpFunction] = {}

    def functions(self, name: str) -> Sequence[ToolFunction]:  # noqa: ARG002 - the server's tools have names
        about = self.config.description.strip()
        return tuple(
            ToolFunction(shown, "\n".join(filter(None, (about, function.description))), function.parameters)
            for shown, function in self._functions().items()
        )

    def is_repeatable(self, arguments: Mapping[str, Json]) -> bool:  # noqa: ARG002 - told by the server
        """Whether every tool offered may be repeated: which of them was called is not told here."""
        offered = self._functions().values()
        return bool(offered) and all(function.is_repeatable for function in offered)

    async def prepare(self, context: ToolContext) -> None:
        await self._connected(context)
        missing = sorted(set(self.config.tools) - {function.name for function in self._functions().values()})
        if missing:
            _log.warning("mcp_tools_missing", server=self._label(), missing=missing, remedy="correct the list of tools")

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolResult:
        function = self._functions().get(context.function)
        if function is None:
            await self._connected(context)
            function = self._functions().get(context.function)
        if function is None:
            raise ToolError("unknown_function", "The service does not offer this any more.")
        mcp, endpoint = self._where(context)
        answer = await mcp.call(endpoint, function.name, arguments, timeout_s=context.remaining_s())
        return ToolResult(answer.value, answer.text)

    async def _connected(self, context: ToolContext) -> None:
        mcp, endpoint = self._where(context)
        await mcp.listing(endpoint, timeout_s=context.remaining_s())

    def _where(self, context: ToolContext) -> tuple[Mcp, McpEndpoint]:
        if context.mcp is None:
            raise ToolError("mcp_unavailable", "This service cannot be used here.")
        self._mcp, self._endpoint = context.mcp, self._rendered(context)
        return self._mcp, self._endpoint

    def _rendered(self, context: ToolContext) -> McpEndpoint:
        if self.config.url is None:
            return McpEndpoint(server=self.config.server or "")
        values = context.names({})
        given = headers(self.config.headers, values)
        return McpEndpoint(
            organization_id=context.organization_id,
            url=str(url(self.config.url, values)),
            headers=tuple(sorted((name.decode(), value.decode()) for name, value in given)),
        )

    def _functions(self) -> Mapping[str, McpFunction]:
        """Return what is offered by the name a model knows it by; made anew when the server's listing has changed."""
        if self._mcp is None or self._endpoint is None:
            return {}
        listing = self._mcp.known(self._endpoint)
        if listing is not self._listing:
            allowed = [function for function in listing if function.name in self.config.tools]
            self._listing, self._named = listing, _named(self.config.prefix, allowed)
        return self._named

    def _label(self) -> str:
        return self.config.server or "url"


def _named(prefix: str, functions: Sequence[McpFunction]) -> dict[str, McpFunction]:
    named: dict[str, McpFunction] = {}
    for function in functions:
        name = _NO_NAME.sub("_", prefix + function.name)[:_LONGEST_NAME]
        number = 2
        while name in named:
            tail = f"_{number}"
            name = _NO_NAME.sub("_", prefix + function.name)[: _LONGEST_NAME - len(tail)] + tail
            number += 1
        named[name] = function
    return named
