"""HTTP clients of OpenAI-compatible servers, shared by the calls of one event loop; never the LLM objects above them."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary

import httpx2
import openai

from runtime.addresses import AddressRefused, Allowed, resolve
from runtime.voice.chat_completions.connections import Connections, Endpoint

__all__ = [
    "NO_KEY",
    "Server",
    "behind_proxy",
    "lease",
    "lease_connections",
    "release",
    "release_connections",
    "ssl_context",
]

NO_KEY = "none"
"""Sent to a server that asks for no key, because the SDK insists on one."""

_LIMITS = httpx2.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=120)
_TIMEOUT = httpx2.Timeout(30.0, connect=10.0)  # livekit gives each request its own
_SDKS_OWN = frozenset({"accept-encoding", "connection", "content-length", "host", "user-agent"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Server:
    """A server and the key it gets; `guard` is set where a stored config named the server.

    A guarded server gets nothing of the environment's: no key, no organization, no headers, no proxy.
    """

    base_url: str | None
    api_key: str | None
    guard: Allowed | None = None


@dataclass(slots=True)
class _Lent(Generic[T]):
    client: T
    leases: int = 0


class _Shelf(Generic[T]):
    """One client for each server and event loop, for as long as anybody holds a lease of it."""

    def __init__(self, make: Callable[[Server], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._lent: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Server, _Lent[T]]] = WeakKeyDictionary()

    def lease(self, server: Server) -> T:
        lent = self._lent.setdefault(asyncio.get_running_loop(), {})
        if server not in lent:
            lent[server] = _Lent(self._make(server))
        lent[server].leases += 1
        return lent[server].client

    async def release(self, server: Server) -> None:
        lent = self._lent.get(asyncio.get_running_loop(), {})
        if (held := lent.get(server)) is None:
            return
        held.leases -= 1
        if held.leases == 0:
            del lent[server]
            await self._close(held.client)


def lease(server: Server) -> openai.AsyncClient:
    """Return the running loop's client for `server`; give it back with `release`. Opens no connection.

    Raises `openai.OpenAIError` where a key is needed and there is none.
    """
    return _sdks.lease(server)


async def release(server: Server) -> None:
    """Give a client back; the last one closes its connections."""
    await _sdks.release(server)


def lease_connections(server: Server) -> Connections:
    """Return the running loop's connections for chat completions; give them back with `release_connections`.

    Opens none. Raises `openai.OpenAIError` where a key is needed and there is none.
    """
    return _connections.lease(server)


async def release_connections(server: Server) -> None:
    """Give the connections back; the last one closes them."""
    await _connections.release(server)


def behind_proxy(server: Server) -> bool:
    """Tell whether the environment puts a proxy before `server`; a guarded one never gets any."""
    if server.guard is not None or not getproxies().keys() & {"http", "https", "all"}:
        return False
    host = urlsplit(server.base_url or "").hostname
    return host is None or not proxy_bypass(host)


@functools.cache
def ssl_context() -> ssl.SSLContext:
    """Return the process's TLS context: reading the root certificates is what makes a client expensive (25 ms, 1 MB)."""
    return httpx2.create_ssl_context()


def _client(server: Server) -> openai.AsyncClient:
    if server.guard is not None:
        return _ForeignClient(
            api_key=server.api_key or NO_KEY,
            base_url=server.base_url,
            max_retries=0,
            http_client=_guarded(server.guard),
        )
    http = httpx2.AsyncClient(verify=ssl_context(), timeout=_TIMEOUT, limits=_LIMITS, follow_redirects=True)
    try:
        return openai.AsyncClient(api_key=server.api_key, base_url=server.base_url, max_retries=0, http_client=http)
    except openai.OpenAIError:
        if server.base_url is None:
            raise
        return openai.AsyncClient(api_key=NO_KEY, base_url=server.base_url, max_retries=0, http_client=http)


def _open(server: Server) -> Connections:
    return Connections(_endpoint(server), ssl_context(), guard=server.guard)


def _endpoint(server: Server) -> Endpoint:
    """Return where the SDK would send a request and with which headers: the environment's rules are its own."""
    path = "/chat/completions"
    options = openai._models.FinalRequestOptions(method="post", url=path)  # noqa: SLF001 - nothing public makes one
    request = _client(server)._build_request(options)  # noqa: SLF001 - nothing public makes one
    headers = {
        name: value
        for name, value in request.headers.items()
        if name not in _SDKS_OWN and not name.startswith("x-stainless-")
    }
    return Endpoint(str(request.url).removesuffix(path), {**headers, "content-type": "application/json"})


def _guarded(guard: Allowed) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=_GuardedTransport(guard), timeout=_TIMEOUT, follow_redirects=False, trust_env=False
    )


class _ForeignClient(openai.AsyncClient):
    """A client whose headers are its own: OPENAI_ORG_ID, OPENAI_PROJECT_ID and OPENAI_CUSTOM_HEADERS stay at home."""

    @property
    def default_headers(self) -> dict[str, str | openai.Omit]:
        return {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": self.user_agent,
            "Authorization": f"Bearer {self.api_key}",
        }


class _GuardedTransport(httpx2.AsyncBaseTransport):
    """Connects to the very address that was checked, so that a name that changes its mind in between gains nothing.

    Its client speaks to one host only: connections are pooled by address here.
    """

    def __init__(self, guard: Allowed) -> None:
        self._guard = guard
        self._inner = httpx2.AsyncHTTPTransport(verify=ssl_context(), limits=_LIMITS)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        try:
            addresses = await resolve(url.host, url.port or (443 if url.scheme == "https" else 80), self._guard)
        except (AddressRefused, OSError) as fault:
            raise httpx2.ConnectError(str(fault), request=request) from fault
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        for address in addresses[:-1]:
            request.url = url.copy_with(host=address)
            try:
                return await self._inner.handle_async_request(request)
            except httpx2.ConnectError:
                continue
        request.url = url.copy_with(host=addresses[-1])
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _close_sdk(client: openai.AsyncClient) -> None:
    await client.close()


_sdks = _Shelf(_client, _close_sdk)
_connections = _Shelf(_open, Connections.aclose)
