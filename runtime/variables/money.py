"""Amounts of money, kept as {"amount": "12.50", "currency": "EUR"}."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Final

from typing_extensions import override

from runtime.variables.quantities import AMOUNT, amount_of, reckoned
from runtime.variables.spec import Accepted, Context, DataType, Json, Rejected, Result, VariableSpec
from runtime.variables.spoken import NUMBER_WORDS

__all__ = ["Currency"]

_LIMIT: Final = Decimal(10) ** 12
_WHOLE: Final = frozenset({"JPY", "KRW", "CLP", "VND", "ISK", "HUF"})  # said and kept without decimals, or nearly so
_EURO: Final = (
    "AT",
    "BE",
    "BG",
    "CY",
    "DE",
    "EE",
    "ES",
    "FI",
    "FR",
    "GR",
    "HR",
    "IE",
    "IT",
    "LT",
    "LU",
    "LV",
    "MT",
    "NL",
    "PT",
    "SI",
    "SK",
)
_OF_REGION: Final = {
    **dict.fromkeys(_EURO, "EUR"),
    "US": "USD",
    "GB": "GBP",
    "CH": "CHF",
    "LI": "CHF",
    "CA": "CAD",
    "AU": "AUD",
    "NZ": "NZD",
    "JP": "JPY",
    "SE": "SEK",
    "NO": "NOK",
    "DK": "DKK",
    "PL": "PLN",
    "CZ": "CZK",
    "HU": "HUF",
    "RO": "RON",
    "IN": "INR",
    "CN": "CNY",
    "BR": "BRL",
    "MX": "MXN",
    "ZA": "ZAR",
    "SG": "SGD",
    "HK": "HKD",
    "TR": "TRY",
    "IL": "ILS",
    "AE": "AED",
    "KR": "KRW",
    "UA": "UAH",
    "CL": "CLP",
    "IS": "ISK",
    "VN": "VND",
    "TH": "THB",
    "AR": "ARS",
    "CO": "COP",
    "PH": "PHP",
}
_UNITS: Final = {
    **dict.fromkeys(("€", "euro", "euros"), "EUR"),
    **dict.fromkeys(("us dollars", "us dollar", "us$"), "USD"),
    **dict.fromkeys(("$", "dollar", "dollars", "bucks", "buck"), "dollar"),
    **dict.fromkeys(("£", "pound", "pounds", "quid", "sterling", "pounds sterling"), "GBP"),
    **dict.fromkeys(("swiss francs", "swiss franc", "francs", "franken", "francs suisses"), "CHF"),
    **dict.fromkeys(("¥", "yen"), "JPY"),
    **dict.fromkeys(("₹", "rupee", "rupees"), "INR"),
    **dict.fromkeys(("zloty", "zlotys", "złoty"), "PLN"),
    **dict.fromkeys(("crown", "crowns", "kronor", "kroner", "krona", "krone"), "crown"),
    **{code.lower(): code for code in sorted(set(_OF_REGION.values()) - {"TRY", "ALL", "COP"})},
}
_FAMILIES: Final = {"dollar": ("USD", "CAD", "AUD", "NZD", "SGD", "HKD"), "crown": ("SEK", "NOK", "DKK", "CZK", "ISK")}
_PARTS: Final = {
    **dict.fromkeys(("cent", "cents", "centimes", "centimos", "céntimos", "centesimi"), "cent"),
    **dict.fromkeys(("penny", "pence", "p"), "GBP"),
    **dict.fromkeys(("rappen",), "CHF"),
}
_SAID: Final = {
    "EUR": ("euro", "euros", "cent", "cents"),
    "USD": ("dollar", "dollars", "cent", "cents"),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "CHF": ("swiss franc", "swiss francs", "rappen", "rappen"),
}


def _one_of(words: Iterable[str]) -> str:
    ordered = sorted(words, key=len, reverse=True)
    return "|".join(re.escape(word) + (r"\b" if word[-1].isalpha() else "") for word in ordered)


_UNIT: Final = _one_of(_UNITS)
_PART: Final = _one_of(_PARTS)
_BEFORE: Final = re.compile(rf"(?<![\w.])(?<!\d\s)(?P<unit>{_UNIT})\s?(?P<amount>{AMOUNT})(?![\w%])")
_AFTER: Final = re.compile(
    rf"(?<![\w.,-])(?P<amount>{AMOUNT})(?:\s(?P<pair>\d\d))?\s?(?P<unit>{_UNIT})"
    rf"(?:\s(?:and\s)?(?:(?P<small>\d{{1,2}})\s?(?:{_PART})|(?P<cents>\d\d)(?![\w.,])))?"
)
_MIXED: Final = re.compile(rf"(?<![\w.,-])(?P<amount>{AMOUNT}) and (?P<small>\d{{1,2}})\s?(?P<part>{_PART})")
_RANGE: Final = re.compile(r"\b(?:between|from)\s\S*\d\S*\s(?:\S+\s)?(?:and|to)\s\S*\d")
_SMALL: Final = re.compile(rf"(?<![\w.,-])(?P<small>\d{{1,2}})\s?(?P<part>{_PART})")
_BARE: Final = re.compile(rf"(?<![\w.,-])(?P<amount>{AMOUNT})(?:\s(?P<pair>\d\d))?(?!\w)")


class Currency(DataType):
    """An amount of money that is not negative; without a currency it is that of the region."""

    name: ClassVar[str] = "currency"
    hint: ClassVar[str] = "an amount with its currency, such as 12.50 EUR, or the words as heard"
    bounded: ClassVar[bool] = False

    @override
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        if isinstance(raw, Mapping):
            return _from_pair(raw.get("amount"), raw.get("currency"), context)
        if isinstance(raw, bool) or not isinstance(raw, int | float | str):
            return _no_amount()
        if isinstance(raw, int | float):
            return _from_pair(raw, None, context)
        return _from_text(raw, context)

    @override
    def find(self, text: str, spec: VariableSpec, context: Context) -> list[Json]:
        read = (_made(amount, unit, context) for amount, unit in _amounts(text, context))
        found = {str(result.value): result.value for result in read if isinstance(result, Accepted)}
        return list(found.values())

    @override
    def suspects(self, text: str, spec: VariableSpec, context: Context) -> bool:
        return bool(re.search(r"\d", reckoned(text, context.language)))

    @override
    def written(self, value: Json) -> str:
        return f"{value['amount']} {value['currency']}"

    @override
    def voiced(self, value: Json, spec: VariableSpec, language: str) -> str:
        whole, _, small = value["amount"].partition(".")
        if value["currency"] not in _SAID or language.lower()[:2] != "en":
            return self.written(value)
        one, many, part, parts = _SAID[value["currency"]]
        said = f"{whole} {one if whole == '1' else many}"
        if not int(small or 0):
            return said
        cents = f"{int(small)} {part if int(small) == 1 else parts}"
        return cents if whole == "0" else f"{said} and {cents}"

    @override
    def words(self, spec: VariableSpec) -> Iterable[str]:
        return (
            *NUMBER_WORDS,
            "euro",
            "euros",
            "dollar",
            "dollars",
            "pound",
            "pounds",
            "cents",
            "pence",
            "and",
            "a",
            "point",
        )


def _no_amount() -> Rejected:
    return Rejected("not_money", "must be an amount of money, such as 12.50 EUR")


def _from_pair(amount: object, currency: object, context: Context) -> Result:
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        return _no_amount()
    if isinstance(amount, str):
        found = _BARE.fullmatch(amount.strip()) if amount.isascii() else None
        number = amount_of(found["amount"], "en") if found and not found["pair"] else None
    else:
        number = Decimal(repr(amount)) if abs(amount) < 1e15 else None
    if number is None:
        return _no_amount()
    unit = currency.strip().lower() if isinstance(currency, str) else ""
    return _made(number, unit, context)


def _from_text(raw: str, context: Context) -> Result:
    if re.search(r"(?:^|\s)(?:minus\s|negative\s|[-−]\s?\d)", reckoned(raw, context.language)):
        return Rejected("negative", "must not be negative")
    found = _amounts(raw, context) or _bare(raw, context)
    if len(found) > 1 or _RANGE.search(reckoned(raw, context.language)):
        return Rejected("ambiguous", "must be one amount of money, got more than one")
    return _made(*found[0], context) if found else _no_amount()


def _amounts(text: str, context: Context) -> list[tuple[Decimal, str]]:
    """Return the amounts that name a currency, with the word or sign it was named by."""
    figured = reckoned(text, context.language)
    found: dict[tuple[Decimal, str], None] = {}
    for pattern in (_BEFORE, _AFTER, _MIXED, _SMALL):
        found |= dict.fromkeys(_of_matches(pattern.finditer(figured), context))
        figured = pattern.sub("|", figured)
    return list(found)


def _of_matches(matches: Iterator[re.Match[str]], context: Context) -> Iterator[tuple[Decimal, str]]:
    for match in matches:
        parts = match.groupdict()
        whole = amount_of(parts.get("amount") or "0", context.language, money=True)
        small = parts.get("pair") or parts.get("cents") or parts.get("small") or "0"
        if whole is not None and (small == "0" or whole == whole.to_integral_value()):
            yield whole + Decimal(small) / 100, parts.get("unit") or parts["part"]


def _bare(text: str, context: Context) -> list[tuple[Decimal, str]]:
    matches = _BARE.finditer(reckoned(text, context.language))
    amounts = ((amount_of(match["amount"], context.language, money=True), match["pair"]) for match in matches)
    return [(whole + Decimal(pair or 0) / 100, "") for whole, pair in amounts if whole is not None]


def _currency(unit: str, context: Context) -> str | None:
    """Return the code of a currency that was named by a word, a sign or its code; of the region if by nothing."""
    local = _OF_REGION.get((context.region or "").upper())
    named = _UNITS.get(unit) or _PARTS.get(unit)
    if not unit or named == "cent":
        return local
    if named in _FAMILIES:
        return local if local in _FAMILIES[named] else _FAMILIES[named][0] if named == "dollar" else None
    if named is None and re.fullmatch(r"[a-z]{3}", unit):
        return unit.upper()
    return named


def _made(amount: Decimal, unit: str, context: Context) -> Result:
    if amount < 0:
        return Rejected("negative", "must not be negative")
    if amount >= _LIMIT:
        return Rejected("out_of_range", "must be less than a million million")
    currency = _currency(unit, context)
    if currency is None:
        return Rejected("no_currency", "must name its currency, such as euros or dollars")
    places = Decimal(1) if currency in _WHOLE and amount == amount.to_integral_value() else Decimal("0.01")
    try:
        kept = amount.quantize(places)
    except InvalidOperation:
        return _no_amount()
    if kept != amount:
        return Rejected("too_precise", "must have at most 2 decimals")
    return Accepted({"amount": str(kept), "currency": currency})
