"""Values of variables found in what a caller says, by their data types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runtime.variables import (
    DATA_TYPES,
    VariableSpec,
    affirmation,
    find_all,
    normalise,
    warm,
)
from runtime.voice.local.rules_match import content, is_farewell
from runtime.voice.local.rules_schema import CODE
from runtime.voice.local.rules_spans import (
    ANY_DIGITS,
    CONTEXT,
    FIGURES,
    counted,
    last_figures,
    spans,
    without_choices,
    without_counts,
    without_plurals,
)
from runtime.voice.local.rules_texts import word_set

__all__ = ["figures_in", "gather", "prepare", "raw_attempt"]

Json = Any

_ALIKE = {
    "digits": "figures", "phone": "figures", "integer": "figures", "number": "figures", "currency": "figures",
    CODE: "figures", "date": "moment", "time": "moment", "datetime": "moment",
}  # fmt: skip
_LONG_NUMBER = 6  # digits, more than any time of day has
_SPANNED = frozenset({"date", "time", "datetime", "currency"})
_ALWAYS = frozenset({"date", "datetime", "email", "phone", "digits", "enum", "person_name", CODE})

_CORRECTION = re.compile(
    r"\b(?:no|nope|not|actually|sorry|wrong|mean|meant|instead|rather|correct|correction|should be|change)\b"
)
_QUESTION = re.compile(
    r"^(?:(?:and|so|but|um|well|sorry|okay|hi|hello)[, ]+)*(?:what|why|who|where|when|which|how|can|could|do|does|did|is|are|will|"
    r"would|may|should) "
)
_REFUSAL = re.compile(
    r"\b(?:i (?:do not|don't|dont) (?:know|have|remember|want|understand)|no idea|not sure|no clue|can't remember|forgot)\b"
)
_WAIT = re.compile(
    r"\b(?:pardon|repeat|say that again|hold on|(?:one|just a) (?:moment|second|minute)|wait|what do you mean|don't understand)\b"
)
_LEAD = re.compile(
    r"^(?:(?:um|uh|er|well|so|oh|yes|yeah|okay|ok|sure|please|no|actually|sorry|it's|it is|that's|that is)[,.]? +)+",
    re.IGNORECASE,
)
_NAME = r"(?P<name>[^\W\d_][^\W\d_'’-]*(?: [^\W\d_][^\W\d_'’-]*){0,3})"
_NAMED = re.compile(
    rf"\b(?:(?:my|the) (?:full |first |last )?name(?: is|'s)|i am called|call me|this is|i am|i'm) {_NAME}",
    re.IGNORECASE,
)
_NO_NAME = word_set(
    "a an the my your our about for from in at on to of not so very just still here calling speaking and but with going",
    "trying looking having interested sure sorry fine good well wrong right correct is it that this what i you we they",
    "because who which want need would like again already also afraid happy unhappy new",
)
_CODE = re.compile(r"(?<![\w-])(?=[\w-]*\d)[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*(?![\w-])")


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    value: Json
    kind: str

    @property
    def family(self) -> str:
        return _ALIKE.get(self.kind, self.kind)

    @property
    def source(self) -> str:
        return re.sub(r"\W", "", str(self.value)).lower()


def prepare() -> None:
    """Build the parsers, so that no caller waits the 0.1 s that their first use takes."""
    warm()
    for data_type in DATA_TYPES:
        normalise(VariableSpec("any", data_type), "on the third of May", CONTEXT)


def gather(
    specs: Sequence[VariableSpec],
    text: str,
    asked: str | None,
    known: Mapping[str, str],
    target: frozenset[str],
    open_: frozenset[str] = frozenset(),
) -> dict[str, Json]:
    """Return the values that `text` holds, by variable; the asked one and those it names come first.

    A known variable is given anew only where the caller corrects or names it or it is in `open_`, and no words serve
    two variables.
    """
    named = frozenset(spec.name for spec in specs if _named(spec, text))
    order = sorted(
        specs,
        key=lambda spec: (
            spec.name not in named, spec.name != asked, spec.name not in target, spec.data_type not in _SPANNED
        ),
    )  # fmt: skip
    corrected = _is_correction(text)
    found: list[_Found] = []
    for spec in order:
        eager = spec.name == asked or spec.name in named
        settled = spec.name in known and spec.name not in open_ and not corrected
        if not eager and (settled or not _wanted(spec, text, target)):
            continue
        if (one := _first(spec, _heard_by(spec, specs, text), found, eager=eager)) is not None:
            found.append(one)
            text = _without(text, one)
    return {one.name: one.value for one in found if known.get(one.name) != str(one.value)}


def _wanted(spec: VariableSpec, text: str, target: frozenset[str]) -> bool:
    """Tell whether a value is looked for that was neither asked for nor named."""
    if spec.data_type in _ALWAYS or (spec.name in target and spec.data_type in _ALIKE):
        return True
    return spec.data_type == "integer" and counted(spec, text)


def _heard_by(spec: VariableSpec, specs: Sequence[VariableSpec], text: str) -> str:
    """Return the text without what plainly belongs to another variable."""
    if spec.data_type == "enum":
        return without_plurals(spec, text)
    if spec.data_type not in _ALIKE:
        return text
    text = without_choices(specs, text)
    return without_counts(spec, specs, text) if spec.data_type in {"time", "datetime"} else text


def _first(spec: VariableSpec, text: str, found: Sequence[_Found], *, eager: bool) -> _Found | None:
    for value in _values(spec, text, eager=eager):
        one = _Found(spec.name, value, spec.data_type)
        if spec.data_type == "time" and _is_dictated(str(value), text):
            continue
        if not any(_clash(one, other) for other in found) and (eager or not _is_figure(one, found)):
            return one
    return None


def _without(text: str, one: _Found) -> str:
    """Return the text without the date, time or amount that was found: its figures are no other number."""
    if one.kind not in _SPANNED:
        return text
    return re.sub(r"\W+".join(re.escape(word) for word in str(one.value).split()), " , ", text, count=1)


def figures_in(text: str) -> str:
    """Return the longest number that the words dictate, as digits."""
    return next(iter(find_all(ANY_DIGITS, text, CONTEXT)), "")


def raw_attempt(spec: VariableSpec, text: str) -> str | None:
    """Return the words as an answer to what was asked; None where they are plainly no attempt to answer."""
    rest = _LEAD.sub("", text).strip() or text
    if _is_question(text) or is_farewell(text) or _WAIT.search(text.lower()) or affirmation(rest) or not content(rest):
        return None
    if spec.data_type == CODE or (spec.data_type == "string" and _REFUSAL.search(text.lower())):
        return None
    if spec.data_type != "string" and len(rest.split()) > 12:
        return None
    return rest[:300]


def _is_correction(text: str) -> bool:
    """Tell whether the caller takes something back."""
    return _CORRECTION.search(text.lower()) is not None


def _is_question(text: str) -> bool:
    """Tell whether the caller asks something."""
    plain = text.lower().strip()
    return plain.endswith("?") or _QUESTION.match(plain) is not None


def _named(spec: VariableSpec, text: str) -> bool:
    """Tell whether the words name this variable: `my order number is …`."""
    return re.search(rf"\b{re.escape(spec.name.replace('_', ' '))}\b", text, re.IGNORECASE) is not None


def _is_figure(one: _Found, found: Sequence[_Found]) -> bool:
    """Tell whether a choice is but a word of a number that was found: `double five oh one`."""
    said = set(str(one.value).lower().split())
    return any(other.family == "figures" for other in found) and said <= FIGURES


def _is_dictated(value: str, text: str) -> bool:
    """Tell whether a time is but figures out of a long number: `my number is oh one seven oh one two three`."""
    return last_figures(value) == value and len(figures_in(text)) >= _LONG_NUMBER


def _clash(one: _Found, other: _Found) -> bool:
    return one.family == other.family and (one.source in other.source or other.source in one.source)


def _values(spec: VariableSpec, text: str, *, eager: bool) -> Sequence[Json]:
    match spec.data_type:
        case "string":
            return _strings(spec, text) if eager else ()
        case "person_name":
            return _names(spec, text, eager=eager)
        case "date" | "time" | "datetime" | "currency":
            return spans(spec, text)
        case "phone":
            return _phones(text, 6 if eager else 9)
        case "digits":
            bounded = eager or spec.min_length is not None or spec.max_length is not None
            return find_all(spec, text, CONTEXT)[:4] if bounded else ()
        case kind if kind == CODE:
            return _codes(spec, text)
        case kind if kind in DATA_TYPES:
            return find_all(spec, text, CONTEXT)[:4]
        case _:
            return ()


def _strings(spec: VariableSpec, text: str) -> Sequence[str]:
    """A text is taken only out of `my <variable> is …`; as an answer it is what `raw_attempt` returns."""
    name = re.escape(spec.name.replace("_", " "))
    found = re.search(rf"\b{name} (?:is|was|should be|would be) (\S[^.?!]{{0,200}})", text, re.IGNORECASE)
    return (found[1].strip(),) if found else ()


def _names(spec: VariableSpec, text: str, *, eager: bool) -> Sequence[Json]:
    for found in _NAMED.finditer(text):
        stated = " name" in found[0].lower() or "call" in found[0].lower()
        words: list[str] = []
        for word in found["name"].split():
            if word.lower() in _NO_NAME:
                break
            words.append(word)
        if words and (stated or eager or len(words) > 1 or words[0][0].isupper()):
            return (" ".join(words),)
    return find_all(spec, text, CONTEXT)[:1] if eager and len(text.split()) <= 12 else ()


def _phones(text: str, least: int) -> Sequence[str]:
    plus = re.search(r"\+ ?\d|\bplus\b", text.lower()) is not None
    found = find_all(replace(ANY_DIGITS, min_length=least, max_length=15), text, CONTEXT)
    return [f"+{digits}" if plus else digits for digits in found[:1]]


def _codes(spec: VariableSpec, text: str) -> Sequence[str]:
    mixed = [found[0] for found in _CODE.finditer(text) if not found[0].isdigit()]
    written = [
        code for code in mixed if re.search(r"[A-Za-z]", code) and not re.fullmatch(r"\d+(?:st|nd|rd|th|am|pm)", code)
    ]
    least = spec.min_length if spec.min_length is not None else 3
    digits = find_all(replace(ANY_DIGITS, min_length=least, max_length=spec.max_length), text, CONTEXT)
    return [*written[:2], *digits[:3]]
