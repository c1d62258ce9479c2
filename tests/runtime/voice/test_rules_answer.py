"""Answers of functions, arrivals, and whatever else a history may hold."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.agents import llm

from runtime.voice.local import rules_wording as wording
from runtime.voice.local.rules_turn import Answer
from runtime.voice.local.rules_values import prepare
from runtime.voice.local.rules_view import Heard, read_view
from tests.examples import examples
from tests.runtime.voice.test_rules_kit import (
    ASK_DAY,
    ASK_NUMBER,
    ASKED,
    D_AT,
    D_DAY,
    D_NAME,
    D_NUMBER,
    IS_IT_RIGHT,
    KNOWN,
    MISSING,
    MOVED,
    PENDING,
    READ_BACK,
    TOOLS,
    Item,
    agent,
    answer,
    caller,
    calls,
    context,
    returned,
    tool,
)


def test_remember_carries_the_next_question() -> None:
    found = answer(*ASKED, caller("my email is jo at example dot com"))
    assert found.text == f"Thank you. {ASK_NUMBER}"


@pytest.mark.parametrize(
    ("name", "output", "text"),
    [
        ("to_billing", f"Not yet. Missing: {D_NUMBER}. Ask the caller.", ASK_NUMBER),
        ("book_visit", f"Not yet. Missing: {D_DAY}; {D_AT}; {D_NAME}. Ask the caller.", ASK_DAY),
        ("to_billing", "Not yet. Invalid: customer_number must have 4 to 8 digits, got 3.", f"I am sorry, your customer number must have 4 to 8 digits, I heard 3. {ASK_NUMBER}"),
        ("to_billing", f"Not yet. Unconfirmed: customer_number. {READ_BACK}", IS_IT_RIGHT),
        ("book_visit", f"Not yet. Missing: {D_DAY}. Ask the caller. Unconfirmed: customer_number. {READ_BACK}", IS_IT_RIGHT),
        ("remember", "Invalid: day is no such day. There is no variable called x.", f"I am sorry, the day of the appointment is no such day. {ASK_DAY}"),
        ("remember", "Recorded.", "Thank you. How can I help you with that?"),
        ("to_billing", "This is not possible with what is known. Tell the caller so and go on with something else.", f"{wording.SORRY} {wording.ANYTHING_ELSE}"),
        ("check_order", '{"status": "shipped", "expected_on": "2026-05-03", "paid": true}', f"Status: shipped, expected on: 2026-05-03, paid: yes. {wording.ANYTHING_ELSE}"),
        ("check_order", "Your order is on its way.", f"Your order is on its way. {wording.ANYTHING_ELSE}"),
        ("check_order", "", f"That is done. {wording.ANYTHING_ELSE}"),
        ("to_billing", MOVED, wording.HELP),
    ],
)  # fmt: skip
def test_a_functions_answer_is_said_and_calls_nothing(name: str, output: str, text: str) -> None:
    assert answer(caller("please"), *returned(name, output)) == Answer(text)


def test_a_tool_that_failed_is_admitted() -> None:
    found = answer(caller("order 4271"), ("call", "check_order"), ("failed", "check_order", "Traceback: secret"))
    assert found == Answer(f"I am sorry, that did not work. {wording.ANYTHING_ELSE}")


def test_a_question_asked_in_vain_twice_comes_with_what_can_be_done() -> None:
    found = answer(*ASKED, caller("why?"), agent(ASK_NUMBER), caller("why?"))
    assert found.calls == ()
    assert found.text.startswith("I am the offline stand-in")
    assert found.text.endswith(ASK_NUMBER)


@pytest.mark.parametrize(
    ("items", "system", "text"),
    [
        ((), "You answer for Acme.", wording.HELLO),
        ((), 'Greet the caller with "Acme, what can I do for you?"', "Acme, what can I do for you?"),
        ((), f"x\n\n# What is still missing\n- for to_billing: {D_NUMBER}", wording.HELLO),
        ((caller("hi"), ("handoff",)), f"x\n\n# What is still missing\n- for to_billing: {D_NUMBER}", ASK_NUMBER),
        ((caller("hi"), ("handoff",)), MISSING, wording.HELP),
        ((caller("hi"), *returned("gone", MOVED)), "x", wording.HELP),
        ((caller("hi"), ("system", "Greet the caller again.")), "x", wording.HELP),
        ((caller("hi"), ("system", 'Say "One moment, I am back."')), "x", "One moment, I am back."),
    ],
)  # fmt: skip
def test_an_arrival_opens(items: tuple[Item, ...], system: str, text: str) -> None:
    assert answer(*items, system=system) == Answer(text)


def test_our_own_question_on_arrival_makes_the_sole_path_the_one_in_progress() -> None:
    system = f"x\n\n# What is still missing\n- for to_billing: {D_NUMBER}"
    found = answer(caller("hi"), ("handoff",), agent(ASK_NUMBER), caller("4271"), system=system)
    assert calls(found) == [("to_billing", {"customer_number": "4271"})]


def test_without_functions_it_says_what_it_is() -> None:
    found = answer(caller("tell me a joke"), system="", tools=[])
    assert found.text.startswith("I am the offline stand-in for a language model")


MALFORMED: list[tuple[Item, ...]] = [
    (("call", "to_billing"),),
    (("output", "nobody", "{{{"),),
    (("output", "to_billing", "Not yet. Missing: . Ask the caller."),),
    (("output", "to_billing", "Not yet. Invalid: "),),
    (("output", "to_billing", "Not yet. Unconfirmed: x. Read it back"),),
    (caller("   "),),
    (agent("?"), agent("?"), caller("\x00\ud800")),
    (("handoff",), ("handoff",)),
    (*ASKED, *returned("to_billing", ""), ("call", "to_billing")),
]


@pytest.mark.parametrize("items", MALFORMED)
@pytest.mark.parametrize("system", ["", MISSING, "# What is known\n- \n- x\n# What is still missing\n- for : ()"])
def test_a_malformed_history_is_survived(items: tuple[Item, ...], system: str) -> None:
    found = answer(*items, system=system)
    assert found.text or found.calls


def test_malformed_schemas_are_survived() -> None:
    odd = tool(
        "odd", "", {"a": None, "b": {"type": ["null", "integer"]}, "c": {"enum": "x", "minLength": -1}}, ["a", "zz"]
    )
    assert answer(caller("odd odd odd"), tools=[odd, llm.ProviderTool(id="x")]).text


WORDS = st.sampled_from(
    [
        *(
            "yes",
            "no",
            "my invoice",
            "my order",
            "an appointment",
            "four two",
            "seven one",
            "4271",
            "the third of May",
            "at",
        ),
        *(
            "@",
            "example dot com",
            "double",
            "why",
            "?",
            ",",
            "not",
            "my name is",
            "Anna",
            "next tuesday",
            "half past three",
        ),
        *("please", "goodbye", "\x00", "ünï", "ORD-12", "+49", "half", "actually"),
    ]
)
SPEECH = st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=25).map(" ".join))
ITEMS = st.lists(
    st.one_of(
        st.tuples(st.just("user"), SPEECH),
        st.tuples(st.just("assistant"), SPEECH | st.just(ASK_NUMBER)),
        st.tuples(st.just("output"), st.sampled_from(["to_billing", "remember", "check_order", "?"]), SPEECH | st.just(f"Not yet. Missing: {D_NUMBER}. Ask the caller.")),
        st.tuples(st.just("call"), st.just("to_billing")),
        st.just(("handoff",)),
        st.just(("system", "Go on.")),
    ),
    max_size=8,
)  # fmt: skip


@settings(max_examples=examples(150), deadline=None)
@given(ITEMS, st.sampled_from([MISSING, KNOWN, PENDING, ""]) | st.text(max_size=100))
def test_total_deterministic_and_within_bounds(items: list[Item], system: str) -> None:
    found = answer(*items, system=system)
    assert found == answer(*items, system=system)
    assert found.text or found.calls
    assert len(found.calls) <= 2
    assert all(json.loads(call.as_json) is not None for call in found.calls)
    last = read_view(context(*items, system=system), TOOLS).items[-1:]
    assert not found.calls or isinstance(last[0], Heard)


@pytest.mark.parametrize(
    "text",
    ["x" * 100_000, "four " * 20_000, "a@" * 30_000, "no, " * 20_000, "the third of may and " * 5_000, '"' * 50_000, "1-" * 40_000],
)  # fmt: skip
def test_long_texts_are_quick(text: str) -> None:
    prepare()
    begun = time.process_time()
    answer(*ASKED, caller(text), system=MISSING)
    answer(caller("hi"), ("output", "to_billing", f"Not yet. Missing: {text}"), system=f"{text}\n\n{MISSING}")
    answer(
        caller("hi"), ("output", "check_order", text), system=f"# What is still missing\n- for to_billing: x ({text}"
    )
    assert time.process_time() - begun < 1.0
