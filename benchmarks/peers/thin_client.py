"""A thin client of streamed chat completions: one request, one parser, nothing of the SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

__all__ = ["completion", "open_http"]

Json = Any


def open_http() -> aiohttp.ClientSession:
    """Return the connections that all sessions of a process share."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=120), timeout=aiohttp.ClientTimeout(total=None)
    )


async def completion(http: aiohttp.ClientSession, base_url: str, body: Mapping[str, Json]) -> AsyncIterator[Json]:
    """Yield the chunks of one streamed completion as objects. Raises `aiohttp.ClientResponseError` for an error status."""
    async with http.post(f"{base_url}/chat/completions", data=json.dumps(body), headers=_HEADERS) as response:
        response.raise_for_status()
        left = b""
        async for data in response.content.iter_any():
            *events, left = (left + data).split(b"\n\n")
            for event in events:
                if event.startswith(b"data: ") and event != b"data: [DONE]":
                    yield json.loads(event[6:])


_HEADERS = {"Authorization": "Bearer none", "Content-Type": "application/json", "Accept": "text/event-stream"}
