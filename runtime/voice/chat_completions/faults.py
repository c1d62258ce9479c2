"""What goes wrong with a request, as LiveKit's errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from runtime.addresses import AddressRefused

__all__ = ["FAULTS", "raise_for_status", "translated"]

Json = Any
_MOST_BYTES: Final = 64 * 2**10
_READ_S: Final = 5.0

FAULTS: Final = (aiohttp.ClientError, OSError, AddressRefused, ValueError, TypeError, AttributeError, LookupError)
"""What a server that cannot be reached or understood leads to; TimeoutError is an OSError."""


async def raise_for_status(reply: aiohttp.ClientResponse) -> None:
    """Raise APIStatusError for every answer that is no success, with what the server says of it."""
    if 200 <= reply.status < 300:
        return
    text = (await _beginning(reply)).strip()
    message, body = f"Error code: {reply.status}", _parsed(text)
    if isinstance(body, Mapping):
        body = body.get("error", body)
        told = body.get("message") if isinstance(body, Mapping) else None
        if isinstance(told, str) and told:
            message += f" - {told}"
    raise APIStatusError(
        message, status_code=reply.status, request_id=reply.headers.get("x-request-id"), body=body, retryable=True
    )


def translated(fault: BaseException, *, retryable: bool) -> APIError:
    """Return a fault as the retries and the fallbacks understand it."""
    match fault:
        case TimeoutError():
            return APITimeoutError(retryable=retryable)
        case _:
            return APIConnectionError(retryable=retryable)


async def _beginning(reply: aiohttp.ClientResponse) -> str:
    """Return the first 64 KiB of a body; what came of one that breaks off or does not end."""
    read = bytearray()
    try:
        async with asyncio.timeout(_READ_S):
            async for piece in reply.content.iter_any():
                read += piece
                if len(read) >= _MOST_BYTES:
                    break
    except (aiohttp.ClientError, OSError):
        pass
    return bytes(read[:_MOST_BYTES]).decode("utf-8", "replace")


def _parsed(text: str) -> Json:
    try:
        return json.loads(text)
    except ValueError:
        return text
