"""The engine's texts read as a model reads them: what is known, what is missing, why a path was refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from runtime.workflow.config import DataType

__all__ = ["STANDING", "Lacking", "Prompt", "Wanted", "read_prompt", "read_refusal", "word_set"]

STANDING = "# What is "
"""How a message begins that tells what is known and what is missing."""
_LONGEST_LINE = 4000  # characters; the patterns below are quadratic at worst
_NAME = r"[a-z][a-z0-9_]*"
_DESCRIBED = re.compile(rf"({_NAME}) \((.*?)\)(?=; {_NAME} \(|\.? ?$|\. Ask the caller\.)")
_FORM = re.compile(r"(?:(\d+) to (\d+)|(\d+)|at least (\d+)|at most (\d+)) (digits|characters)")
_TYPES = frozenset(name.replace("_", " ") for name in get_args(DataType))
_KNOWN = re.compile(rf"- ({_NAME}): (.*)")
_READ_BACK = r'Read it back to the caller as "(.*?)" and ask whether that is right\.'
_PENDING = re.compile(rf"(.*) \(not confirmed\)\. {_READ_BACK}")
_MISSING = re.compile(r"- for ([^:\s]+): (.*)")
_PART = re.compile(r"(?:^|(?<=\s))(?=(?:Invalid|Incomplete|Missing|Unconfirmed|There is no variable called)\b)")
_INVALID = re.compile(rf"Invalid: ({_NAME}) (.*?)\.?\s*$")
_INCOMPLETE = re.compile(rf"Incomplete: ({_NAME})\.")
_UNCONFIRMED = re.compile(rf"Unconfirmed: ({_NAME})\. {_READ_BACK}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A variable as the engine describes it: `data_type` is empty where only a length is told."""

    name: str
    description: str = ""
    data_type: str = ""
    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a system prompt tells of the variables: values as written, read-backs as spoken, needs by function."""

    known: Mapping[str, str]
    unconfirmed: Mapping[str, str]
    missing: Mapping[str, tuple[Wanted, ...]]


@dataclass(frozen=True, slots=True)
class Lacking:
    """Why a function was not done: `invalid` holds (name, why), `unconfirmed` (name, as spoken)."""

    invalid: tuple[tuple[str, str], ...] = ()
    incomplete: tuple[str, ...] = ()
    missing: tuple[Wanted, ...] = ()
    unconfirmed: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.invalid or self.incomplete or self.missing or self.unconfirmed)


def word_set(*lines: str) -> frozenset[str]:
    """Return the words of some lines as a set."""
    return frozenset(word for line in lines for word in line.split())


def read_prompt(system: str) -> Prompt:
    """Read the sections on what is known and missing; those of the last such heading count."""
    known: dict[str, str] = {}
    unconfirmed: dict[str, str] = {}
    for line in _section(system, "# What is known"):
        if (found := _KNOWN.fullmatch(line)) is None:
            continue
        if pending := _PENDING.fullmatch(found[2]):
            unconfirmed[found[1]] = pending[2]
        else:
            known[found[1]] = found[2]
    lines = (_MISSING.fullmatch(line) for line in _section(system, "# What is still missing"))
    missing = {found[1]: _wanted(found[2]) for found in lines if found is not None}
    return Prompt(known, unconfirmed, missing)


def _section(system: str, heading: str) -> list[str]:
    _, found, rest = system.rpartition(heading + "\n")
    return [line[:_LONGEST_LINE] for line in rest.split("\n\n")[0].splitlines()] if found else []


def read_refusal(output: str) -> Lacking:
    """Read the answer to a refused path or to `remember`; falsy where nothing is lacking."""
    parts = [part.strip() for part in _PART.split(output[:_LONGEST_LINE])]
    return Lacking(
        invalid=tuple((found[1], found[2]) for part in parts if (found := _INVALID.match(part))),
        incomplete=tuple(found[1] for part in parts if (found := _INCOMPLETE.match(part))),
        missing=tuple(
            wanted
            for part in parts
            if part.startswith("Missing: ")
            for wanted in _wanted(part.removeprefix("Missing: "))
        ),
        unconfirmed=tuple((found[1], found[2]) for part in parts if (found := _UNCONFIRMED.match(part))),
    )


def _wanted(text: str) -> tuple[Wanted, ...]:
    return tuple(_one(found[1], found[2]) for found in _DESCRIBED.finditer(text))


def _one(name: str, detail: str) -> Wanted:
    description, _, form = detail.rpartition(", ")
    if form.strip() in _TYPES:
        return Wanted(name, description, form.strip().replace(" ", "_"))
    if found := _FORM.fullmatch(form.strip()):
        both = found[3]
        low, high = (found[1] or both or found[4]), (found[2] or both or found[5])
        return Wanted(
            name,
            description,
            "digits" if found[6] == "digits" else "",
            int(low[:9]) if low else None,
            int(high[:9]) if high else None,
        )
    return Wanted(name, detail)
