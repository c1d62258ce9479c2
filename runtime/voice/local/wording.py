"""Text as it is spoken: lower-case words without marks, numbers spelled out; the same for who speaks and who listens."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["DIGITS", "NUMBERS", "ORDINALS", "spell_numbers", "words_of"]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_FIRSTS = (
    "zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
)  # fmt: skip
NUMBERS = (*DIGITS, *_TEENS, *_TENS, "hundred", "thousand", "oh", "double", "triple", "point")
ORDINALS = (*_FIRSTS[1:], "twentieth", "thirtieth")

_SIGNS = {"@": " at ", "&": " and ", "%": " percent ", "$": " dollar ", "€": " euro ", "£": " pound ", "+": " plus "}
_ORDINAL = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)\b")
_DECIMAL = re.compile(r"(?<=\d)\.(?=\d)")
_DOT = re.compile(r"(?<=\w)\.(?=\w)")
_NUMBER = re.compile(r"\d+")
_LONG_NUMBER = re.compile(r"(?<![\d.,:])(?:\d{3,}|0\d)(?![\d:]|[.,]\d)")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def words_of(text: str) -> tuple[str, ...]:
    """Return the words a person says for `text`.

    Numbers of one or two digits are read as numbers, longer ones and those that begin with 0 digit by digit, as people
    read numbers of customers and telephones: `4271` is `four two seven one`, `12` is `twelve`.
    """
    plain = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    for sign, spoken in _SIGNS.items():
        plain = plain.replace(sign, spoken)
    plain = _ORDINAL.sub(lambda match: f" {_ordinal(int(match[1]))} ", plain)
    plain = _DOT.sub(" dot ", _DECIMAL.sub(" point ", plain))
    plain = _NUMBER.sub(lambda match: f" {_number(match[0])} ", plain)
    return tuple(_WORD.findall(plain))


def spell_numbers(text: str) -> str:
    """Return `text` with the numbers spelled out that `words_of` reads digit by digit, and everything else as it is.

    A synthesiser left to itself says `4271` as four thousand two hundred and seventy-one.
    """
    return _LONG_NUMBER.sub(lambda match: _number(match[0]), text)


def _number(digits: str) -> str:
    if len(digits) > 2 or (len(digits) == 2 and digits[0] == "0"):
        return " ".join(DIGITS[int(digit)] for digit in digits)
    return _cardinal(int(digits))


def _cardinal(value: int) -> str:
    if value < 20:
        return (DIGITS + _TEENS)[value]
    tens, rest = _TENS[value // 10 - 2], value % 10
    return f"{tens} {DIGITS[rest]}" if rest else tens


def _ordinal(value: int) -> str:
    if value < 20:
        return _FIRSTS[value]
    tens, rest = _TENS[value // 10 - 2], value % 10
    return f"{tens} {_FIRSTS[rest]}" if rest else f"{tens[:-1]}ieth"
