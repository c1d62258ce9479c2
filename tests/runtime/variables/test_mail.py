"""E-mail addresses, written, spoken and spelled."""

from __future__ import annotations

import pytest

from runtime.variables import find_all, given, is_partial, looks_like, said, say_back
from tests.runtime.variables.helpers import CONTEXT, code, context, spec, value

EMAIL = spec("email")


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("john.smith@example.com", "john.smith@example.com"),
        ("John.Smith@Example.COM", "John.Smith@example.com"),
        ("mailto <john@example.com>.", "john@example.com"),
        ("four.seven@example.com", "four.seven@example.com"),
        ("john dot smith at example dot com", "john.smith@example.com"),
        ("My email is john dot smith at example dot com, thanks.", "john.smith@example.com"),
        ("j o h n at gmail dot com", "john@gmail.com"),
        ("J, O, H, N at gmail dot com", "john@gmail.com"),
        ("it's john underscore smith at example dot co dot uk please", "john_smith@example.co.uk"),
        ("john dash smith at my hyphen site dot com", "john-smith@my-site.com"),
        ("john plus news at example dot com", "john+news@example.com"),
        ("john smith at example dot com", "johnsmith@example.com"),
        ("john four two at example dot com", "john42@example.com"),
        ("john.smith at example.com", "john.smith@example.com"),
        ("yes, it is anna at g m x dot d e", "anna@gmx.de"),
        ("a n n a dot s at web dot de", "anna.s@web.de"),
        ("A as in Alpha, n for november, a dot s at web dot de", "ana.s@web.de"),
        ("anna dot schmidt @ example . com", "anna.schmidt@example.com"),
        ("capital a n n a at example dot com", "anna@example.com"),
        ("Sure. anna at example dot com", "anna@example.com"),
    ],
)
def test_reads(raw: str, kept: str) -> None:
    assert value(EMAIL, raw) == kept


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("I have a question", "not_email"),
        ("john dot smith", "not_email"),
        ("john at example", "not_email"),
        ("john@example", "not_email"),
        ("a@b.com or c@d.com", "ambiguous"),
        (17, "not_email"),
        ("@example.com", "not_email"),
    ],
)
def test_rejects(raw: object, why: str) -> None:
    assert code(EMAIL, raw) == why


def test_other_languages() -> None:
    assert value(EMAIL, "anna punkt schmidt ät beispiel punkt de", context("de")) == "anna.schmidt@beispiel.de"
    assert value(EMAIL, "anna arobase exemple point fr", context("fr")) == "anna@exemple.fr"


def test_finds_every_reading() -> None:
    assert find_all(EMAIL, "write to john smith at example dot com", CONTEXT) == (
        "johnsmith@example.com",
        "smith@example.com",
    )
    assert given(EMAIL, "john.smith@example.com", ["it's john dot smith", "at example dot com"], CONTEXT)
    assert not given(EMAIL, "smith@example.com", ["john.smith@example.com"], CONTEXT)
    assert not given(EMAIL, "joan@example.com", ["john at example dot com"], CONTEXT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("john dot smith at", True),
        ("john dot", True),
        ("john dot smith", True),
        ("my email is j o h n", True),
        ("john dot smith at example", True),
        ("john at gmail", True),
        ("john dot smith at example dot", True),
        ("john dot smith at example dot com", False),
        ("john@example.com", False),
        ("I have a question", False),
        ("I am at home", False),
    ],
)
def test_partial(text: str, expected: bool) -> None:
    assert is_partial(EMAIL, text, CONTEXT) is expected


@pytest.mark.parametrize("kept", ["john.smith@example.com", "j_s-42+x@mail.example.co.uk", "a1@b2.org"])
def test_says_it(kept: str) -> None:
    for spell in (False, True):
        assert said(EMAIL, kept, f"I have {say_back(EMAIL, kept, spell=spell)}. Is that right?", CONTEXT), spell


def test_says_it_in_words() -> None:
    assert say_back(EMAIL, "john.smith@example.com") == "john dot smith at example dot com"
    assert say_back(EMAIL, "jo.s@example.com", spell=True) == "J, O, dot, S, at example dot com"


def test_masks() -> None:
    assert looks_like(EMAIL, "john at", CONTEXT)
    assert looks_like(EMAIL, "j o h n", CONTEXT)
    assert not looks_like(EMAIL, "I have a question", CONTEXT)
