"""The caller's turns: what the stand-in says to them or calls."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.voice.local import rules_wording as wording
from runtime.voice.local.rules_turn import Answer
from runtime.voice.local.rules_view import read_view
from tests.runtime.voice.test_rules_kit import (
    ASK_NUMBER,
    ASK_REASON,
    ASKED,
    BOOKING,
    D_NUMBER,
    FAULT,
    IS_IT_RIGHT,
    KNOWN,
    NUMBER,
    PENDING,
    READ,
    TOOLS,
    Item,
    agent,
    answer,
    caller,
    calls,
    context,
    path,
    returned,
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("I have a question about my invoice", [("to_billing", {})]),
        ("you charged me twice!", [("to_billing", {})]),
        ("this is about my bill", [("to_billing", {})]),
        ("my invoice is wrong, my customer number is four two seven one", [("to_billing", {"customer_number": "4271"})]),
        ("I'd like an appointment next Tuesday at half past three", [("book_visit", {"day": "next Tuesday", "at": "at half past three"})]),
        ("my name is anna schmidt and I need an appointment on the third of May", [("book_visit", {"day": "on the third of May", "full_name": "anna schmidt"})]),
        ("I have a question about my invoice, my email is john dot smith at example dot com", [("remember", {"email": "john.smith@example.com"}), ("to_billing", {})]),
        ("where is my order ORD-4271", [("check_order", {"order_number": "ORD-4271"})]),
        ("where is my order four two seven one", [("check_order", {"order_number": "4271"})]),
        ("that's all, goodbye", [("say_goodbye", {})]),
        ("a double room please", [("remember", {"room": "double"})]),
        ("four two seven one", [("remember", {"customer_number": "4271"})]),
    ],
)  # fmt: skip
def test_a_turn_leads_to_calls(said: str, expected: list[tuple[str, dict[str, Any]]]) -> None:
    assert calls(answer(caller(said))) == expected


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("hi there", wording.HELLO),
        ("thank you", f"You are welcome. {wording.ANYTHING_ELSE}"),
        ("can you check an order for me?", "May I have your order number, please?"),
        ("blah fish tomato", wording.offer(read_view(context(), TOOLS).offered)),
        ("I do not have a question about my bill", wording.offer(read_view(context(), TOOLS).offered)),
    ],
)
def test_a_turn_without_a_path_or_a_value_is_answered(said: str, text: str) -> None:
    assert answer(caller(said)) == Answer(text)


@pytest.mark.parametrize(
    ("before", "said", "expected"),
    [
        (ASKED, "it's four two seven one", [("to_billing", {"customer_number": "4271"})]),
        (ASKED, "double five oh one please", [("to_billing", {"customer_number": "5501"})]),
        (ASKED, "forty two", [("to_billing", {"customer_number": "forty two"})]),
        (ASKED, "I don't know", [("to_billing", {"customer_number": "I don't know"})]),
        (ASKED, "I would like an appointment instead", [("book_visit", {})]),
        (ASKED, "my email is jo at example dot com", [("remember", {"email": "jo@example.com"})]),
        (ASKED, "4271, and a double room", [("remember", {"room": "double"}), ("to_billing", {"customer_number": "4271"})]),
        (BOOKING, "the fifth of June, and the name is Bob", [("book_visit", {"day": "the fifth of June", "full_name": "Bob"})]),
        (BOOKING, "the third of may twenty twenty seven", [("book_visit", {"day": "the third of may twenty twenty seven"})]),
        (FAULT, "well, there is no hot water", [("report_fault", {"reason": "there is no hot water"})]),
        (READ, "no, it's 4272", [("to_billing", {"customer_number": "4272"})]),
        (READ, "actually it is four two seven three", [("to_billing", {"customer_number": "4273"})]),
    ],
)  # fmt: skip
def test_an_answer_goes_to_the_path_in_progress(
    before: tuple[Item, ...], said: str, expected: list[tuple[str, dict[str, Any]]]
) -> None:
    assert calls(answer(*before, caller(said))) == expected


@pytest.mark.parametrize(
    "said", ["what number?", "where do I find it?", "hold on", "hmm", "yes", "no", "could you repeat that"]
)
def test_what_is_no_attempt_is_asked_again_and_never_passed_on(said: str) -> None:
    assert answer(*ASKED, caller(said)) == Answer(ASK_NUMBER)


def test_a_refusal_to_tell_is_no_text_value() -> None:
    assert answer(*FAULT, caller("I don't know")) == Answer(ASK_REASON)


def test_a_boolean_that_is_asked_for_is_the_callers_yes() -> None:
    asked = agent("Could you tell me whether you agree to be recorded, please?")
    system = (
        "x\n\n# What is still missing\n- for report_fault: consent (whether the caller agrees to be recorded, boolean)"
    )
    refused = returned(
        "report_fault", "Not yet. Missing: consent (whether the caller agrees, boolean). Ask the caller."
    )
    found = answer(caller("my heating is broken"), *refused, asked, caller("yes"), system=system)
    assert calls(found) == [("report_fault", {"consent": True})]


@pytest.mark.parametrize("said", ["yes", "yes, that's right", "correct"])
def test_a_yes_that_settles_the_last_thing_requests_the_path_again(said: str) -> None:
    assert calls(answer(*READ, caller(said), system=KNOWN)) == [("to_billing", {})]


def test_a_yes_is_not_enough_while_something_is_unconfirmed() -> None:
    assert answer(*READ, caller("hm, let me see"), system=PENDING) == Answer(IS_IT_RIGHT)


def test_a_dictation_that_goes_on_is_read_together() -> None:
    partial = (
        *ASKED,
        caller("four two"),
        *returned("to_billing", "Not yet. Incomplete: customer_number. Let the caller go on."),
    )
    assert answer(*partial) == Answer("Please go on.")
    going_on = (*partial, agent("Please go on."))
    assert calls(answer(*going_on, caller("seven one"))) == [("to_billing", {"customer_number": "4271"})]
    assert calls(answer(*going_on, caller("one two three four"))) == [("to_billing", {"customer_number": "421234"})]


def test_a_dictation_that_begins_anew_counts_alone() -> None:
    incomplete = returned("to_billing", "Not yet. Incomplete: customer_number. Let the caller go on.")
    found = answer(*ASKED, caller("forty two"), *incomplete, agent("Please go on."), caller("four two seven one"))
    assert calls(found) == [("to_billing", {"customer_number": "4271"})]


def test_a_known_variable_is_not_overwritten_by_another_number() -> None:
    assert calls(answer(caller("where is my order 8888"), system=KNOWN)) == [("check_order", {"order_number": "8888"})]


def test_a_tool_takes_what_is_known_and_asks_for_the_rest() -> None:
    known = "x\n\n# What is known\n- order_number: 7777\n- email: (given, secret)"
    assert calls(answer(caller("check my order"), system=known)) == [("check_order", {"order_number": "7777"})]
    asked = (caller("check my order"), agent("May I have your order number, please?"))
    assert calls(answer(*asked, caller("A-12"), system="x")) == [("check_order", {"order_number": "A-12"})]


SOLE = f"x\n\n# What is still missing\n- for to_billing: {D_NUMBER}"


@pytest.mark.parametrize(
    "greeting", ["Which customer number is it about?", "Please say or key in your customer number.", ASK_NUMBER]
)
def test_a_greeting_that_asks_in_its_own_words_puts_the_sole_path_in_progress(greeting: str) -> None:
    found = answer(caller("hi"), ("handoff",), agent(greeting), caller("four two seven one"), system=SOLE)
    assert calls(found) == [("to_billing", {"customer_number": "4271"})]
    attempt = answer(caller("hi"), ("handoff",), agent(greeting), caller("bananas"), system=SOLE)
    assert calls(attempt) == [("to_billing", {"customer_number": "bananas"})]


def test_a_keyed_value_leads_to_the_only_path_that_takes_it() -> None:
    keyed = caller("(The caller keyed in 4271 for customer_number.)")
    greeting = (caller("hi"), ("handoff",), agent("Billing."))
    assert calls(answer(*greeting, keyed, system=KNOWN)) == [("to_billing", {})]
    assert answer(*greeting, keyed, system=PENDING) == Answer(IS_IT_RIGHT)
    settled = answer(*greeting, keyed, agent(IS_IT_RIGHT), caller("yes"), system=KNOWN)
    assert calls(settled) == [("to_billing", {})]


def test_a_keyed_value_that_two_paths_take_leads_to_neither() -> None:
    twice = [*TOOLS, path("to_archive", "Use for old bills.", NUMBER)]
    keyed = caller("(The caller keyed in 4271 for customer_number.)")
    assert answer(agent("Billing."), keyed, system=KNOWN, tools=twice).calls == ()


def test_what_is_known_is_not_asked_again() -> None:
    asked = agent("What is your customer number about?")
    assert answer(asked, caller("hello"), system=KNOWN, tools=TOOLS[:2]) == Answer(wording.HELLO)
    assert answer(asked, caller("8888"), system=KNOWN, tools=TOOLS[:2]).calls == ()


def test_what_was_just_refused_as_invalid_is_asked_again_although_known() -> None:
    invalid = returned("to_billing", "Not yet. Invalid: customer_number must have 4 to 8 digits, got 2.")
    found = answer(caller("no, it is 42"), *invalid, agent(ASK_NUMBER), caller("4272"), system=KNOWN)
    assert calls(found) == [("to_billing", {"customer_number": "4272"})]


IMPOSSIBLE = "This is not possible with what is known. Tell the caller so and go on with something else."
BOOKED = "x\n\n# What is known\n- day: 2026-05-03\n- at: 15:00\n- full_name: Jo Bloggs"
RULED_OUT = (
    caller("at three in the afternoon"),
    *returned("book_visit", IMPOSSIBLE),
    agent(f"{wording.SORRY} {wording.ANYTHING_ELSE}"),
)


@pytest.mark.parametrize("lacking", ["", f"\n\n# What is still missing\n- for to_billing: {D_NUMBER}"])
def test_what_a_path_ruled_out_was_called_with_may_simply_be_given_anew(lacking: str) -> None:
    found = answer(*RULED_OUT, caller("at seven in the evening then"), system=BOOKED + lacking)
    assert calls(found) == [("book_visit", {"at": "at seven in the evening"})]


@pytest.mark.parametrize(("said", "text"), [("no", wording.GOODBYE), ("yes", wording.HELP)])
def test_a_path_ruled_out_is_not_requested_again_as_it_was(said: str, text: str) -> None:
    found = answer(*RULED_OUT, caller(said), system=BOOKED)
    assert all(call.name == "say_goodbye" for call in found.calls)
    assert found.calls or found == Answer(text)


@pytest.mark.parametrize(
    ("first", "then", "number"),
    [
        ("my invoice is wrong, customer number four two", "seven one", "4271"),
        ("my invoice is wrong, customer number 42", "71", "4271"),
        ("my invoice is wrong, customer number four two", "one two three four", "1234"),
        ("my invoice is wrong, four two of them", "seven one", "seven one"),
    ],
)
def test_a_dictation_that_began_before_it_was_asked_for_goes_on(first: str, then: str, number: str) -> None:
    missing = returned("to_billing", f"Not yet. Missing: {D_NUMBER}. Ask the caller.")
    found = answer(caller(first), *missing, agent(ASK_NUMBER), caller(then))
    assert calls(found) == [("to_billing", {"customer_number": number})]
