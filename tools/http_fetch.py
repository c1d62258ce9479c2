"""One HTTP exchange for a tool: few redirects, each checked; a bounded body; every failure a code and a sentence."""

from __future__ import annotations

import json
import zlib
from typing import Any

import httpx

from runtime.addresses import AddressRefused
from tools.base import ToolError

__all__ = ["MAX_BODY", "MAX_REDIRECTS", "fetch"]

Json = Any

MAX_BODY = 256 * 1024
"""Bytes of an answer's body, unpacked."""
MAX_REDIRECTS = 3

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_KEPT_HEADERS = ("accept", "accept-encoding", "user-agent")


async def fetch(client: httpx.AsyncClient, request: httpx.Request) -> Json:
    """Return the JSON the service answers with, or its text, or None for nothing.

    Raises `ToolError`: `http_404` and the like, `bad_response`, `response_too_large`, `too_many_redirects`,
    `redirect_refused`, `address_refused`, `timeout`, `unreachable`.
    """
    try:
        return await _follow(client, request)
    except AddressRefused as error:
        raise ToolError("address_refused", "This service may not be asked from here.") from error
    except httpx.TimeoutException as error:
        raise ToolError("timeout", "The service did not answer in time.", passing=True) from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise ToolError("unreachable", "The service cannot be reached at the moment.", passing=True) from error


async def _follow(client: httpx.AsyncClient, request: httpx.Request) -> Json:
    for _ in range(MAX_REDIRECTS + 1):
        response = await client.send(request, stream=True)
        try:
            if response.next_request is None:
                return await _answer(response)
            request = _redirected(request, response.next_request)
        finally:
            await response.aclose()
    raise ToolError("too_many_redirects", "The service led in circles.")


def _redirected(request: httpx.Request, following: httpx.Request) -> httpx.Request:
    """Return the next request. What a config gives one host must not go to another, in headers or in a body."""
    if following.url.scheme not in _DEFAULT_PORTS:
        raise ToolError("redirect_refused", "The service led somewhere else.")
    if _origin(request.url) == _origin(following.url) or _is_upgrade(request.url, following.url):
        return following
    if following.method not in {"GET", "HEAD"}:
        raise ToolError("redirect_refused", "The service led somewhere else.")
    kept = {name: following.headers[name] for name in _KEPT_HEADERS if name in following.headers}
    return httpx.Request("GET", following.url, headers=kept, extensions=following.extensions)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or _DEFAULT_PORTS.get(url.scheme)


def _is_upgrade(before: httpx.URL, after: httpx.URL) -> bool:
    return _origin(before) == ("http", after.host, 80) and _origin(after) == ("https", before.host, 443)


async def _answer(response: httpx.Response) -> Json:
    if not response.is_success:
        status = response.status_code
        raise ToolError(f"http_{status}", f"The service answered {status}.", passing=status in _PASSING)
    body = await _body(response)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().casefold()
    if not body.strip():
        return None
    return _json(body) if kind.endswith("json") else _json_or_text(body, response.charset_encoding)


async def _body(response: httpx.Response) -> bytes:
    """Read the body as it came and unpack it with a bound: a small answer may unpack to gigabytes."""
    coding = response.headers.get("content-encoding", "identity").strip().casefold()
    packed = bytearray()
    async for part in response.aiter_raw():
        packed += part
        if len(packed) > MAX_BODY:
            raise _too_large()
    if coding == "identity":
        return bytes(packed)
    if coding not in {"gzip", "deflate"}:
        raise _unreadable()
    unpacked = _unpacked(bytes(packed))
    if len(unpacked) > MAX_BODY:
        raise _too_large()
    return unpacked


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=47).decompress(packed, MAX_BODY + 1)  # 47: gzip and zlib alike
    except zlib.error as error:
        raise _unreadable() from error


def _json(body: bytes) -> Json:
    try:
        return json.loads(body, parse_constant=lambda _name: None)
    except (ValueError, RecursionError) as error:
        raise _unreadable() from error


def _json_or_text(body: bytes, charset: str | None) -> Json:
    try:
        return json.loads(body, parse_constant=lambda _name: None)
    except (ValueError, RecursionError):
        pass
    try:
        return body.decode(charset or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _unreadable() -> ToolError:
    return ToolError("bad_response", "The service's answer could not be read.")


def _too_large() -> ToolError:
    return ToolError("response_too_large", "The service's answer was too long to be read.")
