"""The compiled parts of a workflow, made one by one while what does not compile is gathered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from runtime.errors import ConfigRefused
from runtime.variables import VariableSpec
from runtime.workflow.conditions import Guard, GuardFault, compile_guard
from runtime.workflow.config import AgentTool, PathVariable, ToolEntry, ToolReference, WorkflowConfig
from runtime.workflow.faults import Fault, Loc, error, listed
from runtime.workflow.templates import Template, TemplateFault, compile_template

__all__ = ["Parts"]

A = TypeVar("A")


class Parts:
    """Compiles texts at their locations; `refuse_if_faulty` raises what came up on the way."""

    def __init__(self, config: WorkflowConfig, variables: Mapping[str, VariableSpec]) -> None:
        self.config = config
        self.variables = variables
        self._faults: list[Fault] = []
        agent_ids = {agent.id for agent in config.agents}
        self._check_targets(agent_ids)

    def template(self, loc: Loc, text: str) -> Template:
        compiled = compile_template(text)
        if isinstance(compiled, Template):
            return compiled
        self._add(loc, "template_invalid", _place(compiled), "Correct the template.")
        return Template("", (), is_static=True, _compiled=None)

    def optional_template(self, loc: Loc, text: str | None) -> Template | None:
        return self.template(loc, text) if text else None

    def templates(self, loc: Loc, texts: Iterable[str]) -> tuple[Template, ...]:
        return tuple(self.template((*loc, index), text) for index, text in enumerate(texts))

    def guard(self, loc: Loc, text: str | None) -> Guard | None:
        if text is None:
            return None
        compiled = compile_guard(text, self.variables)
        if isinstance(compiled, Guard):
            return compiled
        self._add(loc, "guard_invalid", _place(compiled), "Correct the guard.")
        return None

    def spec(self, variable: PathVariable) -> VariableSpec:
        """Return the merged variable, required as this path requires it."""
        return replace(self.variables[variable.name], is_required=variable.is_required)

    def resolved(
        self, loc: Loc, entries: Iterable[ToolEntry], shared: Mapping[str, AgentTool]
    ) -> tuple[AgentTool, ...]:
        """Return the tools with references replaced by what they refer to."""
        tools: list[AgentTool] = []
        for index, entry in enumerate(entries):
            if not isinstance(entry, ToolReference):
                tools.append(entry)
            elif entry.tool_id in shared:
                tools.append(shared[entry.tool_id])
            else:
                where = (*loc, index, "tool_id")
                self._add(where, "unknown_tool", f"There is no shared tool “{entry.tool_id}”.", "Add it to `tools`.")
        return tuple(tools)

    def zone(self, name: str) -> ZoneInfo:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            loc = ("session", "time_zone")
            self._add(loc, "unknown_time_zone", f"“{name}” is no time zone.", "Use an IANA name.")
            return ZoneInfo("UTC")

    def entry(self, agents: Mapping[str, A]) -> A:
        """Return the entry agent. Raises `ConfigRefused` where there is none."""
        wanted = self.config.entry_agent_id or next(iter(agents), None)
        if wanted not in agents:
            known = f"Agents: {listed(agents)}."
            self._add(("entry_agent_id",), "unknown_agent", f"The entry agent “{wanted}” does not exist.", known)
            self.refuse_if_faulty()
        return agents[str(wanted)]

    def refuse_if_faulty(self) -> None:
        if self._faults:
            count = "one fault" if len(self._faults) == 1 else f"{len(self._faults)} faults"
            first = self._faults[0]
            message = f"The workflow does not compile: {count}. {first.path}: {first.message}"
            raise ConfigRefused(message, faults=tuple(self._faults), remedy=first.remedy)

    def _check_targets(self, agent_ids: set[str]) -> None:
        for loc, target in _targets(self.config):
            if target is not None and target not in agent_ids:
                known = f"Agents: {listed(sorted(agent_ids))}."
                self._add(loc, "unknown_target", f"The path leads to “{target}”, which does not exist.", known)

    def _add(self, loc: Loc, code: str, message: str, remedy: str) -> None:
        self._faults.append(error(loc, code, message, remedy))


def _targets(config: WorkflowConfig) -> Iterable[tuple[Loc, str | None]]:
    places: list[tuple[Loc, str | None]] = [
        (("global_paths", number, "target_agent_id"), path.target_agent_id)
        for number, path in enumerate(config.global_paths)
    ]
    for index, agent in enumerate(config.agents):
        for number, path in enumerate(agent.paths):
            places.append((("agents", index, "paths", number, "target_agent_id"), path.target_agent_id))
    return places


def _place(fault: TemplateFault | GuardFault) -> str:
    return f"Line {fault.line}, column {fault.column}: {fault.message}."
