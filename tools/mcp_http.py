"""MCP over streamable HTTP: the protocol's own client, over the connections that tools are allowed to make."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from runtime.addresses import AddressRefused
from tools.guard import GuardedTransport
from tools.handles import McpEndpoint
from tools.mcp_results import FAULT

__all__ = ["Bridge", "http_transport"]

MAX_JSON = 1024 * 1024
"""Bytes of an answer that is one JSON document, and of one event of an answer that is a stream."""

_TIMEOUT = httpx2.Timeout(10.0, read=300.0)  # a stream says something now and then; a run has a timeout of its own
_NOTE_TIMEOUT_S = 5.0
_SESSION = "mcp-session-id"
_ALWAYS_OURS = frozenset({401, 403, 407, 429, 502, 503, 504})
_SERVER_ERROR = -32000


@asynccontextmanager
async def http_transport(endpoint: McpEndpoint, below: GuardedTransport) -> AsyncIterator[TransportStreams]:
    """Yield the streams of a session with `endpoint`."""
    given = {"user-agent": "Patchbay", **dict(endpoint.headers), "accept-encoding": "identity"}
    async with (
        httpx2.AsyncClient(transport=Bridge(below), headers=given, timeout=_TIMEOUT, trust_env=False) as client,
        streamable_http_client(endpoint.url, http_client=client, max_sse_event_size=MAX_JSON) as streams,
    ):
        yield streams


class Bridge(httpx2.AsyncBaseTransport):
    """Hands httpx2's requests to the guarded transport, and never raises.

    An exception here would end the session, and with it the calls of others that are under way: what goes wrong is
    an answer of JSON-RPC's instead, which fails the one request.
    """

    def __init__(self, below: GuardedTransport) -> None:
        self._below = below

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        sent = httpx.Request(
            request.method, str(request.url), headers=request.headers.raw, content=body, extensions=request.extensions
        )
        if request.method == "DELETE" or _is_note(body):
            # The session's writer waits for a note, and with it everybody's next request.
            sent.extensions["timeout"] = httpx.Timeout(_NOTE_TIMEOUT_S).as_dict()
        try:
            answer = await self._below.handle_async_request(sent)
        except AddressRefused:
            return _fault("address_refused")
        except httpx.TimeoutException:
            return _fault("timeout")
        except httpx.TransportError:
            return _fault("unreachable")
        if code := _refused(request, answer):
            await answer.aclose()
            return _fault(code)
        stream = _Stream(answer, None if _kind(answer) == "text/event-stream" else MAX_JSON)
        return httpx2.Response(answer.status_code, headers=answer.headers.raw, stream=stream)

    async def aclose(self) -> None:
        """Close nothing: the transport below is shared by all sessions."""


class _Stream(httpx2.AsyncByteStream):
    """The answer's bytes; whatever breaks is a `StreamError`, the one error that MCP's client takes for a bad answer."""

    def __init__(self, answer: httpx.Response, most: int | None) -> None:
        self._answer = answer
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        try:
            async for part in self._answer.aiter_raw():
                read += len(part)
                if self._most is not None and read > self._most:
                    raise httpx2.StreamError("the answer is too long")
                yield part
        except httpx.TransportError as error:
            raise httpx2.StreamError("the answer broke off") from error

    async def aclose(self) -> None:
        await self._answer.aclose()


def _refused(request: httpx2.Request, answer: httpx.Response) -> str:
    """Return the code for an answer that is none of the protocol's, empty for those that are."""
    status = answer.status_code
    if request.method == "POST" and _SESSION in request.headers and status in {400, 404}:
        return "session_ended"
    if answer.headers.get("content-encoding", "identity").casefold() != "identity":
        return "bad_response"
    is_error = status in _ALWAYS_OURS or (status >= 400 and _kind(answer) != "application/json")
    return f"http_{status}" if is_error else ""


def _kind(answer: httpx.Response) -> str:
    return str(answer.headers.get("content-type", "")).partition(";")[0].strip().casefold()


def _is_note(body: bytes) -> bool:
    return bool(body) and "id" not in json.loads(body)


def _fault(code: str) -> httpx2.Response:
    error = {"code": _SERVER_ERROR, "message": code, "data": {FAULT: code}}
    return httpx2.Response(502, json={"jsonrpc": "2.0", "id": None, "error": error})
