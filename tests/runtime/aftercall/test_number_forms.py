"""Which writings of a telephone number are found, and which digits are left alone; alike in Python and in Postgres."""

from __future__ import annotations

import pytest

from runtime.aftercall.number_forms import NumberForms

GERMAN = (
    "+491701234567",
    "00491701234567",
    "011491701234567",
    "491701234567",
    "01701234567",
    "0170 1234567",
    "0170/1234567",
    "0170-123-45-67",
    "(0170) 123 45 67",
    "+49 170 1234567",
    "+49 (0)170 1234567",
    "0049 (0) 170 / 1234567",
    "0 1 7 0 1 2 3 4 5 6 7",
    "0170, 123, 4567",
    "0170\u00a01234567",
    "0170\\u00a01234567",
    "0170\u20131234567",
    "sip:+491701234567@carrier.example",
    "sip:%2B491701234567@carrier.example",
    "call-_+491701234567_x7",
    "Tel.01701234567",
)
NOT_GERMAN = (
    "1491701234567",
    "4917012345678",
    "0.491701234567",
    "01701234568",
    "017012345678",
    "901701234567",
    "1701234567",
    "+43 170 1234567",
    "+43 (0)170 1234567",
    "+41 0170 1234567",
    "0170 - 1 - - - 234567",
    "",
)
AMERICAN = ("+14155550100", "1-415-555-0100", "(415) 555-0100", "415.555.0100", "4155550100", "+1 (415) 555-0100")
NOT_AMERICAN = ("+44 415 555 0100", "24155550100", "41555501001", "415 555 010")


@pytest.mark.parametrize("text", GERMAN)
def test_a_german_number_is_found_as_people_write_it(text: str) -> None:
    forms = NumberForms("+491701234567")
    assert forms.within(text)
    assert forms.within(f"ring {text}, please")
    assert "•••" in forms.masked(f"ring {text}, please")
    assert "234567" not in forms.masked(text).replace(" ", "")


@pytest.mark.parametrize("text", NOT_GERMAN)
def test_other_digits_are_left_alone(text: str) -> None:
    assert not NumberForms("+491701234567").within(text)


def test_a_country_without_a_leading_zero_writes_the_bare_number_too() -> None:
    forms = NumberForms("+14155550100")
    assert all(forms.within(text) for text in AMERICAN)
    assert not any(forms.within(text) for text in NOT_AMERICAN)
    assert NumberForms("+34600111222").within("600 111 222")


def test_an_italian_zero_belongs_to_the_number() -> None:
    forms = NumberForms("+390612345678")
    assert forms.within("06 1234 5678")
    assert not forms.within("6 1234 5678")


def test_json_is_masked_in_keys_texts_and_numbers() -> None:
    forms = NumberForms("+491701234567")
    value = {"0170 1234567": 491701234567, "list": ["x", {"a": "0049 170 1234567!"}], "n": 5, "b": True, "f": 1.5}
    assert forms.masked(value) == {"•••": "•••", "list": ["x", {"a": "•••!"}], "n": 5, "b": True, "f": 1.5}


def test_a_covered_line_is_as_long_as_before() -> None:
    forms = NumberForms("+491701234567")
    line = "grüße an 0170 1234567 und +49 170 1234567 \udcff\n".encode("utf-8", "surrogateescape")
    covered = forms.covered(line)
    assert len(covered) == len(line)
    assert b"1234567" not in covered
    assert forms.covered(b"nothing of theirs\n") == b"nothing of theirs\n"
