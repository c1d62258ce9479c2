"""The tools of agents and of the session, compiled: named as a model calls them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runtime.workflow.config import AgentNode, AgentTool
from runtime.workflow.parts import Parts
from runtime.workflow.slugs import unique_slugs
from runtime.workflow.templates import Template

__all__ = ["CompiledTool", "compiled_tools", "knowledge_of"]


@dataclass(frozen=True, slots=True)
class CompiledTool:
    """A tool as one agent offers it; `say_while_running` is rendered before it is spoken."""

    tool: AgentTool
    function_name: str
    say_while_running: Template | None

    @property
    def on_success_path_id(self) -> str | None:
        return self.tool.on_success_path_id

    @property
    def on_failure_path_id(self) -> str | None:
        return self.tool.on_failure_path_id


def knowledge_of(node: AgentNode) -> tuple[AgentTool, ...]:
    """Return the search over the agent's knowledge bases; it needs no configuration."""
    if not node.knowledge:
        return ()
    return (AgentTool(tool_type="knowledge_search", config={"knowledge_bases": list(node.knowledge)}),)


def compiled_tools(
    parts: Parts, loc: tuple[str | int, ...], tools: Iterable[AgentTool], taken: Iterable[str]
) -> tuple[CompiledTool, ...]:
    """Compile the tools found at `loc`; no function gets a name that is `taken`."""
    tools = tuple(tools)
    names = unique_slugs((tool.display_name or tool.tool_type for tool in tools), otherwise="tool", taken=taken)
    return tuple(
        CompiledTool(tool, name, parts.optional_template((*loc, index, "say_while_running"), tool.say_while_running))
        for index, (tool, name) in enumerate(zip(tools, names, strict=True))
    )
