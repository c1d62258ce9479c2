"""One signed POST: Standard Webhooks headers (standardwebhooks.com), no redirects, and nothing of the answer but its status."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from runtime.addresses import AddressRefused
from runtime.aftercall.ports import Sent

__all__ = ["Message", "post", "signatures"]

_PREFIX = "whsec_"
# Of the 4xx, those that time may heal: too slow, too early, too often.
_PASSING = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: `id` names it over all attempts and has no dot in it."""

    id: str
    at: datetime
    body: bytes


def signatures(secret: str, message: Message) -> str:
    """Return the header `webhook-signature`: one signature for each secret in `secret`, which a space parts.

    `whsec_…` is base64 of the key, anything else is the key itself. Raises ValueError where there is no key in it.
    """
    signed = b"%b.%d.%b" % (message.id.encode(), int(message.at.timestamp()), message.body)
    made = [hmac.new(_key(each), signed, hashlib.sha256).digest() for each in secret.split()]
    if not made:
        raise ValueError("the secret is empty")
    return " ".join(f"v1,{base64.b64encode(each).decode()}" for each in made)


async def post(
    client: httpx.AsyncClient,
    url: httpx.URL,
    message: Message,
    headers: Sequence[tuple[bytes, bytes]],
    timeout_s: float,
) -> Sent:
    """POST the message and tell how it went within `timeout_s`. Never raises; the answer's body is not read."""
    request = httpx.Request(
        "POST",
        url,
        content=message.body,
        headers=httpx.Headers([*_own_headers(message, headers), *headers]),
        extensions={"timeout": httpx.Timeout(timeout_s).as_dict()},
    )
    try:
        async with asyncio.timeout(timeout_s):
            response = await client.send(request, stream=True, follow_redirects=False)
    except AddressRefused:
        return Sent(ok=False, error_code="address_refused")
    except (TimeoutError, httpx.TimeoutException):
        return Sent(ok=False, error_code="timeout", retryable=True)
    except (httpx.TransportError, httpx.InvalidURL):
        return Sent(ok=False, error_code="unreachable", retryable=True)
    await response.aclose()
    return _sent(response)


def _sent(response: httpx.Response) -> Sent:
    status = response.status_code
    if response.is_success:
        return Sent(ok=True, status=status)
    is_final = 400 <= status < 500 and status not in _PASSING
    wait = None if is_final else _wait_s(response.headers.get("retry-after", ""))
    return Sent(ok=False, status=status, error_code=f"http_{status}", retryable=not is_final, retry_after_s=wait)


def _wait_s(text: str) -> float | None:
    """Return the seconds of a Retry-After, which are a number or a date."""
    if text.strip().isdecimal():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()


def _own_headers(message: Message, given: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    own = {
        b"content-type": b"application/json",
        b"user-agent": b"Patchbay",
        b"webhook-id": message.id.encode(),
        b"webhook-timestamp": str(int(message.at.timestamp())).encode(),
    }
    taken = {name for name, _ in given}
    return [(name, value) for name, value in own.items() if name not in taken]


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX) + "==", validate=False)
    except binascii.Error as error:
        raise ValueError("what follows whsec_ is not base64") from error
    if not key:
        raise ValueError("nothing follows whsec_")
    return key
