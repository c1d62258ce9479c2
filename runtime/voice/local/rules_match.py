"""Which function a caller's words ask for: overlap of content words with its examples, description and name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from runtime.voice.local.rules_schema import Function
from runtime.voice.local.rules_texts import word_set

__all__ = ["FAREWELL", "choose", "content", "is_farewell"]

FAREWELL = "goodbye finish end hang"
_CLEAR = 1.3  # how much better than the second the best must be

_STOP = word_set(
    "a an and any are as at be been being but by can could did do does for from had has have he her here him his how i",
    "if in into is it its just let like may me mine must my no nor not of off oh on one or other our out over own please",
    "she should so some than that the their them then there these they this those to too under up us use used user was",
    "we well were what when where which while who whom why will with would yes you your caller customer mention mentions",
    "mentioned wants ask asks asking needs says tells about something anything everything else nothing i'm i'd i've it's",
    "don't doesn't can't won't isn't hello hi hey good morning afternoon evening okay ok uh um er erm hm hmm mm today now example",
)
_WEAK = word_set(
    "question problem issu help want need talk speak thing tel know giv get got mak look try number",
)
_SAME = {
    "invoic": "bil", "by": "goodby", "person": "human", "operator": "human", "repres": "human", "representativ": "human",
    "colleagu": "human", "parcel": "order", "packag": "order", "appointment": "book", "reserv": "book",
    "reservation": "book", "booking": "book",
}  # fmt: skip
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_NOT = r"other than|rather than|instead of|except(?: for)?|but not|unless|not|never|no|without|don't|do not"
_NEGATED = re.compile(rf"\b(?:{_NOT})\b[^.,;:!?]*")
_NEGATED_NEAR = re.compile(r"\b(?:not|never|no|without|nothing|\w+n't)\b(?:\W+[\w']+){1,6}")
_FAREWELL = re.compile(
    r"\b(?:good ?bye|bye|that(?:'s| is| was) (?:all|it|everything)|nothing else|no,? thank(?:s| you)|that will be all)\b"
)


@dataclass(frozen=True, slots=True)
class _Profile:
    examples: tuple[tuple[frozenset[str], bool], ...]
    """The words of each example, and whether it says what is not: `I cannot log in`."""
    described: frozenset[str]
    named: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        return self.described.union(self.named, *(words for words, _ in self.examples))


def content(text: str) -> frozenset[str]:
    """Return the stems of the words of `text` that carry meaning."""
    words = _WORD.findall(text.lower().replace("’", "'"))
    return frozenset(_stem(word.removesuffix("'s")) for word in words if word not in _STOP) - {""}


def is_farewell(text: str) -> bool:
    """Tell whether the caller has everything they need."""
    return _FAREWELL.search(text.lower()) is not None


def choose(functions: Sequence[Function], text: str, threshold: float = 1.0) -> Function | None:
    """Return the function the words ask for; None where none reaches `threshold` or two are about equal."""
    heard = content(text)
    affirmed = content(_NEGATED_NEAR.sub(" ", text.lower()))
    if is_farewell(text):
        affirmed |= content(FAREWELL)
    if not functions or not heard | affirmed:
        return None
    profiles = [_profile(function) for function in functions]
    spread = Counter(word for profile in profiles for word in profile.all)
    scores = [_score(heard, affirmed, profile, spread) for profile in profiles]
    best, second, *_ = [*sorted(scores, reverse=True), 0.0]
    if best < threshold or best < second * _CLEAR:
        return None
    return functions[scores.index(best)]


def _score(heard: frozenset[str], affirmed: frozenset[str], profile: _Profile, spread: Counter[str]) -> float:
    def weight(words: frozenset[str]) -> float:
        return sum((0.25 if word in _WEAK else 1.0) / spread[word] for word in sorted(words))

    covered = [
        weight((heard if negative else affirmed) & example) / weight(example)
        for example, negative in profile.examples
        if example
    ]
    described = min(2.0, weight(affirmed & profile.described))
    named = min(2.0, weight(affirmed & profile.named))
    return 3 * max(covered, default=0.0) + described + named


@lru_cache(maxsize=512)
def _profile(function: Function) -> _Profile:
    return _Profile(
        tuple((content(each), _NEGATED_NEAR.search(each.lower()) is not None) for each in function.examples),
        content(_NEGATED.sub(" ", function.description.lower())),
        content(function.name.replace("_", " ")),
    )


def _stem(word: str) -> str:
    for suffix, instead in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(suffix) and not word.endswith("ss") and len(word) - len(suffix) >= 3:
            word = word.removesuffix(suffix) + instead
            break
    word = word.removesuffix("e") if len(word) > 3 or word == "bye" else word
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return _SAME.get(word, word)
