"""Every example with every script: by text, by voice and with a model behind HTTP the same paths, values and tools."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatch
from typing import Any

import pytest

from cli.providers import PluginsByName
from runtime.harness.script import Interrupt
from runtime.workflow.validation import validate
from tests.calls.promises import assert_promises
from tests.calls.runs import EXAMPLES, CallResult, Place, read, run_chat, run_voice, script
from tests.fakes.http_model import Call, Follower, http_model
from tools.registry import default_registry

Json = Any
NUMBER = "+442079460018"

# Example, script -> the paths taken by name, the variables at the end (a date's year is that of the next such day),
# the tools' calls as argument and end, and why the call ended.
EXPECTED: Mapping[tuple[str, str], tuple[list[str], dict[str, str], list[tuple[str, str]], str]] = {
    ("front_desk", "billing"): (
        ["To Billing", "Send copy"],
        {"customer_number": "4271", "invoice_month": "May"},
        [],
        "agent_hangup",
    ),
    ("front_desk", "support"): (["To Support", "Book visit"], {"visit_day": "20??-05-03"}, [], "agent_hangup"),
    ("front_desk", "change_of_mind"): (
        ["To Billing", "Back to the desk", "To Support"],
        {"customer_number": "4271"},
        [],
        "caller_hangup",
    ),
    ("appointments", "booking"): (
        ["Book", "Keep the visit", "Confirm"],
        {
            "visit_day": "20??-05-03",
            "visit_time": "11:00",
            "patient_name": "Mary Miller",
            "callback_number": NUMBER,
        },
        [],
        "agent_hangup",
    ),
    ("appointments", "correction"): (
        ["Book", "Keep the visit", "Confirm"],
        {
            "visit_day": "20??-05-04",
            "visit_time": "15:00",
            "patient_name": "John Baker",
            "callback_number": NUMBER,
        },
        [],
        "agent_hangup",
    ),
    ("appointments", "closed"): (
        ["Book", "Keep the visit"],
        {"visit_day": "20??-05-03", "visit_time": "10:00", "patient_name": "John Baker"},
        [],
        "caller_hangup",
    ),
    ("appointments", "cancel"): (["Cancel"], {"visit_day": "20??-06-10"}, [], "agent_hangup"),
    ("order_status", "shipped"): (["Finish"], {"order_status": "shipped"}, [("4271", "succeeded")], "agent_hangup"),
    ("order_status", "delayed"): (
        ["Delayed order", "Refund"],
        {"order_status": "delayed"},
        [("5038", "succeeded")],
        "agent_hangup",
    ),
    ("order_status", "unknown"): (
        [],
        {"order_status": "shipped"},
        [("9999", "failed"), ("4271", "succeeded")],
        "caller_hangup",
    ),
}

# What a model would make of the caller's words, for each example.
FOLLOWERS: Mapping[str, Follower] = {
    "front_desk": Follower(
        ("mistake in my bill", Call("to_billing")),
        ("four two seven one", Call("to_billing", {"customer_number": "4271"})),
        (r"keyed in \d+ for customer_number", Call("to_billing")),
        ("send me a copy", Call("send_copy")),
        ("it is May", Call("send_copy", {"invoice_month": "may"})),
        ("another question", Call("back_to_the_desk")),
        ("internet is not working|router is broken", Call("to_support")),
        ("send a technician|yes", Call("book_visit")),
        ("third of May", Call("book_visit", {"visit_day": "the third of May"})),
    ),
    "appointments": Follower(
        ("toothache|book a visit", Call("book")),
        ("cancel my visit", Call("cancel")),
        ("tenth of June", Call("cancel", {"visit_day": "the tenth of June"})),
        ("yes", Call("cancel")),
        ("third of May", Call("keep_the_visit", {"visit_day": "the third of May"})),
        ("fourth of May", Call("keep_the_visit", {"visit_day": "the fourth of May"})),
        ("no that is wrong|yes", Call("keep_the_visit")),
        ("eleven", Call("keep_the_visit", {"visit_time": "11:00"})),
        ("three in the afternoon", Call("keep_the_visit", {"visit_time": "15:00"})),
        ("eight in the evening", Call("keep_the_visit", {"visit_time": "20:00"})),
        ("ten in the morning", Call("keep_the_visit", {"visit_time": "10:00"})),
        ("Mary Miller", Call("confirm", {"patient_name": "Mary Miller"})),
        ("John Baker", Call("confirm", {"patient_name": "John Baker"})),
        (r"keyed in \d+ for callback_number", Call("confirm")),
    ),
    "order_status": Follower(
        ("four two seven one", Call("check_order", {"order_number": "4271"})),
        ("five zero three eight", Call("check_order", {"order_number": "5038"})),
        ("nine nine nine nine", Call("check_order", {"order_number": "9999"})),
        ("that is all", Call("finish")),
        ("money back", Call("refund")),
    ),
}


def scripts(example: str) -> list[str]:
    return [name for each, name in EXPECTED if each == example]


def assert_expected(example: str, name: str, result: CallResult) -> None:
    """Assert what the table says, and what is promised of every call."""
    paths, variables, tools, reason = EXPECTED[example, name]
    assert [payload["path_name"] for payload in result.payloads("path_taken")] == paths, name
    assert result.variables.keys() == variables.keys(), name
    for variable, pattern in variables.items():
        assert fnmatch(str(result.variables[variable]), pattern), f"{name}: {variable}"
    assert [(arguments["order_number"], ended) for _, arguments, ended in result.tools] == tools, name
    assert result.row.end_reason == reason, name
    assert result.payloads("fault_raised") == [], name
    assert_promises(result)


def outline(result: CallResult) -> tuple[Json, ...]:
    """What must not depend on how the caller was heard."""
    return result.paths, dict(result.variables), result.tools


def test_every_example_and_script_is_in_the_table() -> None:
    there = {(file.parent.name, file.stem) for file in EXAMPLES.glob("*/*.txt")}
    assert there == EXPECTED.keys()
    assert {file.parent.name for file in EXAMPLES.glob("*/workflow.yaml")} == FOLLOWERS.keys()


@pytest.mark.parametrize("example", FOLLOWERS)
def test_an_example_has_neither_faults_nor_warnings(example: str) -> None:
    assert validate(read(example), providers=PluginsByName(), tools=default_registry()).faults == ()


@pytest.mark.parametrize(("example", "name"), EXPECTED)
async def test_by_text(example: str, name: str, place: Place) -> None:
    assert_expected(example, name, await run_chat(read(example), script(example, name), place))


@pytest.mark.live
@pytest.mark.timeout(150)
@pytest.mark.parametrize("example", FOLLOWERS)
async def test_by_voice_as_by_text(example: str, place: Place) -> None:
    config = read(example)
    heard = await asyncio.gather(*(run_voice(config, script(example, name), place) for name in scripts(example)))
    for name, by_voice in zip(scripts(example), heard, strict=True):
        assert_expected(example, name, by_voice)
        cuts_in = any(isinstance(step, Interrupt) for step in script(example, name))
        assert ("agent_interrupted" in by_voice.types) == cuts_in, name
        assert outline(by_voice) == outline(await run_chat(config, script(example, name), place)), name


@pytest.mark.server
@pytest.mark.parametrize(("example", "name"), EXPECTED)
async def test_with_a_model_behind_http(example: str, name: str, place: Place) -> None:
    async with http_model(FOLLOWERS[example]) as model:
        config = model.configured(read(example))
        result = await run_chat(config, script(example, name), replace(place, offline=False))
    assert_expected(example, name, result)
    assert model.requests, "the model was asked"
