"""Yes and no: the caller's answer to a read-back, and booleans."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import ClassVar, Final, Literal, TypeAlias

from typing_extensions import override

from runtime.variables.phrases import PHRASES, Phrases
from runtime.variables.spec import Accepted, Context, DataType, Json, Rejected, Result, VariableSpec
from runtime.variables.text import base_language, clean, fold

__all__ = ["Boolean", "affirmation"]

Sense: TypeAlias = Literal["yes", "no", "weak", "doubt", "neutral", "other"]

_TRUE: Final = frozenset({"true", "on", "1", "y", "t"})
_FALSE: Final = frozenset({"false", "off", "0", "n", "f"})
_LONGEST: Final = 5  # words of the longest phrase


def affirmation(text: str, language: str = "en") -> Literal["yes", "no"] | None:
    """Return the caller's answer to a question that asks for yes or no; None where it is not clearly one of them.

    A yes that hesitates or takes itself back (`yes but`, `yes, no wait`) is none; `yes, and I also need …` is one. A
    yes may carry a value (`yes, it's 4272`): whether that is another value is for the reader to compare.
    """
    senses = [sense for sense in _senses(text, language) if sense != "neutral"]
    heard = set(senses)
    if not senses or heard <= {"other", "doubt"}:
        return None
    if "no" in heard:
        clear = "yes" not in heard and "weak" not in heard and (senses[0] == "no" or not heard & {"other", "doubt"})
        return "no" if clear else None
    asked = clean(text).endswith("?") and "other" not in heard
    if "doubt" in heard or asked:
        return None
    return "yes" if senses[0] == "yes" or "other" not in heard else None


def _senses(text: str, language: str) -> list[Sense]:
    """Return the sense of each phrase of `text`, the longest known phrase first at each place."""
    known = _index(base_language(language))
    words = _bare(text).split()
    senses: list[Sense] = []
    at = 0
    while at < len(words):
        for size in range(_LONGEST, 0, -1):
            sense = known.get(" ".join(words[at : at + size]))
            if sense is not None and at + size <= len(words):
                senses.append(sense)
                at += size
                break
        else:
            senses.append("neutral" if words[at].isdigit() else "other")
            at += 1
    return senses


def _bare(text: str) -> str:
    """Return the folded words without accents: `Sí, así es` → `si asi es`."""
    split = unicodedata.normalize("NFD", fold(text))
    return "".join(char for char in split if not unicodedata.combining(char))


@lru_cache(maxsize=16)
def _index(language: str) -> dict[str, Sense]:
    phrases: Phrases = PHRASES.get(language, PHRASES["en"])
    index: dict[str, Sense] = {}
    index |= dict.fromkeys((_bare(phrase) for phrase in phrases.neutral), "neutral")
    index |= dict.fromkeys((_bare(phrase) for phrase in phrases.weak), "weak")
    index |= dict.fromkeys((_bare(phrase) for phrase in phrases.yes), "yes")
    index |= dict.fromkeys((_bare(phrase) for phrase in phrases.no), "no")
    index |= dict.fromkeys((_bare(phrase) for phrase in phrases.doubt), "doubt")
    return index


class Boolean(DataType):
    """Yes or no."""

    name: ClassVar[str] = "boolean"
    hint: ClassVar[str] = "true or false"
    json_type: ClassVar[str] = "boolean"
    bounded: ClassVar[bool] = False

    @override
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        if isinstance(raw, bool):
            return Accepted(raw)
        if isinstance(raw, int | float) and raw in {0, 1}:
            return Accepted(raw == 1)
        answer = _answer(raw, context.language) if isinstance(raw, str) else None
        return Rejected("not_boolean", "must be a clear yes or no") if answer is None else Accepted(answer)

    @override
    def find(self, text: str, spec: VariableSpec, context: Context) -> list[Json]:
        answer = _answer(text, context.language)
        return [] if answer is None else [answer]

    @override
    def suspects(self, text: str, spec: VariableSpec, context: Context) -> bool:
        return bool({"yes", "no", "weak"}.intersection(_senses(text, context.language)))

    @override
    def written(self, value: Json) -> str:
        return "true" if value else "false"

    @override
    def voiced(self, value: Json, spec: VariableSpec, language: str) -> str:
        phrases = PHRASES.get(base_language(language))
        if phrases is None:
            return self.written(value)
        return phrases.yes[0] if value else phrases.no[0]

    @override
    def words(self, spec: VariableSpec) -> Iterable[str]:
        phrases = PHRASES["en"]
        return [word for phrase in (*phrases.yes, *phrases.no, *phrases.weak) for word in fold(phrase).split()]


def _answer(text: str, language: str) -> bool | None:
    plain = fold(text)
    if plain in _TRUE | _FALSE:
        return plain in _TRUE
    answer = affirmation(re.sub(r"\?\s*$", "", clean(text)), language)
    return None if answer is None else answer == "yes"
