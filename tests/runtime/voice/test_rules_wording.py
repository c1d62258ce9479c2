"""What the stand-in says."""

from __future__ import annotations

import pytest

from runtime.variables import VariableSpec
from runtime.voice.local import rules_wording as wording
from runtime.voice.local.rules_schema import Function


@pytest.mark.parametrize(
    ("name", "description", "question"),
    [
        ("customer_id", "the customer's number", "May I have your customer number, please?"),
        ("customer_id", "The customer's number, 4 to 8 digits.", "May I have your customer number, please?"),
        ("customer_number", "The customer number, as printed on every invoice.", "May I have your customer number, please?"),
        ("customer_number", "", "May I have your customer number, please?"),
        ("who", "the caller's full name", "May I have your full name, please?"),
        ("who", "Caller's name", "May I have your name, please?"),
        ("day", "the day of the visit", "May I have the day of the visit, please?"),
        ("day", "Date of birth", "May I have your date of birth, please?"),
        ("pin", "PIN", "May I have your PIN, please?"),
        ("guests", "number of guests", "May I have the number of guests, please?"),
        ("guests", "how many guests there are", "Could you tell me how many guests there are, please?"),
        ("ok", "whether the caller agrees", "Could you tell me whether you agree, please?"),
        ("ok", "Whether the customer has a garden", "Could you tell me whether you have a garden, please?"),
        ("x", "Ask the caller for a reference", "May I have a reference, please?"),
        ("x", "What is your favourite colour?", "What is your favourite colour?"),
    ],
)  # fmt: skip
def test_question(name: str, description: str, question: str) -> None:
    assert wording.question(VariableSpec(name, description=description)) == question


def test_a_choice_names_the_choices() -> None:
    spec = VariableSpec("room", "enum", "the kind of room", enum=("single_bed", "double", "suite"))
    assert wording.question(spec) == "May I have the kind of room, please? You can say single bed, double or suite."


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ('{"status": "shipped", "expectedOn": "2026-05-03", "paid": false, "note": null}', "Status: shipped, expected on: 2026-05-03, paid: no."),
        ('{"address": {"city": "Bonn", "zip": 53111}}', "Address: city Bonn, zip 53111."),
        ('{"items": ["a", "b", "c"]}', "Items: a, b and c."),
        ("[1, 2]", "I found 1 and 2."),
        ("[]", "I found nothing."),
        ("{}", "I found nothing."),
        ("{broken", "{broken."),
        ('"done"', "Done."),
        ("It is on its way.", "It is on its way."),
        ('{"error": "no such order"}', "I am sorry, that did not work."),
    ],
)  # fmt: skip
def test_result(output: str, sentence: str) -> None:
    assert wording.result(output) == sentence


@pytest.mark.parametrize(
    ("instructions", "greeting"),
    [
        ('Greet the caller with "Acme, hello!" and wait.', "Acme, hello!"),
        ("Answer the phone: “Good day, Acme.”", "Good day, Acme."),
        ('The caller may say it is "urgent". Never mind.', None),
        ('Never say "I am a robot".', None),
        ("Answer in short sentences.", None),
    ],
)
def test_a_quoted_greeting(instructions: str, greeting: str | None) -> None:
    assert wording.quoted_greeting(instructions) == greeting


def test_the_offer_is_honest() -> None:
    functions = [Function("to_billing", "", ("I have a question about my bill.",)), Function("finish", "")]
    assert wording.offer(functions) == (
        "I am the offline stand-in for a language model; I can do this here: to billing or finish. "
        "Please say for example: I have a question about my bill."
    )
    assert "nothing to choose" in wording.offer([])
