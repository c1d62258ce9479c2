"""Digits: what was dictated one by one, in pairs or in groups, and kept as it was dictated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from typing_extensions import override

from runtime.variables.spec import Accepted, Context, DataType, Json, Rejected, Result, VariableSpec
from runtime.variables.spoken import NUMBER_WORDS, figures
from runtime.variables.text import FILLERS, plain_words

__all__ = ["MAX_DIGITS", "Chain", "Digits", "as_digits", "chains", "grouped"]

MAX_DIGITS: Final = 64

_JOINING: Final = (
    "and|then|um|uhm|uh|er|erm|eh|hm|hmm|ah|dash|hyphen|slash|dot|comma|space|pause|und|dann|äh|ähm|et|puis|euh|y|e"
)
_JOIN: Final = rf"(?:[\s,;.…\-–—/()]|\b(?:{_JOINING})\b)"
_RUN: Final = re.compile(r"(?<![^\W_])\d+(?: \d+)*(?![^\W_])")
_GAP: Final = re.compile(rf"{_JOIN}+")
_TAIL: Final = re.compile(rf"(?:{_JOIN}|\b(?:double|triple|treble|plus)\b)*")
_GOES_ON: Final = re.compile(
    r"\b(?:and|then|um|uhm|uh|er|erm|eh|hm|dash|hyphen|double|triple|treble|plus|und|äh|ähm|et|euh|y|e)[\s,.…]*$"
)
_MULTIPLE: Final = re.compile(r"\b(?:double|triple|treble)[\s,.…]*$")


@dataclass(frozen=True, slots=True)
class Chain:
    """Runs of digits with nothing but pauses, punctuation or filler between; `start` and `end` index the figures."""

    start: int
    end: int
    runs: tuple[str, ...]

    @property
    def joined(self) -> str:
        return "".join(self.runs)

    def values(self, longest: int = MAX_DIGITS) -> Iterator[str]:
        """Yield what consecutive whole runs make together; a part of a run is never yielded."""
        for first in range(len(self.runs)):
            value = ""
            for run in self.runs[first:]:
                value += run
                if len(value) > longest:
                    break
                yield value


def chains(figured: str) -> list[Chain]:
    """Return the chains of digits in a text whose numbers are figures already."""
    found: list[Chain] = []
    runs: list[str] = []
    start = end = 0
    for run in _RUN.finditer(figured):
        if runs and not _GAP.fullmatch(figured, end, run.start()):
            found.append(Chain(start, end, tuple(runs)))
            runs = []
        start = start if runs else run.start()
        end = run.end()
        runs.append(run[0].replace(" ", ""))
    return [*found, Chain(start, end, tuple(runs))] if runs else found


def as_digits(raw: object) -> str | Rejected:
    """Return the text to look for digits in; a whole number that is not negative is its figures."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw < 1e18 or raw != int(raw):
        return Rejected("not_digits", "must be given as text, digit by digit")
    return str(int(raw))


def grouped(digits: str) -> str:
    """Return `digits` apart from each other, with a comma after every third once there are more than five."""
    if len(digits) <= 5:
        return " ".join(digits)
    last = len(digits) - (4 if len(digits) % 3 == 1 else len(digits) % 3 or 3)
    parts = [digits[at : at + 3] for at in range(0, last, 3)]
    return ", ".join(" ".join(part) for part in [*parts, digits[last:]])


class Digits(DataType):
    """Numbers that are names: customer numbers, PINs, codes. Leading zeros count."""

    name: ClassVar[str] = "digits"
    hint: ClassVar[str] = "digits only, or the words as heard"

    @override
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        text = as_digits(raw)
        if isinstance(text, Rejected):
            return text
        figured = figures(text, context.language)
        found = chains(figured)
        if not found:
            return Rejected("not_digits", "must be digits, and there are none in it")
        if len(found) > 1:
            return Rejected("ambiguous", "must be one number, got more than one")
        rest = plain_words(f"{figured[: found[0].start]} {figured[found[0].end :]}")
        own = plain_words(f"{spec.name.replace('_', ' ')} {spec.description}")
        if not {word.removesuffix("'s") for word in rest} <= FILLERS.union(own):
            return Rejected("not_digits", "must be digits only, without other words or letters")
        value = found[0].joined
        return (
            Accepted(value)
            if len(value) <= MAX_DIGITS
            else Rejected("too_long", f"must have at most {MAX_DIGITS} digits")
        )

    @override
    def find(self, text: str, spec: VariableSpec, context: Context) -> list[Json]:
        longest = min(spec.max_length or MAX_DIGITS, MAX_DIGITS)
        found = {value: None for chain in chains(figures(text, context.language)) for value in chain.values(longest)}
        return sorted(found, key=len, reverse=True)

    @override
    def partial(self, text: str, spec: VariableSpec, context: Context) -> bool:
        figured = figures(text, context.language)
        found = chains(figured)
        if not found or not _TAIL.fullmatch(figured, found[-1].end):
            return bool(_MULTIPLE.search(figured))
        count = len(found[-1].joined)
        least = spec.min_length or min((len(example) for example in spec.examples if example.isdigit()), default=0)
        if count < least:
            return True
        return count < (spec.max_length or MAX_DIGITS) and bool(_GOES_ON.search(figured))

    @override
    def suspects(self, text: str, spec: VariableSpec, context: Context) -> bool:
        long = any(len(chain.joined) >= 3 for chain in chains(figures(text, context.language)))
        return long or self.partial(text, spec, context)

    @override
    def voiced(self, value: Json, spec: VariableSpec, language: str) -> str:
        return grouped(str(value))

    @override
    def words(self, spec: VariableSpec) -> Iterable[str]:
        return (*NUMBER_WORDS, "oh", "double", "triple", "and", "my", "number", "is", "it's")
