"""What holds for every type and any input: total, idempotent, and nothing is given that nobody said."""

from __future__ import annotations

import json
from datetime import date, datetime, time
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from runtime.variables import (
    DATA_TYPES,
    Accepted,
    Rejected,
    VariableSpec,
    affirmation,
    find_all,
    given,
    is_empty,
    is_partial,
    json_schema,
    keypad_value,
    looks_like,
    normalise,
    said,
    say_back,
    vocabulary,
)
from runtime.variables.spoken import DIGIT_WORDS
from tests.examples import examples
from tests.runtime.variables.helpers import CONTEXT, context, spec

QUICK = settings(deadline=None, max_examples=examples(60), database=None)

SAID = (
    "one two three five twelve twenty ninety hundred thousand million billion oh double triple zero point minus half dozen and a the "
    "first third fifth of may june next monday tuesday tomorrow in weeks days quarter past to pm am at noon morning 3 12 30 2026 85 "
    "2026-05-03 15:30 03.05.26 1,200.50 $ € euros cents pounds plus + @ dot john smith example com gmail underscore dash s m i t h "
    "yes no not right but wait my number is um , . - / ( ) o'clock p m ago week + 49 0171 1234567 red blue"
)
SPEECH = st.lists(st.sampled_from(SAID.split()), max_size=12).map(" ".join)
TEXTS = st.one_of(
    SPEECH, st.text(st.characters(exclude_categories=()), max_size=60), st.text("0123456789 ,.-+:/@", max_size=30)
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=5), inner, max_size=3),
        st.fixed_dictionaries({"amount": inner, "currency": inner}),
    ),
    max_leaves=4,
)
REGIONS = st.sampled_from([None, "DE", "US", "GB", "XX"])
LANGUAGES = st.sampled_from(["en", "en-US", "de", "fr", "es", "it", "ja", "xx", ""])
KINDS = pytest.mark.parametrize("kind", list(DATA_TYPES))


def a_spec(kind: str, **fields: Any) -> VariableSpec:
    return spec(kind, enum=("red", "blue", "12") if kind == "enum" else (), **fields)


@KINDS
@QUICK
@for_all(raw=JSON, region=REGIONS, language=LANGUAGES)
def test_normalising_is_total_and_idempotent(kind: str, raw: object, region: str | None, language: str) -> None:
    within = context(language, region)
    result = normalise(a_spec(kind), raw, within)
    if isinstance(result, Accepted):
        json.dumps(result.value, allow_nan=False).encode()
        assert not is_empty(raw)
        assert normalise(a_spec(kind), result.value, within) == result
    else:
        assert result.code
        assert result.why


@KINDS
@QUICK
@for_all(text=TEXTS, region=REGIONS, language=LANGUAGES)
def test_questions_about_a_text_are_total(kind: str, text: str, region: str | None, language: str) -> None:
    of, within = a_spec(kind), context(language, region)
    assert is_partial(of, text, within) in {True, False}
    assert looks_like(of, text, within) in {True, False}
    assert affirmation(text, language) in {"yes", "no", None}
    for value in find_all(of, text, within):
        assert normalise(of, value, within) == Accepted(value), value
        assert given(of, value, [text], within)
        assert isinstance(say_back(of, value, language), str)
        assert isinstance(say_back(of, value, language, spell=True), str)
        assert isinstance(said(of, value, text, within, language), bool)


@KINDS
@QUICK
@for_all(data=st.data(), text=TEXTS)
def test_why_never_holds_what_was_given(kind: str, data: st.DataObject, text: str) -> None:
    secret = data.draw(st.integers(10**6, 10**9).map(str))
    of = a_spec(kind, min_length=40, max_length=50, pattern="no")
    result = normalise(of, f"{text} {secret}", CONTEXT)
    assert not isinstance(result, Rejected) or secret not in result.why


@QUICK
@for_all(digits=st.text("0123456789", min_size=1, max_size=20), cuts=st.lists(st.integers(1, 19), max_size=3))
def test_dictated_digits_are_given_whole_and_never_in_part(digits: str, cuts: list[int]) -> None:
    of = spec("digits")
    edges = [0, *sorted({cut for cut in cuts if cut < len(digits)}), len(digits)]
    turns = [" ".join(DIGIT_WORDS[int(digit)] for digit in digits[a:b]) for a, b in pairwise(edges)]
    assert given(of, digits, turns, CONTEXT)
    assert given(of, digits, [digits], CONTEXT)
    assert given(of, digits, [say_back(of, digits)], CONTEXT)
    assert normalise(of, ", ".join(turns), CONTEXT) == Accepted(digits)
    if len(digits) > 1:
        assert not given(of, digits[:-1] + str((int(digits[-1]) + 1) % 10), turns, CONTEXT)
        assert digits[1:] == digits[:1] * (len(digits) - 1) or not given(of, digits[1:], [digits], CONTEXT)


