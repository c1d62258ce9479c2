"""Telephone numbers, kept as E.164."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import ClassVar, Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult
from typing_extensions import override

from runtime.variables.digits import Chain, as_digits, chains, grouped
from runtime.variables.spec import Accepted, Context, DataType, Json, Rejected, Result, VariableSpec
from runtime.variables.spoken import NUMBER_WORDS, figures

__all__ = ["Phone"]

_MOST: Final = 17  # digits of a number with its international prefix
_CHAINS: Final = 50  # chains of a text that are tried, from its end: each trial costs 0.1 ms
_RUNS: Final = 24  # runs of one chain that are tried, from its end
_TRIALS: Final = 400
_PLUS: Final = re.compile(r"(?:\+|\bplus)\s*\(?$")
_END: Final = re.compile(r"[\s,.;…\-–—/()]*(?:\b(?:and|then|um|uh|er|erm|plus|double|triple)\b[\s,.…]*)*")
# Numbers set aside for examples and films are never valid in the metadata, yet are what everybody tries first.
_FICTION: Final = re.compile(r"\+1(?:555\d{7}|\d{3}555\d{4})|\+447700900\d{3}")


class Phone(DataType):
    """A number that can be dialled."""

    name: ClassVar[str] = "phone"
    hint: ClassVar[str] = "a telephone number with its country code if said, or the words as heard"

    @override
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        text = as_digits(raw)
        if isinstance(text, Rejected):
            return text
        figured = figures(text, context.language)
        found = chains(figured)
        if len(found) != 1:
            why = "must be one telephone number, got more than one" if found else "must be a telephone number in digits"
            return Rejected("ambiguous" if found else "not_phone", why)
        dialled = _dialled(figured, found[0], found[0].joined)
        value = _valid(dialled, context.region)
        return Accepted(value) if value else _fault(dialled, context.region)

    @override
    def find(self, text: str, spec: VariableSpec, context: Context) -> list[Json]:
        figured = figures(text, context.language)
        tried = sorted(_candidates(figured), key=len, reverse=True)
        found = dict.fromkeys(_valid(dialled, context.region) for dialled in tried)
        return [value for value in found if value]

    @override
    def partial(self, text: str, spec: VariableSpec, context: Context) -> bool:
        figured = figures(text, context.language)
        found = chains(figured)
        if not found or not _END.fullmatch(figured, found[-1].end):
            return bool(re.search(r"(?:\+|\bplus)[\s.,…]*$", figured))
        dialled = _dialled(figured, found[-1], found[-1].joined)
        if len(dialled) < 2 or any(_valid(other, context.region) for other in _of_chain(figured, found[-1])):
            return False
        number = _parsed(dialled, context.region)
        if number is None:
            return len(dialled) < 8
        return phonenumbers.is_possible_number_with_reason(number) in {
            ValidationResult.TOO_SHORT,
            ValidationResult.IS_POSSIBLE_LOCAL_ONLY,
            ValidationResult.IS_POSSIBLE,
        }

    @override
    def suspects(self, text: str, spec: VariableSpec, context: Context) -> bool:
        long = any(len(chain.joined) >= 3 for chain in chains(figures(text, context.language)))
        return long or self.partial(text, spec, context)

    @override
    def voiced(self, value: Json, spec: VariableSpec, language: str) -> str:
        number = _parsed(str(value), None)
        if number is None:
            return grouped(str(value))
        shown = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
        return "plus " + ", ".join(grouped(group) for group in re.findall(r"\d+", shown))

    @override
    def words(self, spec: VariableSpec) -> Iterable[str]:
        return (*NUMBER_WORDS, "oh", "double", "triple", "plus", "my", "number", "is", "it's")


def _dialled(figured: str, chain: Chain, digits: str) -> str:
    if digits.startswith(chain.runs[0]) and _PLUS.search(figured[max(0, chain.start - 8) : chain.start]):
        return f"+{digits}"
    return digits


def _of_chain(figured: str, chain: Chain) -> Iterator[str]:
    """Yield what of a chain may be dialled: what is behind its first run has no plus before it."""
    late = len(chain.runs) > _RUNS
    recent = Chain(chain.end, chain.end, chain.runs[-_RUNS:]) if late else chain
    return (digits if late else _dialled(figured, chain, digits) for digits in recent.values(_MOST) if len(digits) >= 5)


def _candidates(figured: str) -> dict[str, None]:
    dialled = (each for chain in reversed(chains(figured)[-_CHAINS:]) for each in _of_chain(figured, chain))
    return dict.fromkeys(islice(dialled, _TRIALS))


def _parsed(dialled: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    if region is None and dialled.startswith("00"):
        dialled = f"+{dialled[2:]}"
    try:
        return phonenumbers.parse(dialled, region.upper() if region else None)
    except NumberParseException:
        return None


def _valid(dialled: str, region: str | None) -> str | None:
    number = _parsed(dialled, region)
    if number is None:
        return None
    kept = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return kept if phonenumbers.is_valid_number(number) or _FICTION.fullmatch(kept) else None


def _fault(dialled: str, region: str | None) -> Rejected:
    known = (region or "").upper() in phonenumbers.SUPPORTED_REGIONS
    if not known and not dialled.startswith(("+", "00")):
        return Rejected("no_country", "must begin with plus and the country code, because no region is known")
    number = _parsed(dialled, region)
    reason = None if number is None else phonenumbers.is_possible_number_with_reason(number)
    if number is None and dialled.startswith("+") and len(dialled) > 5:
        return Rejected("no_country", "has a country code that does not exist")
    if number is None or reason in {ValidationResult.TOO_SHORT, ValidationResult.IS_POSSIBLE_LOCAL_ONLY}:
        return Rejected("too_short", "is too short for a telephone number; ask for the whole number with its area code")
    if reason == ValidationResult.TOO_LONG:
        return Rejected("too_long", "is too long for a telephone number")
    return Rejected("not_phone", "is not a number that can exist in its country; ask for it again, digit by digit")
