"""Yes and no, in a few languages, and what is neither."""

from __future__ import annotations

import pytest

from runtime.variables import affirmation, find_all, looks_like, say_back
from tests.runtime.variables.helpers import CONTEXT, code, spec, value

BOOLEAN = spec("boolean")


@pytest.mark.parametrize(
    "text",
    [
        "yes", "Yes.", "yeah that's right", "correct", "mm-hm", "Mm-hmm", "uh-huh", "yep", "that's right", "that is correct",
        "yes, and I also need an invoice", "yes please", "4271 is correct", "four two seven one, yes", "okay", "right",
        "um, yes", "exactly", "I think so", "of course", "yes, no problem", "that's it", "absolutely", "you got it", "yes yes",
    ],
)  # fmt: skip
def test_yes(text: str) -> None:
    assert affirmation(text) == "yes"


@pytest.mark.parametrize(
    "text",
    [
        "no", "No.", "no that's wrong", "nope it's 4272", "that is not right", "that's not correct", "incorrect", "wrong",
        "I don't think so", "no, I need an invoice", "not quite", "of course not", "no no", "that's wrong", "nah", "uh-uh",
        "no wait, it's 4272", "it isn't right", "not at all", "absolutely not", "no thanks", "that is wrong",
    ],
)  # fmt: skip
def test_no(text: str) -> None:
    assert affirmation(text) == "no"


@pytest.mark.parametrize(
    "text",
    [
        "", "yes but", "yes, no wait", "I need an invoice", "yes, but the last digit is a two", "yesterday", "maybe", "I'm not sure",
        "I don't know", "what?", "yes?", "is that right?", "correct the number please", "right, I need an invoice", "yes and no",
        "no, that's right", "okay but it's 4272", "I have a right to a refund", "yes actually it's seven", "four two seven one",
        "no problem", "hello", "I do have a question", "sorry, can you repeat that", "\x00", "the right number is 4272",
    ],
)  # fmt: skip
def test_neither(text: str) -> None:
    assert affirmation(text) is None


@pytest.mark.parametrize(
    ("language", "text", "answer"),
    [
        ("de", "ja genau", "yes"),
        ("de-DE", "das stimmt", "yes"),
        ("de", "nein, das ist falsch", "no"),
        ("de", "das stimmt nicht", "no"),
        ("de", "ja, aber", None),
        ("fr", "oui, c'est ça", "yes"),
        ("fr", "non merci", "no"),
        ("fr", "oui mais non", None),
        ("es", "Sí, así es", "yes"),
        ("es", "no es correcto", "no"),
        ("it", "sì, esatto", "yes"),
        ("it", "no, è sbagliato", "no"),
        ("xx", "yes", "yes"),
    ],
)
def test_other_languages(language: str, text: str, answer: str | None) -> None:
    assert affirmation(text, language) == answer


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (True, True), (False, False), (1, True), (0, False), ("true", True), ("False", False), ("yes please", True), ("nope", False),
        ("that's right", True), ("I don't think so", False), ("on", True), ("off", False), ("I do", True), ("yes?", True),
    ],
)  # fmt: skip
def test_booleans(raw: object, kept: bool) -> None:
    assert value(BOOLEAN, raw) is kept


@pytest.mark.parametrize("raw", ["maybe", "I have a question", 2, [True], "yes and no"])
def test_no_booleans(raw: object) -> None:
    assert code(BOOLEAN, raw) == "not_boolean"


def test_finds_says_and_masks() -> None:
    assert find_all(BOOLEAN, "yes please", CONTEXT) == (True,)
    assert say_back(BOOLEAN, True) == "yes"
    assert say_back(BOOLEAN, False, "de") == "nein"
    assert say_back(BOOLEAN, False, "ja") == "false"
    assert looks_like(BOOLEAN, "well no", CONTEXT)
    assert not looks_like(BOOLEAN, "hello there", CONTEXT)
