"""Free text and the choice among given words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar

from typing_extensions import override

from runtime.variables.spec import Accepted, Context, DataType, Json, Rejected, Result, VariableSpec
from runtime.variables.spoken import figures
from runtime.variables.text import clean, contains_words, fold

__all__ = ["Enum", "String", "as_text"]


def as_text(raw: object) -> str | Rejected:
    """Return `raw` as clean text; a number is its figures, anything else but text is rejected."""
    if isinstance(raw, str):
        return clean(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not abs(raw) < 1e18:
        return Rejected("not_text", "must be given as text")
    return str(raw)


class String(DataType):
    """Whatever was said, without the white space around it."""

    name: ClassVar[str] = "string"

    @override
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        text = as_text(raw)
        return text if isinstance(text, Rejected) else Accepted(text)

    @override
    def find(self, text: str, spec: VariableSpec, context: Context) -> list[Json]:
        return [clean(text)] if clean(text) else []

    @override
    def holds(self, text: str, value: Json, spec: VariableSpec, context: Context) -> bool:
        return clean(text) == value or contains_words(text, str(value))

    @override
    def spelled(self, value: Json, spec: VariableSpec, language: str) -> str:
        return ", ".join(char.upper() for char in str(value) if not char.isspace())


class Enum(DataType):
    """One of the spec's words; upper and lower case do not matter."""

    name: ClassVar[str] = "enum"

    @override
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        text = as_text(raw)
        if isinstance(text, Rejected):
            return text
        exact = [option for option in spec.enum if clean(option).casefold() == text.casefold()]
        found = [option for option in exact if clean(option) == text] or exact or _options(text, spec, context)
        if len(found) == 1:
            return Accepted(found[0])
        listed = ", ".join(spec.enum)
        if found:
            return Rejected("ambiguous", f"must be only one of: {listed}")
        return Rejected("not_allowed", f"must be one of: {listed}")

    @override
    def find(self, text: str, spec: VariableSpec, context: Context) -> list[Json]:
        return _options(text, spec, context)

    @override
    def suspects(self, text: str, spec: VariableSpec, context: Context) -> bool:
        return bool(_options(text, spec, context))

    @override
    def spelled(self, value: Json, spec: VariableSpec, language: str) -> str:
        return ", ".join(char.upper() for char in str(value) if not char.isspace())

    @override
    def words(self, spec: VariableSpec) -> Iterable[str]:
        return [word for option in spec.enum for word in fold(option).split()]


_DENIED = re.compile(r"\b(?:not|no|dont want|isnt|nicht|kein|keine|pas|non)(?: the| a| an)? $")


def _options(text: str, spec: VariableSpec, context: Context) -> list[str]:
    """Return the options that `text` names and does not deny, the longest first; one within another is hidden by it."""
    said = f" {fold(text)} "
    counted = f" {fold(figures(text, context.language))} "
    found: list[str] = []
    for wanted in sorted({f" {fold(option)} " for option in spec.enum if fold(option)}, key=len, reverse=True):
        in_figures = f" {fold(figures(wanted, context.language))} "
        if _named(said, wanted) or _named(counted, in_figures):
            found += [option for option in dict.fromkeys(spec.enum) if f" {fold(option)} " == wanted]
            said = said.replace(wanted, " | ")
            counted = counted.replace(in_figures, " | ")
    return found


def _named(said: str, wanted: str) -> bool:
    return any(
        not _DENIED.search(said[max(0, found.start() - 20) : found.start() + 1])
        for found in re.finditer(f"(?={re.escape(wanted)})", said)
    )
