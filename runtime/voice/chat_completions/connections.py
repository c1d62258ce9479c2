"""Connections to one server of chat completions, shared by the calls of one event loop."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from runtime.addresses import AddressRefused, Allowed, is_public, resolve
from runtime.tasks import cancel_and_wait, spawn

__all__ = ["Connections", "Endpoint", "Post"]

_KEPT_S: Final = 120.0
_FRESH_S: Final = 20.0  # a connection that was used so recently is still there with nearly every server
_DRAIN_S: Final = 1.0
_CONNECT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's address without the last slash, such as `https://api.openai.com/v1`, and what each request carries."""

    url: str
    headers: Mapping[str, str] = field(repr=False)

    @property
    def host(self) -> str:
        """Return the server's name and port, without any credentials."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Post:
    """One request: the JSON, what goes beside it, and the seconds it may take to connect and between any two pieces."""

    body: bytes
    timeout_s: float
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


class Connections:
    """The connections to one server, kept open between requests; as many as are needed at once.

    With a `guard` the server's addresses must be public or allowed, and it redirects nowhere: what was checked is what
    is connected to. Nothing is read from the environment: the endpoint has what is to be taken from there.
    """

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext, *, guard: Allowed | None = None) -> None:
        self.endpoint = endpoint
        self.system_first: set[str] = set()
        """Models of the server that take no system message but the first, as has turned out."""
        self._guard = guard
        resolver = None if guard is None else _GuardedResolver(guard)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=0, keepalive_timeout=_KEPT_S, resolver=resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "patchbay", "Accept-Encoding": "identity", **endpoint.headers},
            trust_env=False,
        )
        self._idle: deque[float] = deque()
        self._draining: set[asyncio.Task[None]] = set()

    @property
    def closed(self) -> bool:
        """Whether the last call has given them back."""
        return self._session.closed

    @asynccontextmanager
    async def answer(self, post: Post) -> AsyncIterator[aiohttp.ClientResponse]:
        """Post to `/chat/completions` and yield the answer while it streams; one that is not read on is cut off.

        Raises aiohttp.ClientError, TimeoutError, OSError or `AddressRefused`.
        """
        limits = aiohttp.ClientTimeout(connect=post.timeout_s, sock_read=post.timeout_s)
        reply = await self._send("POST", "/chat/completions", post, limits)
        complete = False
        try:
            yield reply
            complete = True
        finally:
            self._give_back(reply, complete=complete)

    async def warm(self) -> None:
        """Have a connection open for the next request, with a question that costs nothing; raises as `answer` does."""
        fresh_since = asyncio.get_running_loop().time() - _FRESH_S
        while self._idle and self._idle[0] < fresh_since:
            self._idle.popleft()
        if self._idle:
            return
        limits = aiohttp.ClientTimeout(total=_CONNECT_S)
        reply = await self._send("GET", "/models", Post(b"", _CONNECT_S), limits)
        try:
            await self._drain(reply)
        finally:
            reply.close()

    async def aclose(self) -> None:
        """Close all connections. Safe to call twice."""
        await cancel_and_wait(*self._draining)
        await self._session.close()

    async def _send(self, method: str, path: str, post: Post, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        self._check()
        if self._idle:
            self._idle.pop()
        return await self._session.request(
            method,
            self.endpoint.url + path,
            data=post.body or None,
            headers=post.headers,
            params=post.query,
            timeout=limits,
            allow_redirects=self._guard is None,
        )

    def _check(self) -> None:
        """Refuse an address that stands in the URL itself, which no resolver is asked about."""
        parts = urlsplit(self.endpoint.url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        if self._guard is None or self._guard(host, port):
            return
        numeric = ":" in host or host.replace(".", "").isdigit()  # 2130706433 is 127.0.0.1 to a socket
        if (numeric or _is_literal(host)) and not (_is_literal(host) and is_public(host)):
            raise AddressRefused(host, port)

    def _give_back(self, reply: aiohttp.ClientResponse, *, complete: bool) -> None:
        if reply.content.at_eof():
            self._kept(reply)
        elif complete:  # no more than the end of the body is to come, and nobody is to wait for it
            task = spawn(self._drain(reply), name="model answer drained")
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)
            task.add_done_callback(lambda _task: reply.close())
        else:
            reply.close()

    async def _drain(self, reply: aiohttp.ClientResponse) -> None:
        """Read to the end, which lets the connection be used again; the caller closes what did not come to it."""
        try:
            async with asyncio.timeout(_DRAIN_S):
                async for _ in reply.content.iter_any():
                    pass
        except (aiohttp.ClientError, OSError):
            return
        self._kept(reply)

    def _kept(self, reply: aiohttp.ClientResponse) -> None:
        reply.release()
        self._idle.append(asyncio.get_running_loop().time())


class _GuardedResolver(AbstractResolver):
    """Looks names up and leaves out every address that may not be reached."""

    def __init__(self, guard: Allowed) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        del family
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await resolve(host, port, self._guard)
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
