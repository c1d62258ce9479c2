"""What MCP servers say, made fit for a model and a call: listings and answers bounded, errors as codes and sentences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, assert_never

import mcp_types as types
import structlog
from mcp.shared.exceptions import MCPError

from tools.base import ToolError
from tools.handles import McpAnswer, McpFunction
from tools.schema import checked_schema
from tools.scrub import cut

__all__ = ["FAULT", "MAX_ANSWER", "again", "answer_of", "error_of", "fault", "fault_code", "functions_of"]

Json = Any

MAX_ANSWER = 256 * 1024
"""Characters of an answer."""
FAULT = "patchbay_fault"
"""The key of an error's data under which our transport names what went wrong below MCP."""

_MAX_DESCRIPTION = 1024
_MAX_SCHEMA = 16 * 1024
_MAX_MESSAGE = 2000
_MAX_TOOLS = 200
_CODE = re.compile(r"[a-z_]{1,40}|http_\d{3}")
_PASSING = re.compile(r"timeout|unreachable|session_ended|http_(?:429|5\d\d)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]+")
_TIMED_OUT = frozenset({types.REQUEST_TIMEOUT})
# A server's expressions would run on the loop that all calls share, and one may take for ever.
_DROPPED = frozenset({"pattern", "patternProperties", "$schema", "$comment", "examples"})
_BY_NAME = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})

_SENTENCES: Mapping[str, str] = {
    "address_refused": "This service may not be asked from here.",
    "timeout": "The service did not answer in time.",
    "unreachable": "The service cannot be reached at the moment.",
    "session_ended": "The service cannot be reached at the moment.",
    "bad_response": "The service's answer could not be read.",
    "response_too_large": "The service's answer was too long to be read.",
    "redirect_refused": "The service led somewhere else.",
}

_log = structlog.get_logger("tools")


def functions_of(tools: Iterable[types.Tool], *, server: str) -> tuple[McpFunction, ...]:
    """Return the tools a model can be offered; one whose schema is none, or is too large, is left out and logged."""
    return tuple(
        McpFunction(
            name=tool.name,
            description=cut(_CONTROL.sub(" ", tool.description or tool.title or "").strip(), _MAX_DESCRIPTION),
            parameters=schema,
            is_repeatable=_is_repeatable(tool.annotations),
        )
        for tool in list(tools)[:_MAX_TOOLS]
        if (schema := _schema(tool, server)) is not None
    )


def answer_of(result: types.CallToolResult) -> McpAnswer:
    """Return what a tool brought. Raises `ToolError`: `mcp_error` where the tool says it failed, `response_too_large`."""
    text = "\n".join(filter(None, map(_text, result.content)))
    if result.is_error:
        raise ToolError("mcp_error", _message(text) or "The service could not do it.")
    if len(text) > MAX_ANSWER:
        raise fault("response_too_large")
    if result.structured_content is None:
        return McpAnswer(_json_or_text(text), text or None)
    if len(json.dumps(result.structured_content, ensure_ascii=False)) > MAX_ANSWER:
        raise fault("response_too_large")
    return McpAnswer(result.structured_content)


def error_of(error: BaseException) -> ToolError:
    """Return what a model may read of whatever a connection or a request raised."""
    match error:
        case ToolError():
            return error
        case BaseExceptionGroup():
            return error_of(_worst(error.exceptions))
        case MCPError():
            return _error(error)
        case ValueError() | RuntimeError():  # pydantic's: the answer is none of the protocol
            return fault("bad_response")
        case _:
            return fault("unreachable")


def fault(code: str) -> ToolError:
    """Return the error for one of our transport's codes."""
    sentence = _SENTENCES.get(code) or f"The service answered {code.removeprefix('http_')}."
    return ToolError(code, sentence, passing=_PASSING.fullmatch(code) is not None)


def again(error: ToolError) -> ToolError:
    """Return the error anew: one that is kept and raised many times would keep the frames of every raise."""
    return ToolError(error.code, error.message_for_model, passing=error.passing)


def fault_code(error: BaseException) -> str:
    """Return the code our transport gave an error, empty for any other."""
    data = error.data if isinstance(error, MCPError) else None
    code = data.get(FAULT) if isinstance(data, Mapping) else None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _error(error: MCPError) -> ToolError:
    if code := fault_code(error):
        return fault(code)
    if error.code == types.CONNECTION_CLOSED:
        return fault("response_too_large" if error.message.startswith("SSE stream failed") else "unreachable")
    if error.code in _TIMED_OUT:
        return fault("timeout")
    if error.code == types.PARSE_ERROR:
        return fault("bad_response")
    if error.message.startswith("Redirect to "):
        return fault("redirect_refused")
    return ToolError("mcp_error", _message(error.message) or "The service could not do it.")


def _worst(errors: Sequence[BaseException]) -> BaseException:
    """Return the error that says most: one with a code of its own, else the first."""
    return next((error for error in errors if isinstance(error, MCPError | BaseExceptionGroup)), errors[0])


def _message(text: str) -> str:
    return cut(_CONTROL.sub(" ", text).strip(), _MAX_MESSAGE)


def _is_repeatable(hints: types.ToolAnnotations | None) -> bool:
    return hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)


def _schema(tool: types.Tool, server: str) -> dict[str, Json] | None:
    try:
        schema = checked_schema(_bounded(tool.input_schema))
        if len(json.dumps(schema)) <= _MAX_SCHEMA:
            return schema
        reason = f"its schema has more than {_MAX_SCHEMA} characters"
    except (ValueError, RecursionError) as error:
        reason = str(error)[:200]
    _log.warning("mcp_tool_unusable", server=server, tool=tool.name[:200], reason=reason)
    return None


def _bounded(schema: Json, *, names: bool = False) -> Json:
    """Return the schema without what may not run here; `names` says that its keys are names and not keywords."""
    match schema:
        case Mapping():
            return {
                key: _keyword(key, inner) if not names else _bounded(inner)
                for key, inner in schema.items()
                if names or key not in _DROPPED
            }
        case list():
            return [_bounded(inner) for inner in schema]
        case _:
            return schema


def _keyword(key: str, inner: Json) -> Json:
    if key in {"description", "title"} and isinstance(inner, str):
        return cut(_CONTROL.sub(" ", inner), _MAX_DESCRIPTION)
    if key in {"enum", "const", "default", "required"}:
        return inner
    return _bounded(inner, names=key in _BY_NAME)


def _text(block: types.ContentBlock) -> str:
    """Return a block as a model can read it: media are named, not shown."""
    match block:
        case types.TextContent():
            return block.text
        case types.ImageContent() | types.AudioContent():
            return f"[{block.type}, {block.mime_type}]"
        case types.ResourceLink():
            return f"[resource {block.name}: {block.uri}]"
        case types.EmbeddedResource():
            inside = block.resource
            return inside.text if isinstance(inside, types.TextResourceContents) else f"[resource {inside.uri}]"
        case _:
            assert_never(block)


def _json_or_text(text: str) -> Json:
    """Return the JSON that many servers write into a text, so that `assign` can read it; else the text."""
    if not text.startswith(("{", "[")):
        return text or None
    try:
        return json.loads(text, parse_constant=lambda _name: None)
    except (ValueError, RecursionError):
        return text
