"""Text as it comes from speech and models, made safe, comparable and free of filler."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

__all__ = [
    "FILLERS",
    "HESITATIONS",
    "base_language",
    "clean",
    "contains_words",
    "fold",
    "letters_only",
    "plain_words",
    "strip_fillers",
    "word_set",
]

HESITATIONS: Final = frozenset({"um", "uhm", "uh", "er", "erm", "eh", "hm", "hmm", "ah", "äh", "ähm", "euh"})


def word_set(*lines: str) -> frozenset[str]:
    """Return the words of some lines as a set."""
    return frozenset(word for line in lines for word in line.split())


FILLERS: Final = HESITATIONS | word_set(
    "a an the my your our his her this that these it its it's is was are i i'm i'd am be would like to for of so oh",
    "well okay ok yes yeah yep sure please thanks thank you and then just here's here there that's which number numbers",
    "code id identifier digits digit value case ref reference customer account order invoice pin hello hi sorry right",
    "think believe have got let me see say again nr meine mein die der das ist es lautet nummer bitte danke ja le la mon",
    "ma est c'est numéro s'il vous plaît mi el es número por favor il mio è numero per favore",
)

_CONTROL: Final = frozenset({"Cc", "Cs"})
_EDGES: Final = ' \t,.;:!?…"“”„«»()[]'


def base_language(language: str) -> str:
    """Return the language without its region: `en-US` → `en`."""
    return re.split(r"[-_]", language.strip().lower(), maxsplit=1)[0]


@lru_cache(maxsize=256)
def clean(text: str) -> str:
    """Return `text` in NFC, with control characters and lone surrogates as spaces, and white space collapsed."""
    safe = "".join(" " if unicodedata.category(char) in _CONTROL else char for char in text)
    return " ".join(unicodedata.normalize("NFC", safe).replace("’", "'").split())


def fold(text: str) -> str:
    """Return the words of `text` for comparison: casefolded, letters and figures only, one space between."""
    plain = unicodedata.normalize("NFKC", clean(text)).casefold().replace("'", "")
    return " ".join(re.sub(r"[\W_]+", " ", plain).split())


def contains_words(text: str, words: str) -> bool:
    """Tell whether the folded `words` stand in `text` as whole words, in this order."""
    wanted = fold(words)
    return bool(wanted) and f" {wanted} " in f" {fold(text)} "


def letters_only(text: str) -> str:
    """Return `text` with explained letters alone: `D as in David, capital T` → `D, T`."""
    text = re.sub(r"\b([^\W\d_])\s+(?:as in|for|like|wie|comme|come|de)\s+\1\w+", r"\1", text, flags=re.IGNORECASE)
    return re.sub(r"\b(?:capital|upper ?case|lower ?case|all one word)\s", "", text, flags=re.IGNORECASE)


def plain_words(text: str) -> list[str]:
    """Return the words of `text`, lower-case, without the punctuation around them."""
    return [word for word in (part.strip(_EDGES) for part in clean(text).lower().split()) if word]


def strip_fillers(text: str, lead: re.Pattern[str], trail: re.Pattern[str]) -> str:
    """Return `text` without what `lead` and `trail` match at its ends, again and again, but never nothing."""
    current = clean(text).strip(_EDGES)
    while True:
        shorter = trail.sub("", lead.sub("", current, count=1), count=1).strip(_EDGES)
        if not shorter or shorter == current:
            return current
        current = shorter
