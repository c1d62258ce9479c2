"""The HTTP client tools share: it connects to the very address that was checked, and keeps nothing of a call."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

from runtime.addresses import Allowed, nothing_private, resolve

__all__ = ["GuardedTransport", "open_client"]

_CONNECTIONS, _IDLE, _IDLE_S = 200, 50, 30.0


def open_client(allowed: Allowed = nothing_private) -> httpx.AsyncClient:
    """Return a client for the tools of one event loop; whoever opens it closes it.

    It follows no redirect by itself, reads neither proxies nor passwords from the environment, and raises
    `AddressRefused` for a private address that is not `allowed`.
    """
    client = httpx.AsyncClient(
        transport=GuardedTransport(allowed), timeout=10.0, trust_env=False, follow_redirects=False
    )
    # Shared by calls and tenants: a cookie that one was given must not be sent for another.
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return client


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx over a pool whose every connection is checked after the name is resolved.

    The check lies below the pool, not on the URL: so it holds for redirects too, a name cannot change its address
    between check and connection, and TLS and Host still speak of the name.
    """

    def __init__(self, allowed: Allowed = nothing_private, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(trust_env=False),
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_IDLE,
            keepalive_expiry=_IDLE_S,
            network_backend=_GuardedBackend(allowed),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
        )
        below = httpcore.Request(
            request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions
        )
        try:
            answer = await self._pool.handle_async_request(below)
        except _BELOW as error:
            raise _above(error, request) from error
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Stream(answer, request), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves by itself, and hands the system addresses instead of names."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await resolve(host, port, self._allowed)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._network.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del timeout, socket_options
        raise httpcore.ConnectError(f"{path}: a tool speaks to no socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class _Stream(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._answer.aiter_stream():
                yield part
        except _BELOW as error:
            raise _above(error, self._request) from error

    async def aclose(self) -> None:
        await self._answer.aclose()


_BELOW = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


def _above(error: Exception, request: httpx.Request) -> httpx.TransportError:
    match error:
        case httpcore.TimeoutException():
            return httpx.ReadTimeout(str(error), request=request)
        case httpcore.NetworkError():
            return httpx.NetworkError(str(error), request=request)
        case httpcore.ProtocolError():
            return httpx.ProtocolError(str(error), request=request)
        case _:
            return httpx.UnsupportedProtocol(str(error), request=request)
