"""Amounts of money with their currency, said or that of the region."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.variables import find_all, said, say_back
from tests.runtime.variables.helpers import CONTEXT, code, context, spec, value

MONEY = spec("currency")


def kept(amount: str, currency: str = "EUR") -> dict[str, str]:
    return {"amount": amount, "currency": currency}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("twelve fifty", kept("12.50")),
        ("twelve", kept("12.00")),
        ("twelve oh five", kept("12.05")),
        ("twelve euros fifty", kept("12.50")),
        ("twelve euros and fifty cents", kept("12.50")),
        ("twelve euros and five cents", kept("12.05")),
        ("twelve fifty euros", kept("12.50")),
        ("twelve point five euros", kept("12.50")),
        ("fifty cents", kept("0.50")),
        ("twelve and fifty cents", kept("12.50")),
        ("5 million euros", kept("5000000.00")),
        ("$12.50", kept("12.50", "USD")),
        ("12,50 €", kept("12.50")),
        ("EUR 1,200.50", kept("1200.50")),
        ("1.200,50 €", kept("1200.50")),
        ("1,200 euros", kept("1200.00")),
        ("a hundred and twenty pounds", kept("120.00", "GBP")),
        ("two and a half euros", kept("2.50")),
        ("twenty quid", kept("20.00", "GBP")),
        ("fifty pence", kept("0.50", "GBP")),
        ("it costs twelve dollars please", kept("12.00", "USD")),
        ("500 yen", kept("500", "JPY")),
        (12.5, kept("12.50")),
        (12, kept("12.00")),
        ({"amount": "12.50", "currency": "eur"}, kept("12.50")),
        ({"amount": 12.5, "currency": "USD"}, kept("12.50", "USD")),
        ({"amount": "12"}, kept("12.00")),
    ],
)
def test_reads(raw: object, expected: dict[str, str]) -> None:
    assert value(MONEY, raw) == expected


@pytest.mark.parametrize(
    ("raw", "region", "expected"),
    [
        ("twelve fifty", "GB", "GBP"),
        ("twelve fifty", "US", "USD"),
        ("twelve dollars", "CA", "CAD"),
        ("twelve dollars", "GB", "USD"),
        ("a hundred crowns", "SE", "SEK"),
        ("fifty cents", "US", "USD"),
    ],
)
def test_the_region_decides_what_the_words_leave_open(raw: str, region: str, expected: str) -> None:
    assert value(MONEY, raw, context(region=region))["currency"] == expected


@pytest.mark.parametrize(
    ("raw", "region", "why"),
    [
        ("twelve fifty", None, "no_currency"),
        ("twelve crowns", "DE", "no_currency"),
        ("minus twelve euros", "DE", "negative"),
        (-1, "DE", "negative"),
        ({"amount": "12.505", "currency": "EUR"}, "DE", "too_precise"),
        ({"amount": "x", "currency": "EUR"}, "DE", "not_money"),
        ({"currency": "EUR"}, "DE", "not_money"),
        (float("inf"), "DE", "not_money"),
        (10**30, "DE", "not_money"),
        ("twelve euros or thirteen euros", "DE", "ambiguous"),
        ("hello", "DE", "not_money"),
        ("between 5 and 10 euros", "DE", "ambiguous"),
        (True, "DE", "not_money"),
        ([12], "DE", "not_money"),
    ],
)
def test_rejects(raw: Any, region: str | None, why: str) -> None:
    assert code(MONEY, raw, context(region=region)) == why


@pytest.mark.parametrize(
    ("amount", "currency", "voice"),
    [
        ("12.50", "EUR", "12 euros and 50 cents"),
        ("1.00", "EUR", "1 euro"),
        ("0.01", "GBP", "1 penny"),
        ("120.00", "GBP", "120 pounds"),
        ("12.50", "SEK", "12.50 SEK"),
        ("500", "JPY", "500 JPY"),
    ],
)
def test_says_it(amount: str, currency: str, voice: str) -> None:
    assert say_back(MONEY, kept(amount, currency)) == voice
    assert said(MONEY, kept(amount, currency), f"That is {voice}.", CONTEXT)


def test_finds_only_what_names_a_currency() -> None:
    assert find_all(MONEY, "I paid twelve euros for 3 tickets", CONTEXT) == (kept("12.00"),)
    assert find_all(MONEY, "3 tickets", CONTEXT) == ()
