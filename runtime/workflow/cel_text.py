"""What is done to a guard's text before it is CEL: `is_set('x')`, and whole numbers beside fractional ones."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["ASKED", "Repair", "ask_names", "repair_numbers"]

ASKED = "_is_set_"
"""Before a variable's name: the BOOL that `is_set('x')` becomes. No variable's name begins with `_`."""

_TOKEN = re.compile(
    r"""
    (?P<string>[rRbB]{0,2}(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
  | (?P<comment>//[^\n]*)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<number>0x[0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
  | (?P<mark>&&|\|\||[<>=!]=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_IS_SET = re.compile(r"is_set\s*\(\s*(?:'([^'\\\n]*)'|\"([^\"\\\n]*)\")\s*\)")
_WHOLE = re.compile(r"\d+")
_MIXED = re.compile(
    r"<input>:(\d+):(\d+): found no matching overload for '(\S+)' applied to '\((double|int), (double|int|list\(int\))\)'"
)


def ask_names(text: str) -> tuple[str, tuple[str, ...]]:
    """Replace each `is_set('x')` outside strings by a name of the same length; return the text and the x's in order."""
    parts: list[str] = []
    names: dict[str, None] = {}
    at = 0
    while (token := _TOKEN.match(text, at)) is not None:
        asked = _IS_SET.match(text, at) if token["name"] == "is_set" else None
        if asked is not None and (name := asked[1] or asked[2] or "").isidentifier() and name.isascii():
            names[name] = None
            parts.append((ASKED + name).ljust(len(asked[0])))
            at = asked.end()
        else:
            parts.append(token[0])
            at = token.end()
    return "".join(parts), tuple(names)


@dataclass(frozen=True, slots=True)
class Repair:
    """A text with one more number written as a fraction; `at` is where `added` characters came in."""

    text: str
    at: int
    added: int


def repair_numbers(text: str, complaint: str, whole_names: Collection[str]) -> Repair | None:
    """Make the first comparison or sum of a fraction with a whole number fit, which CEL's checker refuses.

    `amount > 10` becomes `amount > 10.0` and `amount > age` becomes `amount > double(age)`. `complaint` is what the
    checker said of `text`; None where it complains of something else, or of more than a literal or a name.
    """
    found = _MIXED.search(complaint)
    if found is None or found[4] == found[5]:
        return None
    tokens = [token for token in _TOKEN.finditer(text) if not token[0].isspace() and token["comment"] is None]
    starts = [token.start() for token in tokens]
    at = _offset(text, int(found[1]), int(found[2]))
    if at not in starts:
        return None
    operator = starts.index(at)
    if found[5].startswith("list"):
        return _repair_list(text, tokens[operator + 1 :])
    return _repair_operand(text, tokens, operator, whole_names, is_left=found[4] == "int")


def _repair_operand(
    text: str, tokens: list[re.Match[str]], operator: int, whole_names: Collection[str], *, is_left: bool
) -> Repair | None:
    index = operator - 1 if is_left else operator + 1
    while not is_left and index < len(tokens) and tokens[index][0] == "-":
        index += 1
    if not 0 <= index < len(tokens):
        return None
    token = tokens[index]
    if _WHOLE.fullmatch(token[0]):
        return Repair(text[: token.end()] + ".0" + text[token.end() :], token.end(), 2)
    is_field = index > 0 and tokens[index - 1][0] == "."
    if token[0] not in whole_names or is_field:
        return None
    return Repair(f"{text[: token.start()]}double({token[0]}){text[token.end() :]}", token.start(), 8)


def _repair_list(text: str, tokens: list[re.Match[str]]) -> Repair | None:
    """Write every whole number of a plain list as a fraction, from the last to the first."""
    if not tokens or tokens[0][0] != "[":
        return None
    first, added = tokens[0].start(), 0
    end = next((index for index, token in enumerate(tokens) if token[0] == "]"), 0)
    for token in reversed(tokens[:end]):
        if _WHOLE.fullmatch(token[0]):
            text, added = text[: token.end()] + ".0" + text[token.end() :], added + 2
    return Repair(text, first, added) if added else None


def _offset(text: str, line: int, column: int) -> int:
    lines = text.split("\n")
    return sum(len(before) + 1 for before in lines[: line - 1]) + column - 1
