"""Integers and numbers in figures and in words."""

from __future__ import annotations

import pytest

from runtime.variables import find_all, looks_like, said, say_back
from tests.runtime.variables.helpers import CONTEXT, code, context, spec, value

INTEGER = spec("integer")
NUMBER = spec("number")


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (5, 5),
        (5.0, 5),
        ("5", 5),
        ("-5", -5),
        ("twenty five", 25),
        ("twenty-five please", 25),
        ("there are three of us", 3),
        ("a hundred and twenty", 120),
        ("two thousand five hundred", 2500),
        ("minus three", -3),
        ("a dozen", 12),
        ("half a dozen", 6),
        ("two dozen", 24),
        ("a couple of", 2),
        ("one five", 15),
        ("nineteen eighty five", 1985),
        ("1,200", 1200),
        ("one", 1),
        ("a million", 1_000_000),
        ("5 million", 5_000_000),
        ("1 000", 1000),
        ("one zero five", 105),
    ],
)
def test_integers(raw: object, kept: int) -> None:
    assert value(INTEGER, raw) == kept
    assert type(value(INTEGER, raw)) is int


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (2.5, 2.5),
        ("two point five", 2.5),
        ("two and a half", 2.5),
        ("one and a half hours", 1.5),
        ("a and a half", 1.5),
        ("three and three quarters", 3.75),
        ("zero point one", 0.1),
        ("point five", 0.5),
        ("a half", 0.5),
        ("2.5 thousand", 2500),
        ("1,200.50", 1200.5),
        ("minus two point five", -2.5),
        ("1e3", 1000),
    ],
)
def test_numbers(raw: object, kept: float) -> None:
    assert value(NUMBER, raw) == kept


@pytest.mark.parametrize(
    ("of", "raw", "why"),
    [
        (INTEGER, "two point five", "not_whole"),
        (INTEGER, 2.5, "not_whole"),
        (INTEGER, "three or four", "ambiguous"),
        (INTEGER, "hello", "not_a_number"),
        (NUMBER, "one third", "not_a_number"),
        (INTEGER, True, "not_a_number"),
        (INTEGER, [], "empty"),
        (INTEGER, [1], "not_a_number"),
        (NUMBER, float("inf"), "out_of_range"),
        (NUMBER, float("nan"), "out_of_range"),
        (NUMBER, 10**400, "out_of_range"),
        (NUMBER, "9" * 400, "not_a_number"),
    ],
)
def test_rejects(of: object, raw: object, why: str) -> None:
    assert code(of, raw) == why  # type: ignore[arg-type]


def test_separators_follow_the_language() -> None:
    assert value(NUMBER, "zwei komma fünf", context("de")) == 2.5
    assert value(NUMBER, "ca. 1.200,50 Stück", context("de")) == 1200.5
    assert value(NUMBER, "etwa 1.200 Stück", context("de")) == 1200


def test_finds_and_says() -> None:
    assert find_all(INTEGER, "two adults and three children", CONTEXT) == (2, 3)
    assert find_all(INTEGER, "2.5 kilos", CONTEXT) == ()
    assert say_back(NUMBER, -2.5) == "minus 2.5"
    assert said(NUMBER, 2.5, "so two point five, right?", CONTEXT)
    assert said(INTEGER, 25, "twenty five", CONTEXT)
    assert not said(INTEGER, 25, "twenty six", CONTEXT)
    assert looks_like(INTEGER, "about five", CONTEXT)
