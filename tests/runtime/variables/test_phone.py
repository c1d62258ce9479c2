"""Telephone numbers in E.164, with a region and without."""

from __future__ import annotations

import pytest

from runtime.variables import find_all, given, is_partial, looks_like, said, say_back
from tests.runtime.variables.helpers import CONTEXT, code, context, spec, value

PHONE = spec("phone")
KEPT = "+491711234567"


@pytest.mark.parametrize(
    ("raw", "region", "kept"),
    [
        ("0171 1234567", "DE", KEPT),
        ("oh one seven one, one two three four five six seven", "DE", KEPT),
        ("plus four nine one seven one one two three four five six seven", None, KEPT),
        ("+49 (0) 171 1234567", None, KEPT),
        ("0049 171 1234567", None, KEPT),
        ("my number is 0171-123 45 67 thanks", "de", KEPT),
        ("+1 415 555 0100", None, "+14155550100"),
        ("(415) 555-0100", "US", "+14155550100"),
        ("+15551234567", None, "+15551234567"),
        ("07700 900123", "GB", "+447700900123"),
        (4155550100, "US", "+14155550100"),
    ],
)
def test_reads(raw: object, region: str | None, kept: str) -> None:
    assert value(PHONE, raw, context(region=region)) == kept


@pytest.mark.parametrize(
    ("raw", "region", "why"),
    [
        ("0171 1234567", None, "no_country"),
        ("0171 1234567", "XX", "no_country"),
        ("+999 123456", None, "no_country"),
        ("415", "US", "too_short"),
        ("01234567890123456", "US", "too_long"),
        ("I have a question", "DE", "not_phone"),
        ("0171 1234567 or maybe 0171 7654321", "DE", "ambiguous"),
        (True, "DE", "not_digits"),
    ],
)
def test_rejects(raw: object, region: str | None, why: str) -> None:
    assert code(PHONE, raw, context(region=region)) == why


def test_finds_and_given_across_turns() -> None:
    assert find_all(PHONE, "call 0171 1234567 or 030 1234567", CONTEXT) == (KEPT, "+49301234567")
    assert given(PHONE, KEPT, ["oh one seven one", "one two three four five six seven"], CONTEXT)
    assert not given(PHONE, KEPT, ["oh one seven one one two three four five six eight"], CONTEXT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it's oh one seven one", True),
        ("plus four nine", True),
        ("plus", True),
        ("0171 1234567", False),
        ("I have a question", False),
    ],
)
def test_partial(text: str, expected: bool) -> None:
    assert is_partial(PHONE, text, CONTEXT) is expected


def test_partial_without_a_region() -> None:
    assert is_partial(PHONE, "0171 12", context(region=None))
    assert not is_partial(PHONE, "0171 1234567", context(region=None))


def test_says_it_in_groups() -> None:
    voice = say_back(PHONE, KEPT)
    assert voice == "plus 4 9, 1 7 1, 1 2 3, 4 5 6 7"
    assert said(PHONE, KEPT, f"I noted {voice}. Is that right?", CONTEXT)
    assert said(PHONE, KEPT, "0171 1234567", CONTEXT)
    assert not said(PHONE, KEPT, "0171 1234568", CONTEXT)


def test_masks() -> None:
    assert looks_like(PHONE, "oh one seven", CONTEXT)
    assert not looks_like(PHONE, "hello", CONTEXT)
