"""Values found in the caller's words."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.variables import DATA_TYPES, VariableSpec, json_schema
from runtime.voice.local.rules_schema import CODE, refined
from runtime.voice.local.rules_schema import _parameter as parameter
from runtime.voice.local.rules_texts import Wanted
from runtime.voice.local.rules_values import gather, raw_attempt

NUMBER = VariableSpec("customer_number", "digits", min_length=4, max_length=8)
CODES = VariableSpec("order_id", CODE)
SPECS = (
    NUMBER, CODES,
    *(VariableSpec(name, name) for name in ("date", "time", "datetime", "email", "phone", "currency", "integer", "boolean")),
    VariableSpec("room", "enum", enum=("single", "double")),
    VariableSpec("full_name", "person_name"),
    VariableSpec("reason", "string"),
)  # fmt: skip


def found(text: str, asked: str | None = None, known: dict[str, str] | None = None, names: str = "") -> dict[str, Any]:
    specs = [spec for spec in SPECS if not names or spec.name in names.split()]
    return gather(specs, text, asked, known or {}, frozenset())


@pytest.mark.parametrize(
    ("text", "asked", "names", "expected"),
    [
        ("it's four two, seven one", "customer_number", "", {"customer_number": "4271"}),
        ("42", "customer_number", "", {}),
        ("three", "integer", "", {"integer": 3}),
        ("three", None, "integer", {}),
        ("yes please", "boolean", "", {"boolean": True}),
        ("yes please", None, "boolean", {}),
        ("the third of May", "date", "date", {"date": "the third of May"}),
        ("I was born on the third of May nineteen eighty five", "date", "date customer_number", {"date": "on the third of May nineteen eighty five"}),
        ("half past three, please", "time", "time", {"time": "half past three"}),
        ("it's about the bill", "date", "date time", {}),
        ("twelve fifty", "currency", "currency customer_number", {"currency": "twelve fifty"}),
        ("jo at example dot com", None, "", {"email": "jo@example.com"}),
        ("plus four nine one seven one one two three four five six seven", "phone", "phone", {"phone": "+491711234567"}),
        ("oh one seven one, two three four five six seven eight", "phone", "phone", {"phone": "01712345678"}),
        ("double five oh one", "customer_number", "customer_number room", {"customer_number": "5501"}),
        ("a double room", None, "room", {"room": "double"}),
        ("my name is anna maria schmidt and I call about a bill", None, "", {"full_name": "anna maria schmidt"}),
        ("this is Anna speaking", None, "", {"full_name": "Anna"}),
        ("this is about my bill", None, "", {}),
        ("I'm trying to pay", None, "", {}),
        ("Anna", "full_name", "", {"full_name": "Anna"}),
        ("the order id is AB-12", None, "order_id customer_number", {"order_id": "AB-12"}),
        ("my customer number is 4271 and my order id is 555", None, "customer_number order_id", {"customer_number": "4271", "order_id": "555"}),
    ],
)  # fmt: skip
def test_gather(text: str, asked: str | None, names: str, expected: dict[str, Any]) -> None:
    assert found(text, asked, names=names) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it is 5555", {}),
        ("no, it is 5555", {"customer_number": "5555"}),
        ("actually 5555", {"customer_number": "5555"}),
        ("my customer number is 5555", {"customer_number": "5555"}),
        ("my customer number is 4271", {}),
    ],
)
def test_what_is_known_changes_only_where_it_is_corrected_or_named(text: str, expected: dict[str, Any]) -> None:
    assert found(text, known={"customer_number": "4271"}, names="customer_number") == expected


@pytest.mark.parametrize(
    ("data_type", "text", "expected"),
    [
        ("digits", "it's forty two", "forty two"),
        ("digits", "I don't know", "I don't know"),
        ("digits", "no", None),
        ("digits", "yes, that's right", None),
        ("digits", "what is that?", None),
        ("digits", "where do I find it", None),
        ("digits", "one moment", None),
        ("digits", "um", None),
        ("digits", "goodbye", None),
        ("digits", "I am rather unhappy with how all of this has been handled by your people", None),
        ("string", "well, there is no hot water", "there is no hot water"),
        ("string", "I don't know", None),
        (CODE, "purple", None),
    ],
)
def test_an_attempt_is_passed_on_as_it_was_said(data_type: str, text: str, expected: str | None) -> None:
    assert raw_attempt(VariableSpec("x", data_type), text) == expected


@pytest.mark.parametrize("data_type", sorted(set(DATA_TYPES) - {"enum"}))
def test_the_type_of_a_declared_variable_is_read_from_its_schema(data_type: str) -> None:
    spec = VariableSpec("it", data_type, "What it is", min_length=4, max_length=8)
    read = parameter("it", json_schema(spec))
    assert (read.data_type, read.description) == (data_type, "What it is")
    if DATA_TYPES[data_type].bounded:
        assert (read.min_length, read.max_length) == (4, 8)


@pytest.mark.parametrize(
    ("name", "schema", "data_type"),
    [
        ("order_number", {"type": "string"}, CODE),
        ("customer_id", {"type": "string"}, CODE),
        ("phone_number", {"type": "string"}, "phone"),
        ("email", {"type": "string"}, "email"),
        ("when", {"type": "string", "format": "date-time"}, "datetime"),
        ("start_date", {"type": ["string", "null"]}, "date"),
        ("first_name", {"type": "string"}, "person_name"),
        ("count", {"type": ["integer", "null"]}, "integer"),
        ("size", {"enum": ["s", "m"]}, "enum"),
        ("note", {"type": "string", "description": "a note, such as a date or an email to be told on"}, "string"),
        ("x", None, "string"),
    ],
)
def test_the_type_of_a_tools_parameter_is_inferred(name: str, schema: Any, data_type: str) -> None:
    assert parameter(name, schema).data_type == data_type


def test_the_engines_description_refines_a_parameter() -> None:
    spec = refined(VariableSpec("x", CODE, "old", max_length=9), Wanted("x", "the x", "", 2, None))
    assert (spec.data_type, spec.description, spec.min_length, spec.max_length) == (CODE, "the x", 2, 9)
