"""What differs between two configs: by the ids of agents, tools and paths, the names of variables, and as a flat list."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from runtime.workflow.faults import Loc, json_path

__all__ = ["Change", "ConfigDiff", "Difference", "Part", "diff"]

Json = Any
Kind = Literal["agents", "tools", "paths", "variables"]
Op = Literal["added", "removed", "changed", "moved"]

# By what the items of a list are told apart, wherever every one of them has it.
_KEYS: Final = ("id", "tool_id", "name", "display_name")
_NESTED: Final[Mapping[Kind, frozenset[str]]] = {
    "agents": frozenset({"paths", "tools"}),
    "tools": frozenset(),
    "paths": frozenset({"required_variables"}),
    "variables": frozenset(),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs. `path` is where it stands now, for what was removed where it stood; `moved` has indices."""

    op: Op
    path: str
    before: Json = None
    after: Json = None


@dataclass(frozen=True, slots=True)
class Part:
    """An agent, tool, path or variable that differs; `changes` are its own, not those of the parts inside it."""

    id: str
    name: str | None
    path: str
    before: Json = None
    after: Json = None
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """The parts of one kind that differ."""

    added: tuple[Part, ...] = ()
    removed: tuple[Part, ...] = ()
    changed: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigDiff:
    """All that differs; `changes` is the whole of it, the parts are the same by kind."""

    agents: Difference
    tools: Difference
    paths: Difference
    variables: Difference
    changes: tuple[Change, ...] = field(default=())


def diff(before: Mapping[str, Json], after: Mapping[str, Json]) -> ConfigDiff:
    """Compare two configs, faulty ones as well."""
    old, new = _Parts(before), _Parts(after)
    return ConfigDiff(
        agents=_difference("agents", old.agents, new.agents),
        tools=_difference("tools", old.tools, new.tools),
        paths=_difference("paths", old.paths, new.paths),
        variables=_difference("variables", old.variables, new.variables),
        changes=tuple(_changes(before, after, (), ())),
    )


class _Parts:
    """The parts of a config with where they stand, by what stays the same when they move."""

    def __init__(self, config: Mapping[str, Json]) -> None:
        self.agents: dict[str, tuple[Loc, Json]] = {}
        self.tools: dict[str, tuple[Loc, Json]] = {}
        self.paths: dict[str, tuple[Loc, Json]] = {}
        self.variables: dict[str, tuple[Loc, Json]] = {}
        for key, loc, tool in _items(config, "tools", ()):
            _put(self.tools, key, loc, tool)
        self._read_paths(config, "global_paths", ())
        for key, loc, variable in _items(config, "variables", ()):
            _put(self.variables, key, loc, variable)
        for key, loc, agent in _items(config, "agents", ()):
            of_agent = _put(self.agents, key, loc, agent)
            self._read_paths(agent, "paths", loc)
            for tool_key, tool_loc, tool in _items(agent, "tools", loc):
                _put(self.tools, f"{of_agent}/{tool_key}", tool_loc, tool)

    def _read_paths(self, holder: Mapping[str, Json], name: str, loc: Loc) -> None:
        for key, path_loc, path in _items(holder, name, loc):
            of_path = _put(self.paths, key, path_loc, path)
            for variable_key, variable_loc, variable in _items(path, "required_variables", path_loc):
                _put(self.variables, f"{of_path}/{variable_key}", variable_loc, variable)


def _items(holder: Mapping[str, Json], name: str, loc: Loc) -> Iterator[tuple[str, Loc, Mapping[str, Json]]]:
    """Yield the objects of a list, each with its key and its place."""
    items = holder.get(name)
    for index, item in enumerate(items if isinstance(items, Sequence) and not isinstance(items, str) else ()):
        if isinstance(item, Mapping):
            key = next((item[key] for key in _KEYS if isinstance(item.get(key), str)), None)
            yield key if key is not None else f"#{index}", (*loc, name, index), item


