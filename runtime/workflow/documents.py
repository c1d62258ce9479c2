"""Files into plain JSON values: JSON or YAML, safe, with every value as it was written."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from runtime.errors import ConfigRefused
from runtime.workflow.faults import UNSTORABLE, Fault, Loc, error
from runtime.workflow.places import key_of

__all__ = ["Reading", "TooLarge", "load", "parse_document", "read_values"]

_MOST_VALUES = 200_000
_MOST_LEVELS = 64
_MOST_DIGITS = 300


class TooLarge(Exception):
    """A document is nested too deeply or has too many values; a YAML alias counts as often as it is used."""


class _Refused(Exception):
    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.fault = error((), code, message, remedy)


class _Object(dict[Any, Any]):
    """An object that was given keys `twice`, each with words on where."""

    def __init__(self, values: Mapping[Any, Any], twice: Mapping[str, str]) -> None:
        super().__init__(values)
        self.twice = twice


class _Loader(yaml.SafeLoader):
    """Plain scalars as in YAML 1.2's JSON schema: in YAML 1.1 `15:30`, `no`, `0421` and `2026-05-03` are no text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._twice: dict[int, dict[str, str]] = {}

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Told here: a merge into another mapping writes the merged keys into the node itself later on.
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        if twice := _repeated(node):
            self._twice[id(node)] = twice
        return node

    def construct_yaml_map(self, node: yaml.MappingNode) -> Generator[dict[Any, Any], None, None]:
        twice = self._twice.get(id(node))
        mapping: dict[Any, Any] = {} if twice is None else _Object({}, twice)
        yield mapping
        mapping.update(self.construct_mapping(node))


def _repeated(node: yaml.MappingNode) -> dict[str, str]:
    seen: set[str] = set()
    twice: dict[str, str] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if key.value in seen:
                twice[key.value] = f", the second time in line {key.start_mark.line + 1}"
            seen.add(key.value)
    return twice


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_yaml_map)
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"-?(?:0|[1-9][0-9]{0,17})", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?|-?(?:0|[1-9][0-9]*)\.", list("-0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def parse_document(text: str, name: str = "") -> Any | Fault:
    """Return the JSON value that `text` holds, or the one fault at `$` for which it holds none.

    `name` is the file's: `.json` rules YAML out. Dates and times of a YAML file stay text. Of a key that stands twice
    the last value counts; `read_values` tells that there were two.
    """
    try:
        if text.lstrip("\ufeff \t\r\n")[:1] in {"{", "["} or name.endswith(".json"):
            return _json(text.removeprefix("\ufeff"), is_json=name.endswith(".json"))
        return _yaml(text)
    except _Refused as refused:
        return refused.fault


def load(text: str, name: str = "") -> Any:
    """Return the JSON value that `text` holds. Raises `ConfigRefused` with the faults for which it holds none."""
    document = parse_document(text, name)
    if isinstance(document, Fault):
        raise ConfigRefused(document.message, faults=(document,), remedy=document.remedy)
    try:
        faults = read_values(document).faults
    except TooLarge:
        faults = (_too_large().fault,)
    if faults:
        raise ConfigRefused(faults[0].message, faults=faults, remedy=faults[0].remedy)
    return document


@dataclass(frozen=True, slots=True)
class Reading:
    """A copy of plain dicts with text keys, lists and scalars, and what is wrong with single keys and values.

    In the copy each character that cannot be stored is U+FFFD; keys are as they were written.
    """

    value: Any
    faults: tuple[Fault, ...]


def read_values(raw: object) -> Reading:
    """Copy `raw` and gather its repeated keys, unstorable texts and numbers that are none. Raises `TooLarge`."""
    copy = _Copy()
    value = copy.of(raw, ())
    return Reading(value, tuple(copy.faults))


class _Copy:
    def __init__(self) -> None:
        self._values = 0
        self.faults: list[Fault] = []

    def of(self, value: object, loc: Loc) -> Any:
        self._values += 1
        if self._values > _MOST_VALUES or len(loc) > _MOST_LEVELS:
            raise TooLarge
        match value:
            case str():
                return self._text(value, loc)
            case float() if not math.isfinite(value):
                message = f"“{key_of(loc)[:80]}” must be a finite number."
                self.faults.append(error(loc, "out_of_range", message, "Use a finite number, or null."))
                return value
            case Mapping():
                return self._object(value, loc)
            case list() | tuple():
                return [self.of(item, (*loc, index)) for index, item in enumerate(value)]
            case _:
                return value

    def _object(self, value: Mapping[Any, Any], loc: Loc) -> dict[str, Any]:
        for key, where in value.twice.items() if isinstance(value, _Object) else ():
            message = f"An object has the key “{key[:80]}” twice{where}."
            self.faults.append(error((*loc, key), "duplicate_key", message, "Keep one of the two."))
        copied: dict[str, Any] = {}
        for key, item in value.items():
            name = str(key)
            if UNSTORABLE.search(name):
                self._unstorable((*loc, name), "The key", name)
            copied[name] = self.of(item, (*loc, name))
        return copied

    def _text(self, text: str, loc: Loc) -> str:
        if not UNSTORABLE.search(text):
            return text
        self._unstorable(loc, f"The text of “{key_of(loc)[:80]}”", text)
        return UNSTORABLE.sub("\ufffd", text)

    def _unstorable(self, loc: Loc, what: str, text: str) -> None:
        found = UNSTORABLE.search(text)
        character = f"U+{ord(found[0]):04X}" if found is not None else ""
        message = f"{what} has the character {character}, which cannot be stored."
        self.faults.append(error(loc, "unstorable_text", message, "Take the character out."))


def _json(text: str, *, is_json: bool) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_pairs, parse_int=_whole)
    except json.JSONDecodeError as fault:
        if not is_json and (document := _flow_yaml(text)) is not None:
            return document
        raise _unreadable(fault.lineno, fault.colno, f"the file is no JSON: {fault.msg}") from fault
    except RecursionError as fault:
        raise _too_large() from fault


def _flow_yaml(text: str) -> Any:
    """Return what YAML makes of a text that begins like JSON and is none; its faults are told as JSON's."""
    try:
        return _yaml(text)
    except _Refused:
        return None


def _yaml(text: str) -> Any:
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        where = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise _unreadable(*where, f"the file is neither JSON nor YAML: {fault.problem or fault.context}") from fault
    except yaml.reader.ReaderError as fault:
        before = text[: fault.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise _unreadable(line, column, "the file has a character that no text has") from fault
    except RecursionError as fault:
        raise _too_large() from fault
    except (yaml.YAMLError, ValueError, TypeError) as fault:
        raise _unreadable(1, 1, "the file is neither JSON nor YAML") from fault
    if not isinstance(document, dict | list):
        raise _unreadable(1, 1, "the file holds no object")
    return document


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    counts = Counter(key for key, _ in pairs)
    return _Object(plain, {key: "" for key, count in counts.items() if count > 1})


def _whole(text: str) -> int | float:
    """Read a whole number; one that no number of a database holds is infinite, which is a fault at its place."""
    return int(text) if len(text) <= _MOST_DIGITS else math.inf


def _too_large() -> _Refused:
    return _Refused("too_large", "The file is nested too deeply or has too many values.", "Make it smaller.")


def _unreadable(line: int, column: int, why: str) -> _Refused:
    return _Refused("unreadable", f"Line {line}, column {column}: {why}.", "Correct the file at this place.")
