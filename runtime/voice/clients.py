"""HTTP clients of OpenAI-compatible servers, shared by the calls of one event loop; never the LLM objects above them."""

from __future__ import annotations

import asyncio
import functools
import ssl
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import httpx2
import openai

from runtime.addresses import AddressRefused, Allowed, resolve

__all__ = ["NO_KEY", "Server", "lease", "release", "ssl_context"]

NO_KEY = "none"
"""Sent to a server that asks for no key, because the SDK insists on one."""

_LIMITS = httpx2.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=120)
_TIMEOUT = httpx2.Timeout(30.0, connect=10.0)  # livekit gives each request its own


@dataclass(frozen=True, slots=True)
class Server:
    """A server and the key it gets; `guard` is set where a stored config named the server.

    A guarded server gets nothing of the environment's: no key, no organization, no headers, no proxy.
    """

    base_url: str | None
    api_key: str | None
    guard: Allowed | None = None


@dataclass(slots=True)
class _Shared:
    client: openai.AsyncClient
    leases: int = 0


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Server, _Shared]] = WeakKeyDictionary()


def lease(server: Server) -> openai.AsyncClient:
    """Return the running loop's client for `server`; give it back with `release`. Opens no connection.

    Raises `openai.OpenAIError` where a key is needed and there is none.
    """
    shared = _clients.setdefault(asyncio.get_running_loop(), {})
    if server not in shared:
        shared[server] = _Shared(_client(server))
    shared[server].leases += 1
    return shared[server].client


async def release(server: Server) -> None:
    """Give a client back; the last one closes its connections."""
    shared = _clients.get(asyncio.get_running_loop(), {})
    if (held := shared.get(server)) is None:
        return
    held.leases -= 1
    if held.leases == 0:
        del shared[server]
        await held.client.close()


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


@functools.cache
def ssl_context() -> ssl.SSLContext:
    """Return the process's TLS context: reading the root certificates is what makes a client expensive (25 ms, 1 MB)."""
    return httpx2.create_ssl_context()


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
