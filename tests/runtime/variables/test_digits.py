"""Digits: dictated, in pairs, across turns; a part of a run is nobody's number."""

from __future__ import annotations

import pytest

from runtime.variables import find_all, given, is_partial, looks_like, normalise, said, say_back
from runtime.variables.spec import Rejected
from tests.runtime.variables.helpers import CONTEXT, code, context, spec, value

DIGITS = spec("digits", min_length=4, max_length=8)
ANY = spec("digits")


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("4271", "4271"),
        (4271, "4271"),
        (4271.0, "4271"),
        ("four two seven one", "4271"),
        ("Four, two, seven, one.", "4271"),
        ("double five oh", "550"),
        ("triple zero", "000"),
        ("42 71", "4271"),
        ("42-71", "4271"),
        ("forty two seventy one", "4271"),
        ("it's four two seven one", "4271"),
        ("um, my customer number is four two and then seven one please", "4271"),
        ("four two uh seven one", "4271"),
        ("oh four two", "042"),
        ("the number's 4271", "4271"),
        ("4 2 7 1", "4271"),
    ],
)
def test_reads(raw: object, kept: str) -> None:
    assert value(ANY, raw) == kept


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("I have a question", "not_digits"),
        ("ORD-4271", "not_digits"),
        ("A4271", "not_digits"),
        ("four two seven one no wait four two seven two", "ambiguous"),
        (True, "not_digits"),
        (-4, "not_digits"),
        (float("nan"), "not_digits"),
        ({"digits": "4271"}, "not_digits"),
        ("", "empty"),
        ("1" * 65, "too_long"),
        ("1" * 3000, "too_long"),
    ],
)
def test_rejects(raw: object, why: str) -> None:
    assert code(ANY, raw) == why


def test_a_wrong_length_is_told_without_the_value() -> None:
    result = normalise(DIGITS, "four two seven", CONTEXT)
    assert result == Rejected("too_short", "must have 4 to 8 digits, got 3")
    assert code(DIGITS, "123456789") == "too_long"
    assert code(spec("digits", min_length=5, max_length=5), "1234") == "too_short"


def test_the_pattern_is_on_the_kept_form() -> None:
    assert value(spec("digits", pattern=r"4\d{3}"), "four two seven one") == "4271"
    assert code(spec("digits", pattern=r"5\d{3}"), "four two seven one") == "pattern"
    assert code(spec("digits", pattern="("), "4271") == "pattern"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("my number is four two, seven one", ("4271", "42", "71")),
        ("four two seven one", ("4271",)),
        ('{"order_number": "4271"}', ("4271",)),
        ('{"order_number": "ORD-4271"}', ("4271",)),
        ("A4271 is mine", ()),
        ("call me on the 4th", ()),
        ("4271, no, 4272", ("4271", "4272")),
        ("I have a question", ()),
    ],
)
def test_finds_whole_runs(text: str, found: tuple[str, ...]) -> None:
    assert find_all(ANY, text, CONTEXT) == found


def test_finds_only_what_fits() -> None:
    assert find_all(DIGITS, "my number is four two, seven one", CONTEXT) == ("4271",)


@pytest.mark.parametrize(
    ("wanted", "texts", "expected"),
    [
        ("4271", ["four two", "seven one"], True),
        ("4271", ["four two", "I have a question", "seven one"], False),
        ("427", ["four two seven one"], False),
        ("271", ["4271"], False),
        ("4272", ["four two seven one"], False),
        ("4271", ["hello", '{"customer": {"id": 4271}}'], True),
        ("4271", [], False),
        ("4271", [""], False),
    ],
)
def test_given(wanted: str, texts: list[str], expected: bool) -> None:
    assert given(ANY, wanted, texts, CONTEXT) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my number is four two", True),
        ("four two seven one", False),
        ("four two seven one and then", True),
        ("four two seven one, um", True),
        ("four two double", True),
        ("I have a question", False),
        ("I need help with two invoices", False),
        ("1 2 3 4 5 6 7 8 and", False),
        ("", False),
    ],
)
def test_partial(text: str, expected: bool) -> None:
    assert is_partial(DIGITS, text, CONTEXT) is expected


def test_partial_goes_by_the_examples_where_no_length_is_given() -> None:
    assert is_partial(spec("digits", examples=("4271",)), "four two", CONTEXT)
    assert not is_partial(ANY, "four two", CONTEXT)
    assert is_partial(ANY, "four two um", CONTEXT)


@pytest.mark.parametrize(
    ("kept", "voice"),
    [("4271", "4 2 7 1"), ("1234567", "1 2 3, 4 5 6 7"), ("123456", "1 2 3, 4 5 6"), ("12345678", "1 2 3, 4 5 6, 7 8")],
)
def test_says_it_digit_by_digit(kept: str, voice: str) -> None:
    assert say_back(ANY, kept) == voice
    assert say_back(ANY, kept, spell=True) == voice
    assert said(ANY, kept, f"I have {voice}, is that right?", CONTEXT)


@pytest.mark.parametrize("text", ["So that's 4271.", "four two seven one?", "42 71", "4-2-7-1", "4, 2, 7, 1, correct?"])
def test_was_said(text: str) -> None:
    assert said(ANY, "4271", text, CONTEXT)
    assert not said(ANY, "4272", text, CONTEXT)


def test_masks_any_run_of_three() -> None:
    assert looks_like(ANY, "it's four two seven", CONTEXT)
    assert looks_like(DIGITS, "four two", CONTEXT)
    assert not looks_like(DIGITS, "I have two questions", CONTEXT)


def test_other_languages() -> None:
    assert value(ANY, "vier zwo sieben eins", context("de")) == "4271"
    assert value(ANY, "quatre deux sept un", context("fr")) == "4271"