@QUICK
@for_all(
    wanted=st.text("0123456789", min_size=4, max_size=8),
    others=st.lists(st.text("0123456789", min_size=4, max_size=8), max_size=3),
)
def test_a_number_nobody_said_is_not_given(wanted: str, others: list[str]) -> None:
    texts = [f"it was {number} I think" for number in others if number != wanted]
    assert not given(spec("digits"), wanted, texts, CONTEXT)


@QUICK
@for_all(number=st.integers(1_500_000_000, 1_799_999_999))
def test_phones_said_back_are_given(number: int) -> None:
    kept = f"+49{number}"
    if not phonenumbers.is_valid_number(phonenumbers.parse(kept)):
        return
    of = spec("phone")
    spoken = "oh " + " ".join(DIGIT_WORDS[int(digit)] for digit in str(number))
    for text in (kept, say_back(of, kept), f"0{number}", spoken):
        assert given(of, kept, [text], CONTEXT), text
        assert not is_partial(of, text, CONTEXT)
    other = kept[:-1] + str((int(kept[-1]) + 1) % 10)
    assert not given(of, other, [spoken], CONTEXT)


@QUICK
@for_all(
    name=st.from_regex(r"[bcdfghj]{1,6}[1-9]{0,3}([._+-][bcdfghj]{2,6})?", fullmatch=True),
    domain=st.from_regex(r"[klmnpq]{2,8}(-[klmnpq]{2,4})?\.(com|de|co\.uk)", fullmatch=True),
)
def test_addresses_said_back_are_given(name: str, domain: str) -> None:
    of, kept = spec("email"), f"{name}@{domain}"
    for text in (kept, say_back(of, kept), say_back(of, kept, spell=True)):
        assert given(of, kept, [f"It is {text}."], CONTEXT), text
        assert said(of, kept, text, CONTEXT)
        assert not given(of, f"z{kept}", [text], CONTEXT)


@QUICK
@for_all(day=st.dates(date(1800, 1, 1), date(2199, 12, 31)), birth=st.booleans())
def test_dates_said_back_are_given(day: date, birth: bool) -> None:
    of = spec("date", name="birthday" if birth else "day")
    kept = day.isoformat()
    assert given(of, kept, [say_back(of, kept)], CONTEXT)
    assert normalise(of, say_back(of, kept), CONTEXT) == Accepted(kept)


@QUICK
@for_all(clock=st.times().map(lambda each: each.replace(second=0, microsecond=0, tzinfo=None)))
def test_times_said_back_are_given(clock: time) -> None:
    kept = clock.strftime("%H:%M")
    assert given(spec("time"), kept, [say_back(spec("time"), kept)], CONTEXT)


@QUICK
@for_all(moment=st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(ZoneInfo("Europe/Berlin"))))  # noqa: DTZ001
def test_moments_said_back_are_given(moment: datetime) -> None:
    of = spec("datetime")
    result = normalise(of, moment.replace(second=0, microsecond=0).isoformat(), CONTEXT)
    assert isinstance(result, Accepted)
    spoken = normalise(of, say_back(of, result.value), CONTEXT)
    assert spoken == result or moment.hour in {2, 3}  # in autumn one hour comes twice


@QUICK
@for_all(number=st.integers(-(10**12), 10**12), decimals=st.integers(0, 999))
def test_numbers_said_back_are_given(number: int, decimals: int) -> None:
    assert given(spec("integer"), number, [say_back(spec("integer"), number)], CONTEXT)
    value = float(Decimal(f"{abs(number) % 10**9}.{decimals:03}"))
    result = normalise(spec("number"), value, CONTEXT)
    assert isinstance(result, Accepted)
    assert given(spec("number"), result.value, [say_back(spec("number"), result.value)], CONTEXT)


@QUICK
@for_all(cents=st.integers(100, 10**9), currency=st.sampled_from(["EUR", "USD", "GBP", "SEK"]))
def test_amounts_said_back_are_given(cents: int, currency: str) -> None:
    of = spec("currency")
    result = normalise(of, {"amount": f"{cents // 100}.{cents % 100:02}", "currency": currency}, CONTEXT)
    assert isinstance(result, Accepted)
    assert normalise(of, say_back(of, result.value), CONTEXT) == result


@KINDS
def test_long_texts_take_no_time(kind: str) -> None:
    of = a_spec(kind)
    for text in (
        "1 " * 20_000,
        "one, " * 8_000,
        "a.b@" * 10_000,
        "oh " * 10_000,
        "the third of may " * 2_000,
        "-" * 40_000,
        "s m " * 10_000,
    ):
        find_all(of, text, CONTEXT)
        is_partial(of, text, CONTEXT)
        looks_like(of, text, CONTEXT)


@KINDS
def test_every_type_describes_itself(kind: str) -> None:
    schema = json_schema(a_spec(kind, description="What it is.", min_length=2, max_length=4, examples=("12",)))
    assert schema["type"] in {"string", "integer", "number", "boolean"}
    assert schema["description"].startswith("What it is; ")
    assert all(word == word.lower() and " " not in word for word in vocabulary(a_spec(kind)))
    assert keypad_value(a_spec(kind), "1#") == ("yes" if kind == "boolean" else "1")
