"""Free text, a choice among words, and names."""

from __future__ import annotations

import pytest

from runtime.variables import find_all, given, is_partial, looks_like, said, say_back
from tests.runtime.variables.helpers import CONTEXT, code, spec, value

COLOUR = spec("enum", enum=("red", "blue", "light blue", "Royal Blue"))
NAME = spec("person_name")
STRING = spec("string")


@pytest.mark.parametrize(
    ("raw", "kept"),
    [("  a\n b ", "a b"), (12, "12"), (2.5, "2.5"), ("a\x00b\ud800c", "a b c"), ("don’t", "don't")],
)
def test_strings(raw: object, kept: str) -> None:
    assert value(STRING, raw) == kept


def test_strings_are_bounded() -> None:
    assert code(STRING, "x" * 2001) == "too_long"
    assert code(spec("string", max_length=3), "four") == "too_long"
    assert code(spec("string", min_length=3), "ab") == "too_short"
    assert code(STRING, " \x00 ") == "empty"
    assert code(STRING, {"a": 1}) == "not_text"
    assert code(STRING, True) == "not_text"


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("blue", "blue"),
        ("BLUE", "blue"),
        ("the blue one please", "blue"),
        ("light blue, please", "light blue"),
        ("royal blue", "Royal Blue"),
        ("not the red one, the blue one", "blue"),
    ],
)
def test_choices(raw: str, kept: str) -> None:
    assert value(COLOUR, raw) == kept


@pytest.mark.parametrize(
    ("raw", "why"),
    [("red or blue", "ambiguous"), ("green", "not_allowed"), ("bluebell", "not_allowed"), (True, "not_text")],
)
def test_no_choice(raw: object, why: str) -> None:
    assert code(COLOUR, raw) == why


def test_choices_in_figures_and_with_signs() -> None:
    sizes = spec("enum", enum=("2", "10", "to_be_decided", "+", "A"))
    assert value(sizes, "two") == "2"
    assert value(sizes, 10) == "10"
    assert value(sizes, "to be decided") == "to_be_decided"
    assert value(sizes, "+") == "+"
    assert value(spec("enum", enum=("a", "A")), "A") == "A"
    assert code(spec("enum", enum=("a", "A")), "the a") == "ambiguous"


def test_finds_choices() -> None:
    assert find_all(COLOUR, "red or light blue", CONTEXT) == ("light blue", "red")
    assert looks_like(COLOUR, "something red", CONTEXT)


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("my name is anna maria schmidt", "Anna Maria Schmidt"),
        ("Anna Schmidt", "Anna Schmidt"),
        ("it's Ronald McDonald", "Ronald McDonald"),
        ("s m i t h", "Smith"),
        ("S-M-I-T-H", "Smith"),
        ("anna s m i t h", "Anna Smith"),
        ("Smith, s m i t h", "Smith"),
        ("smith, that's spelled s m i t h", "Smith"),
        ("um, this is anna speaking", "Anna"),
        ("I'm o'brien", "O'Brien"),
        ("jean-luc picard please", "Jean-Luc Picard"),
        ("ludwig van beethoven", "Ludwig van Beethoven"),
        ("ANNA SCHMIDT", "Anna Schmidt"),
        ("Dr. Müller", "Dr. Müller"),
        ("J. R. Smith", "J. R. Smith"),
        ("mein name ist anna", "Anna"),
        ("the name's bond", "Bond"),
        ("l i", "Li"),
        ("anna maria schmidt is my name", "Anna Maria Schmidt"),
        ("hi this is bob calling about my invoice", "Bob"),
        ("S as in Sierra, m, i for india, t, h", "Smith"),
    ],
)
def test_names(raw: str, kept: str) -> None:
    assert value(NAME, raw) == kept


@pytest.mark.parametrize("raw", ["I have a question", "4271", "anna 7", 12, "!?", "x" * 101, "what is your name"])
def test_no_names(raw: object) -> None:
    assert code(NAME, raw) in {"not_a_name", "too_long"}


def test_names_given_spelled_and_said() -> None:
    assert given(NAME, "Anna Maria Schmidt", ["well, my name is anna maria schmidt"], CONTEXT)
    assert given(NAME, "Smith", ["it's s m i t h"], CONTEXT)
    assert not given(NAME, "Anna", ["my name is joanna"], CONTEXT)
    assert say_back(NAME, "Jo Smith", spell=True) == "J, O; S, M, I, T, H"
    assert said(NAME, "Smith", "Smith, S, M, I, T, H. Right?", CONTEXT)
    assert said(NAME, "Smith", "S-M-I-T-H, right?", CONTEXT)
    assert is_partial(NAME, "it's s m i", CONTEXT)
    assert not is_partial(NAME, "Anna Smith", CONTEXT)
    assert not looks_like(NAME, "Anna Smith", CONTEXT)
