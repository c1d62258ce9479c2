"""What tools may ask of the process that runs them, beside HTTP: Supabase's rows and the organization's knowledge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from runtime.knowledge.passages import Passage

__all__ = ["Database", "Filter", "Knowledge", "Mcp", "McpAnswer", "McpEndpoint", "McpFunction", "Operator", "Passage"]

Json = Any
Operator = Literal["eq", "neq", "lt", "lte", "gt", "gte", "like", "ilike", "in", "is"]


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on a column. `in` takes a sequence of values, `is` takes None, True or False."""

    column: str
    operator: Operator
    value: Json


class Database(Protocol):
    """The organization's own tables, seen through the role `patchbay_tool`; shared by the calls of a process.

    Every method raises `ToolError`, whose sentence names no table, column or value.
    """

    async def select(
        self,
        table: str,
        *,
        columns: Sequence[str] = (),
        filters: Sequence[Filter] = (),
        order: Sequence[tuple[str, bool]] = (),
        limit: int = 20,
        timeout_s: float = 10.0,
    ) -> list[dict[str, Json]]:
        """Return rows as JSON; `table` may be `schema.table`, no columns are all, an order's bool means descending."""
        ...

    async def rpc(self, function: str, arguments: Mapping[str, Json], *, timeout_s: float = 10.0) -> Json:
        """Call a function with named arguments and return its result as JSON (a set of rows as a list)."""
        ...


class Knowledge(Protocol):
    """The knowledge bases of one organization."""

    async def search(
        self, bases: Sequence[str], query: str, *, limit: int = 5, timeout_s: float = 5.0
    ) -> Sequence[Passage]:
        """Return the best passages of these bases, best first.

        Raises `NotFound` for a base that the organization does not have, `Unreachable` where nothing can be searched
        within `timeout_s`.
        """
        ...


@dataclass(frozen=True, slots=True)
class McpEndpoint:
    """Where an MCP server is: the name of one of the operator's, or an organization's URL with the headers it gives."""

    server: str = ""
    organization_id: str = ""
    url: str = field(default="", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class McpFunction:
    """A tool as an MCP server lists it, bounded; `is_repeatable` is the server's own word."""

    name: str
    description: str
    parameters: Mapping[str, Json]
    is_repeatable: bool = False


@dataclass(frozen=True, slots=True)
class McpAnswer:
    """What an MCP tool brought: JSON, and what a model reads where that is something else."""

    value: Json
    text: str | None = None


class Mcp(Protocol):
    """The connections to MCP servers, shared by the calls of a process and never by organizations with other headers."""

    def known(self, endpoint: McpEndpoint) -> Sequence[McpFunction]:
        """Return the tools last listed, without asking anybody; none of a server that never was connected."""
        ...

    async def listing(self, endpoint: McpEndpoint, *, timeout_s: float) -> Sequence[McpFunction]:
        """Return the server's tools, connecting where needed. Raises `ToolError`."""
        ...

    async def call(
        self, endpoint: McpEndpoint, tool: str, arguments: Mapping[str, Json], *, timeout_s: float
    ) -> McpAnswer:
        """Call a tool by the server's own name for it, connecting where needed. Raises `ToolError`."""
        ...
