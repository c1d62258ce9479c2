"""What servers say, bounded for a model; also a server that is none."""

from __future__ import annotations

from typing import Any

import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError
from structlog.testing import capture_logs

from tools.base import ToolError
from tools.mcp_results import FAULT, MAX_ANSWER, answer_of, error_of, functions_of

Json = Any


def listed(schema: dict[str, Json], **more: Any) -> types.Tool:
    return types.Tool(name="read", input_schema=schema, **more)


def parameters(schema: dict[str, Json]) -> Any:
    return functions_of([listed(schema)], server="s")[0].parameters


def test_a_servers_expressions_do_not_run_here() -> None:
    text = {"type": "string", "pattern": "(a+)+$"}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"pattern": text, "many": {"type": "array", "items": text}, "one": {"anyOf": [text]}},
        "patternProperties": {"(a+)+": {}},
        "$defs": {"pattern": text},
        "required": ["pattern"],
    }
    plain = {"type": "string"}
    assert parameters(schema) == {
        "type": "object",
        "properties": {"pattern": plain, "many": {"type": "array", "items": plain}, "one": {"anyOf": [plain]}},
        "$defs": {"pattern": plain},
        "required": ["pattern"],
    }


def test_descriptions_are_bounded() -> None:
    schema = {"type": "object", "properties": {"a": {"description": "x\x00" * 4000}}}
    (function,) = functions_of([listed(schema, description="y\x1b[0m" * 1000)], server="s")
    assert len(function.description) == len(function.parameters["properties"]["a"]["description"]) == 1024
    assert "\x1b" not in function.description


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "object", "properties": {"a": {"$ref": "https://example.com/schema"}}},
        {"type": "object", "properties": {"a": {"type": "nonsense"}}},
        {"type": "object", "properties": {"a": {"enum": ["x" * 20_000]}}},
    ],
)
def test_a_tool_whose_schema_is_unusable_is_left_out(schema: dict[str, Json]) -> None:
    with capture_logs() as logs:
        assert functions_of([listed(schema)], server="s") == ()
    assert (logs[0]["event"], logs[0]["tool"]) == ("mcp_tool_unusable", "read")


@pytest.mark.parametrize(
    ("hints", "repeatable"),
    [
        (None, False),
        (types.ToolAnnotations(), False),
        (types.ToolAnnotations(read_only_hint=True), True),
        (types.ToolAnnotations(read_only_hint=False, idempotent_hint=True), True),
    ],
)
def test_what_may_be_repeated(hints: types.ToolAnnotations | None, repeatable: bool) -> None:
    (function,) = functions_of([listed({"type": "object"}, annotations=hints)], server="s")
    assert function.is_repeatable is repeatable


def text(said: str) -> types.TextContent:
    return types.TextContent(type="text", text=said)


@pytest.mark.parametrize(
    ("content", "value", "shown"),
    [
        ([], None, None),
        ([text("a"), text("b")], "a\nb", "a\nb"),
        ([text('{"a": NaN}')], {"a": None}, '{"a": NaN}'),
        ([text("[1")], "[1", "[1"),
        (
            [types.ImageContent(type="image", data="", mime_type="image/png")],
            "[image, image/png]",
            "[image, image/png]",
        ),
    ],
)
def test_answers(content: list[types.ContentBlock], value: Json, shown: str | None) -> None:
    answer = answer_of(types.CallToolResult(content=content))
    assert (answer.value, answer.text) == (value, shown)


def test_a_resource_is_its_text() -> None:
    inside = types.TextResourceContents(uri="file:///a", text="words")
    link = types.ResourceLink(type="resource_link", name="b", uri="file:///b")
    content: list[types.ContentBlock] = [types.EmbeddedResource(type="resource", resource=inside), link]
    assert answer_of(types.CallToolResult(content=content)).value == "words\n[resource b: file:///b]"


@pytest.mark.parametrize(
    "given",
    [{"content": [text("x" * (MAX_ANSWER + 1))]}, {"content": [], "structured_content": {"a": "x" * MAX_ANSWER}}],
)
def test_too_long(given: dict[str, Any]) -> None:
    with pytest.raises(ToolError) as caught:
        answer_of(types.CallToolResult(**given))
    assert caught.value.code == "response_too_large"


def test_what_a_failed_tool_says_is_bounded() -> None:
    with pytest.raises(ToolError) as caught:
        answer_of(types.CallToolResult(content=[text("no\x00" * 9000)], is_error=True))
    assert caught.value.code == "mcp_error"
    assert len(caught.value.message_for_model) == 2000
    assert "\x00" not in caught.value.message_for_model


@pytest.mark.parametrize(
    ("error", "code", "passing"),
    [
        (MCPError(-32602, "unknown tool"), "mcp_error", False),
        (MCPError(types.CONNECTION_CLOSED, "Connection closed"), "unreachable", True),
        (MCPError(types.CONNECTION_CLOSED, "SSE stream failed: too big"), "response_too_large", False),
        (MCPError(types.PARSE_ERROR, "x"), "bad_response", False),
        (MCPError(types.INVALID_REQUEST, "Redirect to http://10.0.0.1/ not followed"), "redirect_refused", False),
        (MCPError(1, "x", {FAULT: "http_503"}), "http_503", True),
        (MCPError(1, "x", {FAULT: "http_403"}), "http_403", False),
        (MCPError(1, "x", {FAULT: "DROP TABLE"}), "mcp_error", False),
        (
            ExceptionGroup("g", [OSError("a"), ExceptionGroup("h", [MCPError(1, "x", {FAULT: "timeout"})])]),
            "timeout",
            True,
        ),
        (OSError("no such file"), "unreachable", True),
        (ValueError("no protocol"), "bad_response", False),
    ],
)
def test_errors(error: Exception, code: str, passing: bool) -> None:
    found = error_of(error)
    assert (found.code, found.passing) == (code, passing)
    assert "10.0.0.1" not in found.message_for_model
