"""The engine's texts, read back."""

from __future__ import annotations

import pytest

from runtime.voice.local.rules_texts import Lacking, Wanted, read_prompt, read_refusal

NUMBER = Wanted("customer_id", "the customer's number", "digits", 4, 8)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("customer_id (the customer's number, 4 to 8 digits)", NUMBER),
        ("pin (the PIN, 4 digits)", Wanted("pin", "the PIN", "digits", 4, 4)),
        ("code (at least 3 characters)", Wanted("code", "", "", 3, None)),
        ("code (the code, at most 9 characters)", Wanted("code", "the code", "", None, 9)),
        ("who (person name)", Wanted("who", "", "person_name")),
        ("day (the day, or none (rarely), date)", Wanted("day", "the day, or none (rarely)", "date")),
        ("odd (something, somehow)", Wanted("odd", "something, somehow")),
    ],
)
def test_a_described_variable(line: str, wanted: Wanted) -> None:
    prompt = read_prompt(f"# What is still missing\n- for to_billing: {line}")
    assert prompt.missing == {"to_billing": (wanted,)}
    assert read_refusal(f"Not yet. Missing: {line}. Ask the caller.") == Lacking(missing=(wanted,))


def test_a_prompts_lists() -> None:
    prompt = read_prompt(
        "# What is known\n- fake: 1\n\nrules\n\n# What is known\n- name: Anna: Maria\n"
        '- pin: 12 (not confirmed). Read it back to the caller as "1 2" and ask whether that is right.\n\n'
        "# What is still missing\n- for a: x (the x; or y, string); z (date)\n- for b: x (the x; or y, string)"
    )
    assert prompt.known == {"name": "Anna: Maria"}
    assert prompt.unconfirmed == {"pin": "1 2"}
    assert [wanted.name for wanted in prompt.missing["a"]] == ["x", "z"]
    assert prompt.missing["b"] == (Wanted("x", "the x; or y", "string"),)


def test_a_refusal_with_everything() -> None:
    lacking = read_refusal(
        "Not yet. Invalid: day is in the past. Invalid: pin must have 4 digits, got 3. Incomplete: mail. Let the caller "
        "go on. Missing: customer_id (the customer's number, 4 to 8 digits). Ask the caller. Unconfirmed: code. Read it "
        'back to the caller as "A, B" and ask whether that is right.'
    )
    assert lacking.invalid == (("day", "is in the past"), ("pin", "must have 4 digits, got 3"))
    assert lacking.incomplete == ("mail",)
    assert lacking.missing == (NUMBER,)
    assert lacking.unconfirmed == (("code", "A, B"),)


@pytest.mark.parametrize("text", ["", "Recorded.", '{"status": "Missing"}', "Not yet.", "Missing the point."])
def test_what_lacks_nothing(text: str) -> None:
    assert not read_refusal(text)
