"""Integers and numbers, written or in words: twenty five, minus three, two and a half, a dozen."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Final

from typing_extensions import override

from runtime.variables.spec import Accepted, Context, DataType, Json, Rejected, Result, VariableSpec
from runtime.variables.spoken import NUMBER_WORDS, figures
from runtime.variables.text import base_language

__all__ = ["AMOUNT", "Integer", "Number", "amount_of", "reckoned"]

AMOUNT: Final = r"\d(?:[\d.,']*\d)?"
"""A written amount within figures, with its separators."""

_LIMIT: Final = Decimal(10) ** 15  # beyond it a JSON number loses its last digits
_SIGNED: Final = re.compile(
    rf"(?<![\w.,])(?P<sign>(?:\b(?:minus|negative)\s|[-−]))?(?P<amount>{AMOUNT})(?!\w|\s\d+(?:rd|th)\b)"
)
_FRACTIONS: Final = {"half": ".5", "quarter": ".25", "3 quarters": ".75"}
_GROUPED: Final = re.compile(r"\d{1,3}(?:[.,']\d{3})+")


def reckoned(text: str, language: str) -> str:
    """Return the figures of `text` with dozens, couples and halves worked out."""
    figured = re.sub(r"\bhalf (?:a|1) dozen\b", "6", figures(text, language))
    figured = re.sub(r"\b(?:an?\s)?dozen\b", lambda found: "12" if found[0] != "dozen" else "dozen", figured)
    figured = re.sub(r"\b(\d{1,9}) dozen\b", lambda found: str(int(found[1]) * 12), figured)
    figured = re.sub(r"\ba couple(?: of)?\b", "2", figured)
    figured = re.sub(r"^(?:an? |1 )?half$", "0.5", figured)
    figured = re.sub(r"\b(?:a|1) and a half\b", "1.5", figured)
    figured = re.sub(
        r"(?<![.,\d])(\d{1,15}) and (?:an? )?(half|quarter|3 quarters)\b",
        lambda found: found[1] + _FRACTIONS[found[2]],
        figured,
    )
    return re.sub(r"(?<!\d )\bpoint (\d)", r"0.\1", re.sub(r"\bdozen\b", "12", figured))


def amount_of(written: str, language: str, *, money: bool = False) -> Decimal | None:
    """Return what a written amount means: `1,200.50`, in other languages `1.200,50`; None if its separators lie badly.

    A single separator before exactly three figures groups thousands as the language does; in money it always does.
    """
    text = written.replace("'", "")
    if len(text) > 40:
        return None
    thousands = "," if base_language(language) == "en" else "."
    marks = set(re.findall(r"[.,]", text))
    if len(marks) == 2:
        thousands = "," if text.rindex(".") > text.rindex(",") else "."
    elif marks and _GROUPED.fullmatch(text) and (money or text.count(*marks) > 1):
        thousands = marks.pop()
    whole = text.replace(thousands, "") if _GROUPED.match(text) else text
    try:
        return Decimal(whole.replace(",", "."))
    except InvalidOperation:
        return None


@dataclass(frozen=True, slots=True)
class _Part:
    """A number with the figures it was written in: the zeros of `1 000` and `1 05` count."""

    amount: Decimal
    figures: str


def _groups(text: str, context: Context) -> list[list[_Part]]:
    """Return the numbers in `text`; those with nothing but a space between form one group."""
    figured = reckoned(text, context.language)
    groups: list[list[_Part]] = []
    end = -2
    for found in _SIGNED.finditer(figured):
        amount = amount_of(found["amount"], context.language)
        if amount is None:
            continue
        part = _Part(-amount if found["sign"] else amount, found["amount"])
        if found.start() == end + 1 and not found["sign"] and figured[end] == " ":
            groups[-1].append(part)
        else:
            groups.append([part])
        end = found.end()
    return groups


def _as_one(group: list[_Part]) -> Decimal | None:
    """Return a group as one number: alone, digit by digit (one five), in pairs (twelve fifty) or in thousands (1 000)."""
    first, *others = (part.figures for part in group)
    if not others:
        return group[0].amount
    digits = "".join([first, *others])
    spelled = all(len(part) == 1 or part.startswith("0") for part in (first, *others))
    pairs = len(first) == 2 and len(others) == 1 and len(others[0]) == 2
    thousands = len(first) <= 3 and all(len(part) == 3 for part in others)
    if not digits.isdigit() or len(digits) > 15 or group[0].amount < 0 or not (spelled or pairs or thousands):
        return None
    return Decimal(digits)


def _value(amount: Decimal) -> int | float:
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def _from_text(raw: str, context: Context) -> Decimal | Rejected:
    try:
        if re.fullmatch(r"\s*[-+]?\d{1,20}(?:\.\d{1,20})?(?:[eE][-+]?\d{1,2})?\s*", raw, re.ASCII):
            return Decimal(raw.strip())
    except InvalidOperation:
        pass
    groups = _groups(raw, context)
    if not groups:
        return Rejected("not_a_number", "must be a number, and there is none in it")
    amount = _as_one(groups[0]) if len(groups) == 1 else None
    return Rejected("ambiguous", "must be one number, got more than one") if amount is None else amount


def _read(raw: object, context: Context) -> Decimal | Rejected:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return Rejected("not_a_number", "must be a number")
    if isinstance(raw, str):
        amount = _from_text(raw, context)
    elif abs(raw) < 1e16:  # false for a number that is none, too
        amount = Decimal(repr(raw))
    else:
        amount = _LIMIT
    if isinstance(amount, Decimal) and not abs(amount) < _LIMIT:
        return Rejected("out_of_range", "must be a number with at most 15 digits")
    return amount


class Number(DataType):
    """A number that may have decimals; a whole one is kept as an integer."""

    name: ClassVar[str] = "number"
    hint: ClassVar[str] = "a number"
    json_type: ClassVar[str] = "number"
    bounded: ClassVar[bool] = False

    @override
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        amount = _read(raw, context)
        return amount if isinstance(amount, Rejected) else Accepted(_value(amount))

    @override
    def find(self, text: str, spec: VariableSpec, context: Context) -> list[Json]:
        found: list[Decimal] = []
        for group in _groups(text, context):
            one = _as_one(group)
            found += [part.amount for part in group] if one is None else [one]
        return list(dict.fromkeys(_value(amount) for amount in found if abs(amount) < _LIMIT))

    @override
    def suspects(self, text: str, spec: VariableSpec, context: Context) -> bool:
        return bool(re.search(r"\d", reckoned(text, context.language)))

    @override
    def written(self, value: Json) -> str:
        return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)

    @override
    def voiced(self, value: Json, spec: VariableSpec, language: str) -> str:
        said = self.written(value)
        return f"minus {said[1:]}" if said.startswith("-") else said

    @override
    def words(self, spec: VariableSpec) -> Iterable[str]:
        return (*NUMBER_WORDS, "point", "minus", "half", "and", "a", "dozen", "million")


class Integer(Number):
    """A whole number."""

    name: ClassVar[str] = "integer"
    hint: ClassVar[str] = "a whole number"
    json_type: ClassVar[str] = "integer"

    @override
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        amount = _read(raw, context)
        if isinstance(amount, Rejected):
            return amount
        if amount != amount.to_integral_value():
            return Rejected("not_whole", "must be a whole number")
        return Accepted(int(amount))

    @override
    def find(self, text: str, spec: VariableSpec, context: Context) -> list[Json]:
        return [value for value in super().find(text, spec, context) if isinstance(value, int)]