def _put(parts: dict[str, tuple[Loc, Json]], key: str, loc: Loc, item: Json) -> str:
    """Add a part; the second of the same key gets one of its own, for a draft may be faulty."""
    number, free = 1, key
    while free in parts:
        number += 1
        free = f"{key} ({number})"
    parts[free] = (loc, item)
    return free


def _difference(
    kind: Kind, before: Mapping[str, tuple[Loc, Json]], after: Mapping[str, tuple[Loc, Json]]
) -> Difference:
    changed = []
    for key, (loc, item) in after.items():
        if key in before:
            changes = tuple(_own_changes(kind, before[key], (loc, item)))
            if changes:
                changed.append(Part(key, _name(item), json_path(loc), before[key][1], item, changes))
    return Difference(
        added=tuple(
            Part(key, _name(item), json_path(loc), None, item)
            for key, (loc, item) in after.items()
            if key not in before
        ),
        removed=tuple(
            Part(key, _name(item), json_path(loc), item) for key, (loc, item) in before.items() if key not in after
        ),
        changed=tuple(changed),
    )


def _own_changes(kind: Kind, before: tuple[Loc, Json], after: tuple[Loc, Json]) -> Iterator[Change]:
    nested = _NESTED[kind]
    old = {key: value for key, value in before[1].items() if key not in nested}
    new = {key: value for key, value in after[1].items() if key not in nested}
    yield from _changes(old, new, before[0], after[0])


def _changes(before: Json, after: Json, was: Loc, loc: Loc) -> Iterator[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _of_objects(before, after, was, loc)
    elif (keys := _keyed(before, after)) is not None:
        yield from _of_lists(*keys, was, loc)
    elif not _same(before, after):
        yield Change("changed", json_path(loc), before, after)


def _of_objects(before: Mapping[str, Json], after: Mapping[str, Json], was: Loc, loc: Loc) -> Iterator[Change]:
    for key, value in before.items():
        if key not in after:
            yield Change("removed", json_path((*was, key)), before=value)
    for key, value in after.items():
        if key in before:
            yield from _changes(before[key], value, (*was, key), (*loc, key))
        else:
            yield Change("added", json_path((*loc, key)), after=value)


def _of_lists(before: Mapping[str, _Item], after: Mapping[str, _Item], was: Loc, loc: Loc) -> Iterator[Change]:
    """Compare lists of objects that have keys: what stands elsewhere in the same order has not moved."""
    for key, item in before.items():
        if key not in after:
            yield Change("removed", json_path((*was, item.index)), before=item.value)
    for key, item in after.items():
        if key in before:
            yield from _changes(before[key].value, item.value, (*was, before[key].index), (*loc, item.index))
        else:
            yield Change("added", json_path((*loc, item.index)), after=item.value)
    stayed = [key for key in before if key in after]
    ordered = [key for key in after if key in before]
    for old, new in zip(stayed, ordered, strict=True):
        if old != new:
            yield Change("moved", json_path((*loc, after[new].index)), before[new].index, after[new].index)


@dataclass(frozen=True, slots=True)
class _Item:
    index: int
    value: Json


def _keyed(before: Json, after: Json) -> tuple[Mapping[str, _Item], Mapping[str, _Item]] | None:
    """Return two lists by what tells their items apart, or None where nothing does."""
    if not isinstance(before, list) or not isinstance(after, list):
        return None
    for key in _KEYS:
        if (old := _by(before, key)) is not None and (new := _by(after, key)) is not None:
            return old, new
    return None


def _by(items: list[Json], key: str) -> Mapping[str, _Item] | None:
    names = [item.get(key) if isinstance(item, Mapping) else None for item in items]
    if not all(isinstance(name, str) for name in names) or max(Counter(names).values(), default=1) > 1:
        return None
    return {str(name): _Item(index, items[index]) for index, name in enumerate(names)}


def _name(item: Mapping[str, Json]) -> str | None:
    return next((item[key] for key in ("name", "display_name", "tool_type") if isinstance(item.get(key), str)), None)


def _same(before: Json, after: Json) -> bool:
    # In Python True is 1; in JSON it is not.
    return type(before) is type(after) and json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
