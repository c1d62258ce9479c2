"""Requests to the functions `patchbay_store_…` over Supabase's API, by supabase-py; what goes wrong comes as a store's errors."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx
from supabase import AsyncClient, AsyncClientOptions

from runtime.errors import StoreUnreachable, UsageFault
from runtime.store import migrations
from runtime.store.migrations import SchemaStatus
from runtime.store.supabase_faults import ERRORS, MIGRATE, fault_of, is_timeout

__all__ = ["Api"]

Json = Any

_TIMEOUT = httpx.Timeout(30.0, connect=10.0, pool=10.0)
_CONNECTIONS = httpx.Limits(max_connections=16, max_keepalive_connections=16)
# A gateway that lost what is behind it needs about this long before it finds it again.
_RETRY_AFTER_S = 0.2


class Api:
    """The API of the project at `url`, as the service role of `key`. Connects at the first request.

    `transport` is for who leads the requests elsewhere; it is closed with the rest.
    """

    def __init__(self, url: str, key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        if not key.isascii():
            raise UsageFault("SUPABASE_SERVICE_ROLE_KEY is no key.", remedy="Copy it anew from the project's settings.")
        self.place = urlsplit(url).netloc.rpartition("@")[2]
        # supabase-py closes no connection: the client is ours, and so is the one policy of what is tried again.
        self._http = httpx.AsyncClient(
            transport=transport or httpx.AsyncHTTPTransport(limits=_CONNECTIONS, trust_env=False),
            timeout=_TIMEOUT,
            trust_env=False,
            event_hooks={"response": [_hold_back]},
        )
        options = AsyncClientOptions(
            auto_refresh_token=False, persist_session=False, postgrest_client_retry=False, httpx_client=self._http
        )
        self._client = AsyncClient(url, key, options)
        self._closed = False

    async def ask(self, function: str, **arguments: Json) -> Json:
        """Return what `patchbay_store_<function>` answers; asks once more where the API was away.

        Raises `StoreUnreachable`, and `PatchbayError` for what the database never takes.
        """
        try:
            return await self._attempt(function, arguments)
        except StoreUnreachable as away:
            if self._closed or is_timeout(away.__cause__):
                raise
        await asyncio.sleep(_RETRY_AFTER_S)
        return await self._attempt(function, arguments)

    async def schema(self) -> SchemaStatus:
        """Compare the project's database with this release; changes nothing."""
        found = await self.ask("schema")
        return migrations.compare(found["applied"], found["oldest_release"])

    async def check(self) -> None:
        """Raise `StoreUnreachable` unless the project's schema is one this release works with."""
        migrations.refuse_unfit(await self.schema(), remedy=MIGRATE)

    async def identity(self) -> tuple[str | None, str]:
        """Return what tells the project's database from any other: its server, if it says, and its name."""
        found = await self.ask("schema")
        return found["server"], found["database"]

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        self._closed = True
        await self._http.aclose()

    async def _attempt(self, function: str, arguments: dict[str, Json]) -> Json:
        if self._closed:
            raise StoreUnreachable("The store was closed.")
        try:
            answer = await self._client.rpc(f"patchbay_store_{function}", arguments).execute()
        except ERRORS as error:
            raise fault_of(self.place, error) from error
        return answer.data


async def _hold_back(response: httpx.Response) -> None:
    """Raise for an answer that PostgREST did not write: of a gateway's, supabase-py would keep everything but the status."""
    content = await response.aread()
    is_json = response.headers.get("content-type", "").startswith("application/json")
    if response.is_success and is_json:
        return
    if not (is_json and b'"code"' in content):
        raise httpx.HTTPStatusError("no answer of PostgREST's", request=response.request, response=response)
