"""A config laid out for the rules: sites with their locations, the variables, and who can be reached from where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from runtime.variables import VariableSpec
from runtime.workflow.conditions import RESERVED_NAMES, TYPE_NAMES, Guard, GuardFault, compile_guard
from runtime.workflow.config import AgentNode, AgentPath, AgentTool, ToolEntry, ToolReference, WorkflowConfig
from runtime.workflow.declarations import Declarations, declarations_of
from runtime.workflow.faults import Loc
from runtime.workflow.places import place
from runtime.workflow.validation.shape import Shape

__all__ = ["NAME", "RESERVED_VARIABLES", "AgentSite", "PathSite", "Survey", "ToolSite"]

NAME = re.compile(r"[a-z][a-z0-9_]*")
RESERVED_VARIABLES = (
    RESERVED_NAMES | TYPE_NAMES | {"secrets", "arguments", "true", "false", "null", "in", "nil", "empty", "blank"}
)


@dataclass(frozen=True, slots=True)
class PathSite:
    """A path; `agent` is the index of the agent it belongs to, None for a global one."""

    loc: Loc
    path: AgentPath
    agent: int | None


@dataclass(frozen=True, slots=True)
class ToolSite:
    """A tool where it is defined."""

    loc: Loc
    tool: AgentTool


@dataclass(frozen=True, slots=True)
class AgentSite:
    """An agent with its own paths, what is offered at it (global paths first, as in the file), and its tools."""

    index: int
    loc: Loc
    node: AgentNode
    paths: tuple[PathSite, ...]
    offered: tuple[PathSite, ...]
    tools: tuple[ToolSite, ...]


class Survey:
    """A config and what the rules ask of it; `document` is the JSON it was built from."""

    def __init__(self, config: WorkflowConfig, shape: Shape, *, is_whole: bool) -> None:
        self.config = config
        self.document: Mapping[str, Any] = shape.document
        self.repaired = shape.repaired
        """The locations where the document is not as it was written."""
        self.is_whole = is_whole
        """Whether no path, variable or agent was left out because of its shape."""
        self.declarations: Declarations = declarations_of(config)
        self.variables: dict[str, VariableSpec] = {
            name: spec for name, spec in self.declarations.specs.items() if NAME.fullmatch(name)
        }
        self.lost = shape.mentioned - self.variables.keys()
        """Names that may have been declared in a part that could not be read."""
        self.shared = [ToolSite(("tools", index), tool) for index, tool in enumerate(config.tools)]
        self.global_paths = _path_sites(("global_paths",), config.global_paths, None)
        self.agents = tuple(self._agent(index, node) for index, node in enumerate(config.agents))
        self.index_by_id = {site.node.id: site.index for site in reversed(self.agents)}
        self._guards: dict[Loc, Guard | GuardFault] = {}

    def place(self, loc: Loc) -> str:
        return place(self.document, loc)

    def paths(self) -> Iterator[PathSite]:
        """Yield every path, in the order of the file."""
        yield from self.global_paths
        for agent in self.agents:
            yield from agent.paths

    def inline_tools(self, loc: Loc, entries: Sequence[ToolEntry]) -> Iterator[ToolSite]:
        """Yield the tools defined in a list, without the references."""
        for index, entry in enumerate(entries):
            if isinstance(entry, AgentTool):
                yield ToolSite((*loc, index), entry)

    def defined_tools(self) -> Iterator[ToolSite]:
        """Yield every tool once, where it is defined."""
        yield from self.shared
        yield from self.inline_tools(("session", "on_start"), self.config.session.on_start)
        yield from self.inline_tools(("session", "on_end"), self.config.session.on_end)
        for agent in self.agents:
            yield from self.inline_tools((*agent.loc, "tools"), agent.node.tools)

    def resolved(self, loc: Loc, entries: Sequence[ToolEntry]) -> Iterator[ToolSite]:
        """Yield the tools of a list with references followed; those that lead nowhere are left out."""
        by_id = {site.tool.id: site for site in reversed(self.shared)}
        for index, entry in enumerate(entries):
            if not isinstance(entry, ToolReference):
                yield ToolSite((*loc, index), entry)
            elif entry.tool_id in by_id:
                yield by_id[entry.tool_id]

    def guard(self, site: PathSite) -> Guard | GuardFault | None:
        """Return the compiled guard of a path; None where it has none."""
        text = site.path.guard_condition
        if text is None:
            return None
        if site.loc not in self._guards:
            self._guards[site.loc] = compile_guard(text, self.variables)
        return self._guards[site.loc]

    @property
    def entry(self) -> int | None:
        """The index of the entry agent, None where it does not exist."""
        wanted = self.config.entry_agent_id
        return self.index_by_id.get(wanted) if wanted is not None else (0 if self.agents else None)

    @cached_property
    def edges(self) -> tuple[frozenset[int], ...]:
        """For each agent the agents one step on: by a path, or by a transfer that failed."""
        return tuple(
            frozenset(
                self.index_by_id[target]
                for site in agent.offered
                for target in _targets(site.path)
                if target in self.index_by_id
            )
            for agent in self.agents
        )

    @cached_property
    def reached(self) -> frozenset[int]:
        """The agents a call can come to; all of them where the entry does not exist."""
        return frozenset(range(len(self.agents))) if self.entry is None else self._onward(self.entry)

    @cached_property
    def settable(self) -> tuple[frozenset[str], ...]:
        """For each agent the variables that something on the way to it, or it itself, can set."""
        everywhere = self.set_at_start | _names(self.global_paths)
        own = [_names(agent.paths) | _assigned(agent.tools) for agent in self.agents]
        onward = [self._onward(index) for index in range(len(self.agents))]
        return tuple(
            everywhere.union(*(own[other] for other in range(len(own)) if self._leads(onward, other, index)))
            for index in range(len(own))
        )

    @cached_property
    def set_at_start(self) -> frozenset[str]:
        """The variables declared for the whole workflow and those that the tools before the greeting assign."""
        on_start = self.resolved(("session", "on_start"), self.config.session.on_start)
        return frozenset(variable.name for variable in self.config.variables) | _assigned(on_start)

    def _leads(self, onward: list[frozenset[int]], other: int, index: int) -> bool:
        is_dead_end = other not in self.reached and index in self.reached
        return index in onward[other] and not is_dead_end

    def _onward(self, start: int) -> frozenset[int]:
        found, waiting = {start}, [start]
        while waiting:
            new = self.edges[waiting.pop()] - found
            found |= new
            waiting += new
        return frozenset(found)

    def _agent(self, index: int, node: AgentNode) -> AgentSite:
        loc: Loc = ("agents", index)
        own = _path_sites((*loc, "paths"), node.paths, index)
        elsewhere = tuple(site for site in self.global_paths if site.path.target_agent_id != node.id)
        tools = tuple(self.resolved((*loc, "tools"), node.tools))
        return AgentSite(index, loc, node, own, (*elsewhere, *own), tools)


def _path_sites(loc: Loc, paths: Sequence[AgentPath], agent: int | None) -> tuple[PathSite, ...]:
    return tuple(PathSite((*loc, index), path, agent) for index, path in enumerate(paths))


def _targets(path: AgentPath) -> Iterator[str]:
    if path.target_agent_id is not None:
        yield path.target_agent_id
    if path.transfer_call is not None and path.transfer_call.on_failure_agent_id is not None:
        yield path.transfer_call.on_failure_agent_id


def _names(sites: Sequence[PathSite]) -> frozenset[str]:
    return frozenset(variable.name for site in sites for variable in site.path.required_variables)


def _assigned(sites: Iterator[ToolSite] | Sequence[ToolSite]) -> frozenset[str]:
    return frozenset(name for site in sites for name in site.tool.assign)
