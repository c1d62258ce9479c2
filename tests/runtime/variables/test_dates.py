"""Dates, said on Friday the first of May 2026 in Berlin."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from runtime.variables import Context, find_all, given, is_partial, looks_like, said, say_back, warm
from tests.runtime.variables.helpers import CONTEXT, code, context, spec, value

DATE = spec("date", name="appointment")
BIRTH = spec("date", name="date_of_birth")


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("2026-05-03", "2026-05-03"),
        ("the third of May", "2026-05-03"),
        ("May 3rd", "2026-05-03"),
        ("may three", "2026-05-03"),
        ("on the 3rd of may please", "2026-05-03"),
        ("third May", "2026-05-03"),
        ("the second of june", "2026-06-02"),
        ("may twenty first", "2026-05-21"),
        ("the first of may", "2026-05-01"),
        ("april 30th", "2027-04-30"),
        ("feb 29", "2028-02-29"),
        ("the third of may twenty twenty seven", "2027-05-03"),
        ("may third, 2027", "2027-05-03"),
        ("the third of the fifth", "2026-05-03"),
        ("Sunday the third of May", "2026-05-03"),
        ("today", "2026-05-01"),
        ("May third next year", "2027-05-03"),
        ("3.5.", "2026-05-03"),
        ("3/5", "2026-05-03"),
        ("tomorrow", "2026-05-02"),
        ("tomorrow morning", "2026-05-02"),
        ("the day after tomorrow", "2026-05-03"),
        ("yesterday", "2026-04-30"),
        ("tuesday", "2026-05-05"),
        ("next Tuesday", "2026-05-05"),
        ("friday", "2026-05-08"),
        ("this friday", "2026-05-01"),
        ("next friday", "2026-05-08"),
        ("tuesday next week", "2026-05-05"),
        ("friday next week", "2026-05-08"),
        ("last tuesday", "2026-04-28"),
        ("tuesday the fifth", "2026-05-05"),
        ("in two weeks", "2026-05-15"),
        ("in a week", "2026-05-08"),
        ("in three days", "2026-05-04"),
        ("two weeks from now", "2026-05-15"),
        ("three days ago", "2026-04-28"),
        ("a week from monday", "2026-05-11"),
        ("in a fortnight", "2026-05-15"),
        ("03.05.2026", "2026-05-03"),
        ("3.5.26", "2026-05-03"),
        ("03/05/2026", "2026-05-03"),
        ("not the third of may, the fourth of may", "2026-05-04"),
        ("2026-05-03T15:30:00+02:00", "2026-05-03"),
    ],
)
def test_reads(raw: str, kept: str) -> None:
    assert value(DATE, raw) == kept


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("the third of May", "2025-05-03"),
        ("first of may", "2026-05-01"),
        ("the third of may nineteen eighty five", "1985-05-03"),
        ("May 3rd, eighty five", "1985-05-03"),
        ("the third of may nineteen oh five", "1905-05-03"),
        ("the third of may two thousand and five", "2005-05-03"),
        ("may the third twenty ten", "2010-05-03"),
        ("03.05.85", "1985-05-03"),
        ("03.05.26", "2026-05-03"),
        ("03.05.27", "1927-05-03"),
        ("29 february", "2024-02-29"),
        ("oh three oh five eighty five", "1985-05-03"),
        ("my date of birth is 3 5 1985", "1985-05-03"),
    ],
)
def test_births_lie_in_the_past(raw: str, kept: str) -> None:
    assert value(BIRTH, raw) == kept
    assert value(spec("date", description="When were you born?"), raw) == kept


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("the thirty first of june", "impossible"),
        ("the thirtieth of february", "impossible"),
        ("2026-13-01", "impossible"),
        ("may 45", "impossible"),
        ("on the fifth of", "incomplete"),
        ("on the fifth", "incomplete"),
        ("in May", "incomplete"),
        ("may twenty twenty seven", "incomplete"),
        ("next week", "incomplete"),
        ("next month", "incomplete"),
        ("2027", "incomplete"),
        ("monday the third of may", "mismatch"),
        ("the third or fourth of may or the fifth of june", "ambiguous"),
        ("I have a question", "not_a_date"),
        ("four two seven one", "not_a_date"),
        (20260503, "not_a_date"),
        ("in 9999 weeks and 2 days ago 9999", "ambiguous"),
    ],
)
def test_rejects(raw: object, why: str) -> None:
    assert code(DATE, raw) == why


def test_the_region_orders_day_and_month() -> None:
    assert value(DATE, "05/03/2026", context(region="US")) == "2026-05-03"
    assert value(DATE, "13/05/2026", context(region=None)) == "2026-05-13"
    assert code(DATE, "05/03/2026", context(region=None)) == "ambiguous"


@pytest.mark.parametrize(
    ("language", "raw", "kept"),
    [
        ("de", "am dritten Mai", "2026-05-03"),
        ("de", "3. Mai 2027", "2027-05-03"),
        ("de", "morgen", "2026-05-02"),
        ("de", "nächsten Dienstag", "2026-05-05"),
        ("fr", "le trois mai", "2026-05-03"),
        ("fr", "demain", "2026-05-02"),
        ("es", "el tres de mayo", "2026-05-03"),
        ("it", "domani", "2026-05-02"),
        ("xx", "2026-05-03", "2026-05-03"),
    ],
)
def test_other_languages(language: str, raw: str, kept: str) -> None:
    warm(language)
    assert value(DATE, raw, context(language)) == kept


def test_today_is_the_sessions() -> None:
    late = datetime(2026, 5, 1, 23, 30, tzinfo=ZoneInfo("UTC"))
    assert value(DATE, "tomorrow", Context(now=late)) == "2026-05-02"
    assert value(DATE, "tomorrow", Context(now=late.astimezone(ZoneInfo("Asia/Tokyo")))) == "2026-05-03"


def test_the_end_of_time() -> None:
    end = Context(now=datetime(9999, 12, 31, 12, tzinfo=ZoneInfo("UTC")))
    assert code(DATE, "tomorrow", end) == "impossible"
    assert code(DATE, "in 9999 weeks", end) == "impossible"
    start = Context(now=datetime(1, 1, 1, 12, tzinfo=ZoneInfo("UTC")))
    assert code(BIRTH, "december 31", start) == "impossible"


def test_finds_the_most_complete_first() -> None:
    text = "tomorrow, or the third of May, or May 4th 2027"
    assert find_all(DATE, text, CONTEXT) == ("2027-05-04", "2026-05-03", "2026-05-02")
    assert find_all(DATE, "I may have a question", CONTEXT) == ()
    assert given(DATE, "2026-05-03", ["the third of", "May please"], CONTEXT)
    assert not given(DATE, "2026-05-04", ["the third of May"], CONTEXT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the third of", True),
        ("on the fifth", True),
        ("it's in may", True),
        ("next", True),
        ("the third of may nineteen", True),
        ("the third of may", False),
        ("next tuesday", False),
        ("the third of may nineteen eighty five", False),
        ("I have a question", False),
    ],
)
def test_partial(text: str, expected: bool) -> None:
    assert is_partial(DATE, text, CONTEXT) is expected


def test_says_it() -> None:
    assert say_back(DATE, "2026-05-03") == "Sunday, the 3rd of May 2026"
    assert say_back(BIRTH, "1985-05-11") == "the 11th of May 1985"
    assert say_back(DATE, "2026-05-03", "de") == "Sonntag, der 3. Mai 2026"
    assert say_back(DATE, "2026-05-03", "pt") == "2026-05-03"
    assert said(DATE, "2026-05-03", "So Sunday, the third of May 2026, right?", CONTEXT)
    assert not said(DATE, "2026-05-03", "the 4th of May", CONTEXT)


def test_masks() -> None:
    assert looks_like(DATE, "sometime in may", CONTEXT)
    assert not looks_like(DATE, "hello there", CONTEXT)
