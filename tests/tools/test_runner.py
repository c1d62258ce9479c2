"""The runner: arguments, timeouts, failures, secrets and bounds; and the tools that need no service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.tools.conftest import NewRunner, call, compiled
from tools.base import Tool, ToolConfig, ToolContext, ToolError, ToolResult
from tools.jsonpaths import assigned, selected
from tools.registry import Registry
from tools.runner import MAX_PREVIEW, MAX_TEXT
from tools.schema import argument_faults, checked_schema
from tools.scrub import MASK, Scrubber, cut

Json = Any
SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {
        "number": {"type": "string", "minLength": 2},
        "count": {"type": ["integer", "null"]},
        "size": {"enum": ["s", "m"]},
    },
    "required": ["number"],
    "additionalProperties": False,
}


class Doing(ToolConfig):
    what: str = "ok"


class Does(Tool[Doing]):
    """Does what its config says."""

    tool_type: ClassVar[str] = "does"
    Config: ClassVar[type[BaseModel]] = Doing

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> Json | ToolResult:
        what = self.config.what
        if what in {"refuse", "break", "time_out"}:
            raise _error(what, context.secrets.get("KEY", ""))
        if what == "hang":
            await asyncio.sleep(30)
        if what == "context":
            return context.names(arguments) | {"id": context.tool_call_id}
        return RESULTS.get(what, ToolResult({"ok": True, "deep": {"n": 3}}))


def _error(what: str, secret: str) -> Exception:
    if what == "refuse":
        return ToolError("out_of_stock", f"There is none left, said {secret}.")
    return KeyError(secret) if what == "break" else TimeoutError()


ENDLESS: list[Json] = []
ENDLESS.append(ENDLESS)
RESULTS: dict[str, Json] = {"long": ["x" * 10_000], "odd": {"a": object()}, "loop": ENDLESS}


DOES = Registry([Does])


@pytest.mark.parametrize(
    ("what", "code", "text"),
    [
        ("ok", "", '{"ok": true, "deep": {"n": 3}}'),
        ("refuse", "out_of_stock", f"There is none left, said {MASK}."),
        ("break", "internal", "This is not possible at the moment."),
        ("hang", "timeout", "did not answer in time"),
        ("time_out", "timeout", "did not answer in time"),
        ("odd", "", '{"a": "<object'),
        ("loop", "internal", "This is not possible at the moment."),
    ],
)
async def test_outcomes(new_runner: NewRunner, what: str, code: str, text: str) -> None:
    runner = new_runner(registry=DOES, secrets={"KEY": "secret-key-1"})
    with structlog.testing.capture_logs() as logs:
        outcome = await runner.run(call(compiled("does", {"what": what}, timeout_s=0.05)))
    assert outcome.error_code == code
    assert text in outcome.text
    assert "secret-key-1" not in f"{outcome} {logs}"


async def test_a_run_that_is_cancelled_is_cancelled(new_runner: NewRunner) -> None:
    runner = new_runner(registry=DOES)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(runner.run(call(compiled("does", {"what": "hang"}))), 0.02)


async def test_results_are_bounded(new_runner: NewRunner) -> None:
    outcome = await new_runner(registry=DOES).run(call(compiled("does", {"what": "long"})))
    assert (len(outcome.text), len(outcome.preview)) == (MAX_TEXT, MAX_PREVIEW)
    assert outcome.text.endswith("(cut off)")


async def test_the_context(new_runner: NewRunner) -> None:
    tool = compiled("does", {"what": "context"}, assign={"x": "$.id", "y": "$.caller.number"})
    outcome = await new_runner(registry=DOES).run(call(tool, {}, variables={"arguments": "mine", "customer_id": "4"}))
    assert outcome.assigned == {"x": "t-1", "y": "+15550199"}
    told = json.loads(outcome.text)
    assert told["arguments"] == {}
    assert told["customer_id"] == "4"


async def test_end_call(new_runner: NewRunner) -> None:
    runner, tool = new_runner(), compiled("end_call")
    outcome = await runner.run(call(tool, {"farewell": " Goodbye! "}))
    assert (outcome.text, outcome.hang_up, outcome.error_code) == ("Goodbye!", True, "")
    assert (await runner.run(call(tool))).text == ""
    assert runner.schemas(tool)[0]["name"] == "end_call"
    assert "goodbye" in runner.schemas(tool)[0]["description"]


async def test_a_config_that_does_not_fit_costs_the_tool_and_not_the_call(new_runner: NewRunner) -> None:
    outcome = await new_runner(registry=DOES).run(call(compiled("does", {"wat": 1})))
    assert outcome.error_code == "unavailable"


async def test_schema_and_faults(new_runner: NewRunner) -> None:
    runner = new_runner()
    tool = compiled("http_request", {"url": "https://x.example/", "parameters": SCHEMA, "description": "Looks it up."})
    assert runner.schemas(tool)[0] == {"name": "http_request", "description": "Looks it up.", "parameters": SCHEMA}
    assert runner.faults(tool, tool.function_name, {"number": "42"}) == ""
    assert (await runner.run(call(tool, {}))).error_code == "invalid_arguments"


# ------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"number": "42", "count": None, "size": "s"}, ""),
        ({}, "Not done: Missing: number."),
        ({"number": 42}, "Not done: number must be a text."),
        ({"number": "42", "count": "x"}, "Not done: count must be a whole number or null."),
        ({"number": "42", "size": "xl"}, "Not done: size must be one of: s, m."),
        ({"number": "42", "colour": 1}, "Not done: Unknown: colour."),
        ({"number": "4"}, "Not done: number: '4' is too short."),
    ],
)
def test_argument_faults(arguments: Mapping[str, Json], told: str) -> None:
    assert argument_faults(SCHEMA, arguments) == told


@given(
    st.dictionaries(st.text(max_size=5), st.recursive(st.none() | st.booleans() | st.text(), st.lists, max_leaves=5))
)
def test_no_argument_breaks_the_check(arguments: dict[str, Json]) -> None:
    assert len(argument_faults(SCHEMA, arguments)) < 2000


def test_references() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "integer"}}}
    assert checked_schema(schema) is schema
    assert argument_faults(schema, {"a": "x"}) == "Not done: a must be a whole number."
    lost = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/schema"}}}
    with pytest.raises(ValueError, match="may only point inside"):
        checked_schema(lost)
    assert argument_faults(lost, {"a": 1}) == ""


def test_unknown_types_are_nobodys_business() -> None:
    assert DOES.config_faults("nope", {}) == ()
    assert DOES.make("nope", {}) is None


# ------------------------------------------------------------ secrets, bounds, paths


@pytest.mark.parametrize(
    "echo", ["a/b c&ü9", "a%2Fb%20c%26%C3%BC9", "a/b+c%26%c3%bc9", "a\\/b c&\\u00fc9", "<a/b c&ü9>"]
)
def test_secrets_in_any_form(echo: str) -> None:
    assert MASK in Scrubber(["a/b c&ü9", "abc"]).text(echo)
    assert "9" not in Scrubber(["a/b c&ü9"]).text(echo)


_TEXT = st.text(st.characters(exclude_characters=MASK))


@given(st.text(st.characters(exclude_characters=MASK), min_size=4), _TEXT, _TEXT)
def test_no_secret_is_left(secret: str, before: str, after: str) -> None:
    scrubbed = Scrubber([secret]).value({"key": [before + secret + after, 1, None]})
    assert secret not in scrubbed["key"][0]
    assert scrubbed["key"][1:] == [1, None]


def test_short_secrets_and_none() -> None:
    assert Scrubber(["abc", ""]).value({"a": "abc"}) == {"a": "abc"}


def test_cut() -> None:
    assert cut("x" * 20, 20) == "x" * 20
    assert len(cut("x" * 21, 20)) == 20


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("$.a", {"a": 1}, 1),
        ("$.a[*]", {"a": [1, 2]}, [1, 2]),
        ("$.b", {"a": 1}, None),
        ("$", "text", "text"),
        ("$.a", "text", None),
        ("$.a", None, None),
        ("$", None, None),
    ],
)
def test_selected(path: str, value: Json, found: Json) -> None:
    assert selected(path, value) == found


def test_assigned_leaves_out_what_is_not_there() -> None:
    paths = {"a": "$.a", "none": "$.none", "missing": "$.missing", "broken": "$..["}
    assert assigned(paths, {"a": 0, "none": None}) == {"a": 0}
