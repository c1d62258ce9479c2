"""Tools' queries over Supabase's API (PostgREST): a short-lived token says which organization asks, or the service role does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import jwt

from runtime.store.tool_database_faults import ToolDatabaseFault, fault_of, timed_out, unreachable

__all__ = ["PostgrestTransport", "ServiceTransport", "Tokens"]

Json = Any

_LIVES_S = 300
# A token is not sent in its last minute: the server's clock may be ahead.
_SPARE_S = 60
_MOST_TOKENS = 1000
_AS_SERVICE = {"patchbay_select": "patchbay_tool_select", "patchbay_rpc": "patchbay_tool_rpc"}


class Tokens:
    """Tokens by organization, signed with HS256 and kept until shortly before they expire."""

    def __init__(self, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock
        self._kept: dict[str, tuple[str, float]] = {}

    def of(self, organization_id: str) -> str:
        token, expires = self._kept.get(organization_id, ("", 0.0))
        return token if expires - _SPARE_S > self._clock() else self._signed(organization_id)

    def _signed(self, organization_id: str) -> str:
        if len(self._kept) >= _MOST_TOKENS:
            self._kept.clear()
        expires = int(self._clock()) + _LIVES_S
        claims = {"role": "patchbay_tool", "organization_id": organization_id, "exp": expires}
        token = jwt.encode(claims, self._secret, algorithm="HS256")
        self._kept[organization_id] = (token, expires)
        return token


class PostgrestTransport:
    """Calls over `http`, which whoever opened it closes. `url` is the project's, without `/rest/v1`."""

    def __init__(self, http: httpx.AsyncClient, url: str, secret: str, *, api_key: str | None = None) -> None:
        self._http = http
        self._base = f"{url.rstrip('/')}/rest/v1/rpc"
        self._tokens = Tokens(secret)
        # Supabase's gateway lets nobody in without one of the project's keys; what counts behind it is the token.
        self._own = {"content-type": "application/json"} | ({"apikey": api_key} if api_key else {})

    async def call(self, organization_id: str, function: str, arguments: Mapping[str, Json], timeout_s: float) -> Json:
        headers = self._own | {"authorization": f"Bearer {self._tokens.of(organization_id)}"}
        return await _post(self._http, f"{self._base}/{function}", headers, arguments, timeout_s)


class ServiceTransport:
    """Calls over `http` with the service role's key alone: two functions of ours become `patchbay_tool` for the query."""

    def __init__(self, http: httpx.AsyncClient, url: str, key: str) -> None:
        self._http = http
        self._base = f"{url.rstrip('/')}/rest/v1/rpc"
        self._headers = {"content-type": "application/json", "apikey": key, "authorization": f"Bearer {key}"}

    async def call(self, organization_id: str, function: str, arguments: Mapping[str, Json], timeout_s: float) -> Json:
        url = f"{self._base}/{_AS_SERVICE[function]}"
        given = {"organization_id": organization_id, **arguments}
        return await _post(self._http, url, self._headers, given, timeout_s)


async def _post(
    http: httpx.AsyncClient, url: str, headers: Mapping[str, str], arguments: Mapping[str, Json], timeout_s: float
) -> Json:
    content = _as_json(arguments)
    try:
        async with asyncio.timeout(timeout_s):
            response = await http.post(url, content=content, headers=dict(headers), timeout=timeout_s)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise timed_out(timeout_s) from error
    except (httpx.TransportError, httpx.InvalidURL, OSError) as error:
        raise unreachable(
            f"Supabase's API cannot be reached: {type(error).__name__}.", "Check SUPABASE_URL."
        ) from error
    return _answer(response)


def _answer(response: httpx.Response) -> Json:
    if response.status_code == httpx.codes.NO_CONTENT:
        return None
    try:
        content = response.json()
    except (ValueError, RecursionError):
        content = None
        if response.is_success:
            raise _strange(response) from None
    if response.is_success:
        return content
    if not isinstance(content, dict) or not isinstance(content.get("code"), str):
        raise _strange(response)
    raise fault_of(content["code"], str(content.get("message")), content.get("hint"))


def _strange(response: httpx.Response) -> ToolDatabaseFault:
    return unreachable(
        f"Supabase's API answered {response.status_code} without saying why.",
        "Check SUPABASE_URL, and that the project is not paused.",
    )


def _as_json(value: Json) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ToolDatabaseFault("invalid_arguments", f"A value is no JSON: {error}.") from error
