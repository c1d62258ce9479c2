"""Numbers in words become figures."""

from __future__ import annotations

import pytest

from runtime.variables.spoken import figures


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("four two seven one", "4 2 7 1"),
        ("four-two-seven-one", "4 2 7 1"),
        ("forty two seventy-one", "42 71"),
        ("double five oh", "5 5 0"),
        ("triple zero one", "0001"),
        ("oh oh seven", "007"),
        ("double oh seven", "007"),
        ("nought point five", "0.5"),
        ("nineteen oh five", "19 05"),
        ("oh, one more thing", "oh, 1 more thing"),
        ("ten o'clock", "10 o'clock"),
        ("mr o'brien", "mr o'brien"),
        ("two oh wait", "2 oh wait"),
        ("the second of may", "the 2nd of may"),
        ("٤٢٧١", "4271"),
        ("４２７１", "4271"),
        ("a\x00b \ud800 one", "a b 1"),
    ],
)
def test_english(said: str, written: str) -> None:
    assert figures(said) == written


@pytest.mark.parametrize(
    ("language", "said", "written"),
    [
        ("de", "vier zwo sieben eins", "4 2 7 1"),
        ("de-AT", "einundzwanzig", "21"),
        ("fr", "quatre-vingt dix-sept", "97"),
        ("pl", "cztery 4", "cztery 4"),
        ("", "Four", "four"),
    ],
)
def test_other_languages(language: str, said: str, written: str) -> None:
    assert figures(said, language) == written
