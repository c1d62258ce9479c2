"""Which function the caller's words ask for."""

from __future__ import annotations

import pytest

from runtime.voice.local.rules_match import choose, content, is_farewell
from runtime.voice.local.rules_schema import Function

BILLING = Function(
    "to_billing",
    "Use when the caller has a question about an invoice, a bill or a payment.",
    ("I have a question about my invoice", "You charged me twice"),
)
DESK = Function(
    "back_to_the_front_desk", "Use when the caller asks about something other than invoices and payments.", ()
)
CHECK = Function("check_order", "Looks an order up.", ("Where is my order?",))
CANCEL = Function("cancel_order", "Cancels an order.", ("I want to cancel my order",))
LOGIN = Function("help_with_login", "", ("I cannot log in", "I can't log in"))
END = Function("finish", "Use when there is nothing else.")


@pytest.mark.parametrize(
    ("text", "functions", "expected"),
    [
        ("I have a question about my invoice", (BILLING, CHECK, END), BILLING),
        ("there are two bills here", (BILLING, CHECK), BILLING),
        ("I was charged twice", (BILLING, CHECK), BILLING),
        ("billing please", (BILLING, CHECK), BILLING),
        ("the payment failed", (BILLING, DESK), BILLING),
        ("put me back to the front desk", (BILLING, DESK), DESK),
        ("I want to cancel my order", (CHECK, CANCEL), CANCEL),
        ("where is my order", (CHECK, CANCEL), CHECK),
        ("cancelling", (CHECK, CANCEL), CANCEL),
        ("my parcel", (CHECK,), CHECK),
        ("I can't log in", (LOGIN, BILLING), LOGIN),
        ("I have no question about my invoice", (BILLING,), None),
        ("I have a question", (BILLING, CHECK), None),
        ("goodbye", (BILLING, END), END),
        ("that's all, thanks", (BILLING, END), END),
        ("no thank you", (BILLING, END), END),
        ("invoice order", (BILLING, CHECK), None),
        ("", (BILLING,), None),
        ("the a of", (BILLING,), None),
        ("anything", (), None),
    ],
)
def test_choose(text: str, functions: tuple[Function, ...], expected: Function | None) -> None:
    assert choose(functions, text) == expected


def test_a_higher_threshold_wants_more() -> None:
    assert choose((BILLING, CHECK), "an invoice", 5.0) is None
    assert choose((BILLING, CHECK), "I have a question about my invoice", 3.0) == BILLING


@pytest.mark.parametrize(
    ("one", "other"), [("invoices", "bill"), ("charged", "charges"), ("cancelling", "cancel"), ("addresses", "address")]
)
def test_words_are_compared_by_their_stems(one: str, other: str) -> None:
    assert content(one) == content(other) != frozenset()


@pytest.mark.parametrize(
    ("text", "expected"), [("bye", True), ("that was all", True), ("buy", False), ("all of it", False)]
)
def test_farewells(text: str, expected: bool) -> None:
    assert is_farewell(text) is expected
