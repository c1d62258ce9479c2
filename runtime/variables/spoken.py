"""Numbers in words turned into figures, with what English speech adds: oh, double five, nought."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache
from typing import Final

from text_to_num import alpha2digit

from runtime.variables.text import base_language, clean

__all__ = ["DIGIT_WORDS", "NUMBER_WORDS", "ORDINAL_WORDS", "figures"]

MAX_SCAN: Final = 20_000
"""Characters of a text that are searched, counted from its end."""

DIGIT_WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMBER_WORDS: Final = (
    *DIGIT_WORDS,
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
    *("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "thousand"),
)
ORDINAL_WORDS: Final = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh"),
    *("twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth"),
    *("twentieth", "thirtieth"),
)

# The languages of text2num; it raises ValueError for any other.
_COUNTED: Final = frozenset({"en", "de", "fr", "es", "it", "nl", "pt"})
_TIMES: Final = {"double": 2, "triple": 3, "treble": 3, "quadruple": 4}
_SCALES: Final = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_SCALED: Final = re.compile(r"(?<![\w.,])(\d{1,6}(?:\.\d{1,6})?)\s(hundred|thousand|million|billion)\b", re.ASCII)
_ANY: Final = "|".join((*NUMBER_WORDS, *ORDINAL_WORDS))
_ZERO: Final = r"(?:oh|o)(?!['\w])"
_HYPHEN: Final = re.compile(rf"\b({_ANY}|oh)-(?=(?:{_ANY}|oh)\b)")
_REPEAT: Final = re.compile(rf"\b({'|'.join(_TIMES)})[\s-]+({'|'.join(DIGIT_WORDS)}|{_ZERO}|\d)(?!\w)")
_OH_BEFORE: Final = re.compile(rf"\b{_ZERO}(?=(?:[\s-]+{_ZERO}){{0,6}}[\s-]+(?:(?:{'|'.join(NUMBER_WORDS)})\b|\d))")
_OH_AFTER: Final = re.compile(rf"(?<=[\w])((?:\s+{_ZERO}){{1,6}})(?=\s*(?:$|[,.;!?]|\s(?:{'|'.join(NUMBER_WORDS)})\b))")
_ENDS_IN_NUMBER: Final = re.compile(rf"(?:\b(?:{'|'.join(NUMBER_WORDS)})|\d)$")


@lru_cache(maxsize=256)
def figures(text: str, language: str = "en") -> str:
    """Return the end of `text` in lower case with its numbers as figures: `four two, seven one` → `4 2, 7 1`.

    Ordinals become `3rd`; single digits stay apart, except that a zero sticks to the digit after it.
    """
    plain = clean(unicodedata.normalize("NFKC", text[-MAX_SCAN:])).lower()
    plain = re.sub(r"\d", lambda found: str(unicodedata.decimal(found[0])), plain)
    code = base_language(language)
    if code == "en":
        plain = _english(plain)
    elif code == "de":
        plain = re.sub(r"\bzwo\b", "zwei", plain)
    return str(alpha2digit(plain, code, threshold=0)) if code in _COUNTED else plain


def _english(text: str) -> str:
    text = re.sub(r"\b(?:nought|naught)\b", "zero", _HYPHEN.sub(r"\1 ", text))
    text = _SCALED.sub(_multiplied, text)
    text = _OH_BEFORE.sub("zero", _REPEAT.sub(_repeated, text))
    return _OH_AFTER.sub(lambda found: _trailing_zeros(found, text), text)


def _multiplied(found: re.Match[str]) -> str:
    product = Decimal(found[1]) * _SCALES[found[2]]
    return str(int(product)) if product == int(product) else found[0]


def _repeated(found: re.Match[str]) -> str:
    digit = "zero" if found[2] in {"oh", "o"} else found[2]
    return " ".join([digit] * _TIMES[found[1]])


def _trailing_zeros(found: re.Match[str], text: str) -> str:
    if not _ENDS_IN_NUMBER.search(text[max(0, found.start() - 12) : found.start()]):
        return found[0]
    return " zero" * len(found[0].split())
