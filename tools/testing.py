"""What a plugin's tests need: a tool run as a call runs it, and a service that is only pretended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import httpx

from tools.base import Json, Tool, ToolContext, ToolError, ToolResult
from tools.schema import argument_faults, checked_schema

__all__ = ["FakeService", "fake_context", "run_tool"]

Answer: TypeAlias = "Json | int | Callable[[httpx.Request], httpx.Response]"


class FakeService:
    """An HTTP service in memory. `answers` are by path: JSON, a status as an int, or a function of the request.

    Any other path is 404. `requests` are those it got, in order.
    """

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        self.answers = dict(answers or {})
        self.requests: list[httpx.Request] = []

    def client(self) -> httpx.AsyncClient:
        """Return a client that reaches this service under every host, and nothing else."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answered))

    def _answered(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = _response(self.answers.get(request.url.path, 404), request)
        # Unread, as from a network: `fetch` reads it piece by piece.
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content))


def fake_context(service: FakeService | None = None, **fields: Any) -> ToolContext:
    """Return a context as a call in a test session has it: no telephone, no database, and `service` for the network.

    `fields` are ToolContext's own: `variables`, `secrets`, `workspace`, `caller`, `timeout_s` (seconds; 5), …
    """
    given: dict[str, Any] = {
        "tool_call_id": "test-1",
        "timeout_s": 5.0,
        "http": (service or FakeService()).client(),
        "call": {"id": "test", "channel": "chat_test", "direction": "inbound"},
        "caller": {"number": "", "dialled": ""},
    }
    return ToolContext(**(given | fields))


async def run_tool(
    tool: type[Tool[Any]],
    config: Mapping[str, Json],
    arguments: Mapping[str, Json] | None = None,
    context: ToolContext | None = None,
) -> ToolResult:
    """Run a tool as a call does and return its result; JSON comes as `ToolResult(value)`.

    Raises pydantic's ValidationError for a config that does not fit, ValueError for parameters that are no JSON Schema
    of an object, `ToolError` as the tool does and with the code `invalid_arguments` where the arguments do not fit,
    TimeoutError after `context.timeout_s`, and TypeError for a result that is no JSON.
    """
    made = tool(tool.Config.model_validate(dict(config)))
    schema = checked_schema(dict(made.parameters()))
    if fault := argument_faults(schema, arguments or {}):
        raise ToolError("invalid_arguments", fault)
    within = context or fake_context()
    async with asyncio.timeout(within.timeout_s):
        found = await made.run(arguments or {}, within)
    result = found if isinstance(found, ToolResult) else ToolResult(found)
    json.dumps(result.value)
    return result


def _response(answer: Answer, request: httpx.Request) -> httpx.Response:
    if callable(answer):
        return answer(request)
    if isinstance(answer, int) and not isinstance(answer, bool):
        return httpx.Response(answer)
    return httpx.Response(200, json=answer)
