"""Times of day, and dates with times."""

from __future__ import annotations

import pytest

from runtime.variables import find_all, is_partial, looks_like, said, say_back
from tests.runtime.variables.helpers import CONTEXT, code, context, spec, value

TIME = spec("time")
MOMENT = spec("datetime")


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("15:30", "15:30"),
        ("03:30", "03:30"),
        ("3:30", "15:30"),
        ("15.30", "15:30"),
        ("half past three", "15:30"),
        ("half past nine", "09:30"),
        ("half past three in the morning", "03:30"),
        ("quarter to five p m", "16:45"),
        ("a quarter past eight", "08:15"),
        ("ten to five", "16:50"),
        ("twenty past seven in the evening", "19:20"),
        ("three thirty pm", "15:30"),
        ("3:30 p.m.", "15:30"),
        ("three p m", "15:00"),
        ("3pm", "15:00"),
        ("nine", "09:00"),
        ("at nine in the morning", "09:00"),
        ("nine o'clock", "09:00"),
        ("nine at night", "21:00"),
        ("seven tonight", "19:00"),
        ("three", "15:00"),
        ("twelve", "12:00"),
        ("12 am", "00:00"),
        ("12 pm", "12:00"),
        ("noon", "12:00"),
        ("midnight", "00:00"),
        ("quarter to midnight", "23:45"),
        ("fifteen thirty", "15:30"),
        ("nine oh five", "09:05"),
        ("half three", "15:30"),
        ("this evening at eight", "20:00"),
        ("eighteen hundred hours", "18:00"),
    ],
)
def test_reads(raw: str, kept: str) -> None:
    assert value(TIME, raw) == kept


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("25:70", "impossible"),
        ("at twenty six", "impossible"),
        ("at three or at four", "ambiguous"),
        ("hello", "not_a_time"),
        ("in the morning", "incomplete"),
        (930, "not_a_time"),
        ("in 2 hours", "not_a_time"),
    ],
)
def test_rejects(raw: object, why: str) -> None:
    assert code(TIME, raw) == why


def test_other_languages() -> None:
    assert value(TIME, "fünfzehn Uhr dreißig", context("de")) == "15:30"
    assert value(TIME, "um neun Uhr", context("de")) == "09:00"
    assert value(TIME, "15h30", context("fr")) == "15:30"


def test_finds_only_with_a_sign_of_a_time() -> None:
    assert find_all(TIME, "at half past three with two people", CONTEXT) == ("15:30",)
    assert find_all(TIME, "I have nine invoices", CONTEXT) == ()
    assert find_all(TIME, "around nine", CONTEXT) == ("09:00",)
    assert find_all(TIME, "by 3 days", CONTEXT) == ()


def test_partial_says_and_masks() -> None:
    assert is_partial(TIME, "half past", CONTEXT)
    assert is_partial(TIME, "I could come at", CONTEXT)
    assert not is_partial(TIME, "half past three", CONTEXT)
    assert say_back(TIME, "15:30") == "3:30 pm"
    assert say_back(TIME, "09:00") == "9 am"
    assert say_back(TIME, "12:00") == "noon"
    assert say_back(TIME, "15:30", "de") == "15 Uhr 30"
    assert say_back(TIME, "15:30", "fr") == "15:30"
    assert said(TIME, "15:30", "So half past three in the afternoon?", CONTEXT)
    assert not said(TIME, "15:30", "So half past four?", CONTEXT)
    assert looks_like(TIME, "nine", CONTEXT)


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("tomorrow at half past three", "2026-05-02T15:30:00+02:00"),
        ("next tuesday at nine a m", "2026-05-05T09:00:00+02:00"),
        ("half past three tomorrow", "2026-05-02T15:30:00+02:00"),
        ("the third of december at 10:15", "2026-12-03T10:15:00+01:00"),
        ("tomorrow morning at seven", "2026-05-02T07:00:00+02:00"),
        ("tomorrow evening at seven", "2026-05-02T19:00:00+02:00"),
        ("tonight at eight", "2026-05-01T20:00:00+02:00"),
        ("this evening at eight", "2026-05-01T20:00:00+02:00"),
        ("tomorrow at noon", "2026-05-02T12:00:00+02:00"),
        ("tomorrow nine", "2026-05-02T09:00:00+02:00"),
        ("the third of may at fifteen thirty", "2026-05-03T15:30:00+02:00"),
        ("the third of may fifteen thirty", "2026-05-03T15:30:00+02:00"),
        ("in two hours", "2026-05-01T12:00:00+02:00"),
        ("in half an hour", "2026-05-01T10:30:00+02:00"),
        ("2026-05-03T15:30:00+02:00", "2026-05-03T15:30:00+02:00"),
        ("2026-05-03T13:30:00Z", "2026-05-03T15:30:00+02:00"),
        ("2026-05-03 15:30", "2026-05-03T15:30:00+02:00"),
    ],
)
def test_moments(raw: str, kept: str) -> None:
    assert value(MOMENT, raw) == kept


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("tomorrow", "incomplete"),
        ("at nine", "incomplete"),
        ("next week at nine", "incomplete"),
        ("tomorrow or tuesday at nine", "ambiguous"),
        ("tomorrow at nine or at ten", "ambiguous"),
        ("the thirty first of june at nine", "impossible"),
        ("2027-03-28T02:30:00", "impossible"),
        ("2026-13-03T02:30:00", "impossible"),
        ("0001-01-01T00:00:00+14:00", "impossible"),
        ("I have a question", "not_a_datetime"),
        (0, "not_a_datetime"),
    ],
)
def test_no_moments(raw: object, why: str) -> None:
    assert code(MOMENT, raw) == why


def test_moments_found_said_and_partial() -> None:
    kept = "2026-05-05T09:00:00+02:00"
    assert find_all(MOMENT, "could I come next tuesday at nine", CONTEXT) == (kept,)
    assert say_back(MOMENT, kept) == "Tuesday, the 5th of May 2026 at 9 am"
    assert say_back(MOMENT, kept, "de") == "Dienstag, der 5. Mai 2026 um 9 Uhr"
    assert said(MOMENT, kept, f"That is {say_back(MOMENT, kept)}.", CONTEXT)
    assert is_partial(MOMENT, "next tuesday", CONTEXT)
    assert is_partial(MOMENT, "next tuesday at", CONTEXT)
    assert not is_partial(MOMENT, "next tuesday at nine", CONTEXT)
    assert not is_partial(MOMENT, "I have a question", CONTEXT)
    assert looks_like(MOMENT, "tomorrow", CONTEXT)
