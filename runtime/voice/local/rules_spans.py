"""Runs of words that make a value, and the figures that belong to something else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from runtime.variables import Accepted, Context, VariableSpec, normalise, vocabulary
from runtime.voice.local.rules_match import content
from runtime.voice.local.rules_texts import word_set

__all__ = [
    "ANY_DIGITS", "CONTEXT", "FIGURES",
    "counted", "last_figures", "spans", "without_choices", "without_counts", "without_plurals",
]  # fmt: skip

# A model has no clock: dates are only recognised here, and passed on in the caller's words for the engine to resolve.
# The region stands for whichever the session has, so that amounts without a currency are recognised too.
CONTEXT = Context(now=datetime(2024, 1, 1, 12, tzinfo=UTC), region="US")
_TOKEN = re.compile(r"[\w'’:/.,€$£+-]*\w|[€$£]")
_FIGURE = re.compile(r"[€$£+-]?\d[\d:/.,+-]*(?:st|nd|rd|th|am|pm|h|[€$£])?", re.IGNORECASE)
_EMPTY = word_set("a an the of in on at to is it it's my and for this day next last after before past")
_CLEAR_MOMENT = re.compile(r"[a-z]{3,}|[:/.-]\d", re.IGNORECASE)
ANY_DIGITS = VariableSpec("digits", "digits", min_length=1)
FIGURES = frozenset(vocabulary(ANY_DIGITS))

_PLAIN_FIGURES = FIGURES - word_set("and is it's my number oh double triple")
_COUNT = re.compile(rf"\b(?:\d+|{'|'.join(sorted(_PLAIN_FIGURES))}) ([^\W\d_]{{3,}})", re.IGNORECASE)
_UNTELLING = content("a number of many much figure day date time hour minute month week year amount")


def spans(spec: VariableSpec, text: str) -> Sequence[str]:
    """Return the longest run of words of this type that make a value, as the caller said them."""
    runs = sorted(_runs(text, frozenset(vocabulary(spec))), key=len, reverse=True)
    for run in runs[:4]:
        for span in _trimmed(run):
            if _telling(span) and isinstance(normalise(spec, span, CONTEXT), Accepted):
                return (span,)
    return ()


def _telling(span: str) -> bool:
    """Tell whether the span has more than small words and a bare number: parsing dates is dear."""
    return _CLEAR_MOMENT.search(span) is not None and not set(span.lower().split()) <= _EMPTY


def _runs(text: str, words: frozenset[str]) -> Iterator[list[str]]:
    run: list[str] = []
    for word in _TOKEN.findall(text):
        plain = word.lower().strip(",.'’")
        if plain in words or _FIGURE.fullmatch(word) or word in "€$£":
            run.append(word)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _trimmed(run: list[str]) -> Iterator[str]:
    """Yield the run, then without up to three words at its start or end: `is on the third of May at`."""
    run = run[:24]
    for cut in range(4):
        for left in range(cut + 1):
            if left + 1 <= len(run) - (cut - left):
                yield " ".join(run[left : len(run) - (cut - left)])


def without_plurals(spec: VariableSpec, text: str) -> str:
    """Return the text with each choice in the singular: `two margheritas`."""
    taken = {choice.lower() for choice in spec.enum}
    for choice in spec.enum:
        plural = re.compile(rf"\b({_words(choice)})e?s\b", re.IGNORECASE)
        text = plural.sub(lambda found: found[0] if found[0].lower() in taken else found[1], text)
    return text


def without_choices(specs: Sequence[VariableSpec], text: str) -> str:
    """Return the text without the choices that hold a figure among other words: `four seasons` is no four."""
    for spec in specs:
        for choice in spec.enum:
            words = set(choice.lower().replace("_", " ").split())
            if words & FIGURES and not words <= FIGURES:
                text = re.sub(rf"\b{_words(choice)}\b", " , ", text, flags=re.IGNORECASE)
    return text


def counted(spec: VariableSpec, text: str) -> bool:
    """Tell whether a figure stands before a word of the variable's description: `five people`."""
    told = _telling_words(spec)
    return any(content(found[1]) & told for found in _COUNT.finditer(text))


def without_counts(spec: VariableSpec, specs: Sequence[VariableSpec], text: str) -> str:
    """Return the text without the figures that count what only another variable is described by."""
    others = frozenset[str]().union(*(_telling_words(each) for each in specs if each.name != spec.name))
    told = others - _telling_words(spec)
    return _COUNT.sub(lambda found: " , " if content(found[1]) & told else found[0], text)


def last_figures(text: str) -> str:
    """Return the figures that the text ends with, as they were said; empty where it ends otherwise."""
    tail: list[str] = []
    for word in reversed(text.split()):
        plain = word.lower().strip(",.")
        if plain not in FIGURES and not plain.isdigit():
            break
        tail.append(word)
    return " ".join(reversed(tail))


def _telling_words(spec: VariableSpec) -> frozenset[str]:
    return content(f"{spec.name.replace('_', ' ')} {spec.description}") - _UNTELLING


def _words(choice: str) -> str:
    return r"\W+".join(re.escape(word) for word in choice.replace("_", " ").split())
