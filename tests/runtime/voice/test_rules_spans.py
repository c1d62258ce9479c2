"""Runs of words that make a value, and the figures that belong to something else."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.variables import VariableSpec
from runtime.voice.local.rules_spans import counted, last_figures, without_choices, without_counts, without_plurals
from runtime.voice.local.rules_values import gather

KIND = VariableSpec("kind", "enum", "the kind of pizza", enum=("margherita", "four seasons", "a_la_carte"))
HOW_MANY = VariableSpec("quantity", "integer", "how many pizzas")
PARTY = VariableSpec("party_size", "integer", "the number of people")
AT = VariableSpec("booking_time", "time", "the time")
SPECS = (KIND, HOW_MANY, PARTY, AT)


def found(text: str, asked: str | None = None, known: str = "", target: str = "", open_: str = "") -> dict[str, Any]:
    values = dict.fromkeys(known.split(), "x")
    return gather(SPECS, text, asked, values, frozenset(target.split()), frozenset(open_.split()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two large margheritas please", {"kind": "margherita", "quantity": 2}),
        ("no wait, four seasons", {"kind": "four seasons"}),
        ("three Four Seasons", {"kind": "four seasons", "quantity": 3}),
    ],
)
def test_no_words_serve_a_choice_and_a_number(text: str, expected: dict[str, Any]) -> None:
    assert found(text, target="kind quantity") == expected
    assert found(text, target="kind quantity", known="kind").get("quantity") == expected.get("quantity")


def test_an_asked_number_is_not_taken_out_of_a_choice() -> None:
    assert found("the four seasons", asked="quantity") == {"kind": "four seasons"}


@pytest.mark.parametrize("target", ["", "booking_time", "party_size booking_time"])
def test_a_counted_figure_corrects_what_it_counts_and_no_time(target: str) -> None:
    known = "party_size booking_time"
    assert found("actually we are five people", known=known, target=target) == {"party_size": 5}


def test_a_time_beside_a_count_is_still_heard() -> None:
    heard = found("five people at seven in the evening", asked="booking_time", target="party_size booking_time")
    assert heard == {"party_size": 5, "booking_time": "at seven in the evening"}


def test_a_dictated_number_holds_no_time() -> None:
    said = "my number is oh one seven oh one two three four five six seven"
    assert "booking_time" not in found(said, target="booking_time")
    assert found(f"at seven in the evening, {said}", target="booking_time")["booking_time"] == "at seven in the evening"


def test_what_is_open_is_given_anew_without_a_word_of_correction() -> None:
    known = "party_size booking_time"
    assert found("at seven in the evening", known=known, target=known) == {}
    assert found("at seven in the evening", known=known, target=known, open_=known) == {
        "booking_time": "at seven in the evening"
    }


def test_plurals_become_choices() -> None:
    assert without_plurals(KIND, "two Margheritas") == "two Margherita"
    sizes = VariableSpec("x", "enum", enum=("glass", "box", "boxes"))
    assert without_plurals(sizes, "glasses, boxes") == "glass, boxes"


def test_choices_with_figures_are_taken_out() -> None:
    assert without_choices(SPECS, "two four seasons") == "two  , "
    assert without_choices([VariableSpec("n", "enum", enum=("four", "a"))], "four a") == "four a"


def test_counts_are_those_of_telling_words() -> None:
    assert counted(PARTY, "we are 5 people")
    assert not counted(PARTY, "the number is five")
    assert without_counts(AT, SPECS, "five people at five") == " ,  at five"
    assert without_counts(AT, SPECS, "five past seven") == "five past seven"


@pytest.mark.parametrize(
    ("text", "tail"),
    [("account one two, three.", "one two, three."), ("12 and 34", "12 and 34"), ("four of them", ""), ("", "")],
)
def test_last_figures(text: str, tail: str) -> None:
    assert last_figures(text) == tail
