"""The variables of a config: wherever they are declared, the same name is one variable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.variables import VariableSpec
from runtime.workflow.config import AgentPath, AgentTool, PathVariable, ToolEntry, WorkflowConfig
from runtime.workflow.faults import Loc

__all__ = ["PER_PATH", "Conflict", "Declaration", "Declarations", "declarations_of", "spec_of"]

PER_PATH = frozenset({"name", "is_required", "fallback_path_id"})
"""Keys that say how a path uses a variable, not what it is: they may differ from place to place."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One place that declares a variable or, with no key beyond `PER_PATH`, refers to it."""

    loc: Loc
    variable: PathVariable

    @property
    def definition(self) -> dict[str, Any]:
        """The keys that say what the variable is, as far as they were written here."""
        return {key: getattr(self.variable, key) for key in sorted(self.variable.model_fields_set - PER_PATH)}


@dataclass(frozen=True, slots=True)
class Conflict:
    """The second declaration's key that contradicts the first."""

    first: Declaration
    second: Declaration
    key: str


@dataclass(frozen=True, slots=True)
class Declarations:
    """`specs` by name, merged; `assigned` are the names that only tools set, which are strings."""

    places: tuple[Declaration, ...]
    specs: Mapping[str, VariableSpec]
    conflicts: tuple[Conflict, ...]


def declarations_of(config: WorkflowConfig) -> Declarations:
    """Gather every declaration of the config and merge those of one name, key by key; the first wins."""
    places = tuple(_places(config))
    merged: dict[str, dict[str, tuple[Declaration, Any]]] = {}
    conflicts: list[Conflict] = []
    for place in places:
        known = merged.setdefault(place.variable.name, {})
        for key, value in place.definition.items():
            first, expected = known.setdefault(key, (place, value))
            if expected != value or type(expected) is not type(value):
                conflicts.append(Conflict(first, place, key))
    specs = {name: _spec(name, {key: value for key, (_, value) in known.items()}) for name, known in merged.items()}
    for name in _assigned(config):
        specs.setdefault(name, VariableSpec(name))
    return Declarations(places, specs, tuple(conflicts))


def spec_of(variable: PathVariable) -> VariableSpec:
    """Return one declaration as a spec of its own, such as a field of the analysis."""
    return _spec(variable.name, Declaration((), variable).definition)


def _spec(name: str, definition: Mapping[str, Any]) -> VariableSpec:
    values = dict(definition)
    values["description"] = values.get("description") or ""
    values["enum"] = tuple(values.get("enum") or ())
    values["examples"] = tuple(map(str, values.get("examples", ())))
    return VariableSpec(name, **values)


def _places(config: WorkflowConfig) -> Iterator[Declaration]:
    for index, variable in enumerate(config.variables):
        yield Declaration(("variables", index), variable)
    yield from _of_paths(("global_paths",), config.global_paths)
    for index, agent in enumerate(config.agents):
        yield from _of_paths(("agents", index, "paths"), agent.paths)


def _of_paths(loc: Loc, paths: Iterable[AgentPath]) -> Iterator[Declaration]:
    for index, path in enumerate(paths):
        for number, variable in enumerate(path.required_variables):
            yield Declaration((*loc, index, "required_variables", number), variable)


def _assigned(config: WorkflowConfig) -> Iterator[str]:
    entries: list[ToolEntry] = [*config.tools, *config.session.on_start]
    for agent in config.agents:
        entries += agent.tools
    for entry in entries:
        if isinstance(entry, AgentTool):
            yield from entry.assign
