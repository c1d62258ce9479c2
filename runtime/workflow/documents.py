"""Files into plain JSON values: JSON or YAML, safe, with every value as it was written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import yaml

from runtime.errors import ConfigRefused
from runtime.workflow.faults import Fault, error

__all__ = ["TooLarge", "load", "parse_document", "plain"]

_MOST_VALUES = 200_000
_MOST_LEVELS = 64


class TooLarge(Exception):
    """A document is nested too deeply or has too many values; a YAML alias counts as often as it is used."""


class _Refused(Exception):
    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.fault = error((), code, message, remedy)


class _Loader(yaml.SafeLoader):
    """Plain scalars as in YAML 1.2's JSON schema: in YAML 1.1 `15:30`, `no`, `0421` and `2026-05-03` are no text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    mark = key.start_mark
                    raise _Refused(*_twice(key.value, f", the second time in line {mark.line + 1}"))
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


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

    `name` is the file's: `.json` rules YAML out. Dates and times of a YAML file stay text.
    """
    try:
        if text.lstrip("\ufeff \t\r\n")[:1] in {"{", "["} or name.endswith(".json"):
            return _json(text.removeprefix("\ufeff"), is_json=name.endswith(".json"))
        return _yaml(text)
    except _Refused as refused:
        return refused.fault


def load(text: str, name: str = "") -> Any:
    """Return the JSON value that `text` holds. Raises `ConfigRefused` with the one fault for which it holds none."""
    document = parse_document(text, name)
    if isinstance(document, Fault):
        raise ConfigRefused(document.message, faults=(document,), remedy=document.remedy)
    return document


def plain(raw: object) -> Any:
    """Copy `raw` into dicts with text keys, lists and scalars. Raises `TooLarge`."""
    return _Copy().of(raw, 0)


class _Copy:
    def __init__(self) -> None:
        self._values = 0

    def of(self, value: object, level: int) -> Any:
        self._values += 1
        if self._values > _MOST_VALUES or level > _MOST_LEVELS:
            raise TooLarge
        if isinstance(value, Mapping):
            return {str(key): self.of(item, level + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(item, level + 1) for item in value]
        return value


def _json(text: str, *, is_json: bool) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_number)
    except json.JSONDecodeError as fault:
        if not is_json and (document := _flow_yaml(text)) is not None:
            return document
        raise _unreadable(fault.lineno, fault.colno, f"the file is no JSON: {fault.msg}") from fault
    except (RecursionError, ValueError) as fault:
        raise _unreadable(1, 1, "the file is nested too deeply or has a number that is too large") from fault


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
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as fault:
        raise _unreadable(1, 1, "the file is neither JSON nor YAML") from fault
    if not isinstance(document, dict | list):
        raise _unreadable(1, 1, "the file holds no object")
    return document


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _Refused(*_twice(key, ""))
        result[key] = value
    return result


def _no_number(text: str) -> NoReturn:
    raise _Refused("unreadable", f"“{text}” is no number in JSON.", "Write a number, or null.")


def _twice(key: str, where: str) -> tuple[str, str, str]:
    return "duplicate_key", f"An object has the key “{key}” twice{where}.", "Keep one of the two."


def _unreadable(line: int, column: int, why: str) -> _Refused:
    return _Refused("unreadable", f"Line {line}, column {column}: {why}.", "Correct the file at this place.")
