"""The MCP connections of a process: opened when they are first needed, shared by its calls, opened again when lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import mcp_types as types
import structlog
from mcp.shared.exceptions import MCPError

from runtime.addresses import Allowed, nothing_private
from runtime.settings import McpServer
from tools.base import ToolError
from tools.guard import GuardedTransport
from tools.handles import McpAnswer, McpEndpoint, McpFunction
from tools.mcp_connection import Connection, Dial
from tools.mcp_http import http_transport
from tools.mcp_results import again, answer_of, error_of, fault, fault_code
from tools.mcp_stdio import stdio_transport

__all__ = ["McpServers"]

Json = Any

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0

_log = structlog.get_logger("tools")


@dataclass(slots=True)
class _Server:
    """What is remembered of a server between its connections; `not_before` is on the loop's clock."""

    functions: tuple[McpFunction, ...] = ()
    connection: Connection | None = None
    failures: int = 0
    fault: ToolError | None = None
    not_before: float = 0.0

    def listed(self, functions: tuple[McpFunction, ...]) -> None:
        if functions != self.functions:  # an equal listing stays the same object, which tells that nothing changed
            self.functions = functions


class McpServers:
    """Connections by endpoint, at most `most` of them; one that nobody used for `idle_s` seconds is closed.

    Belongs to one event loop. `allowed` tells which private addresses a URL may lead to.
    """

    def __init__(
        self,
        servers: Mapping[str, McpServer],
        allowed: Allowed = nothing_private,
        *,
        idle_s: float = 300.0,
        most: int = 64,
    ) -> None:
        _quiet()
        self._configured = servers
        self._idle_s = idle_s
        self._most = most
        self._below = GuardedTransport(allowed)
        self._servers: dict[McpEndpoint, _Server] = {}
        self._open: set[Connection] = set()
        self._is_closed = False

    @property
    def open_connections(self) -> int:
        """Return how many connections there are, those that are being opened or closed too."""
        return len(self._open)

    def known(self, endpoint: McpEndpoint) -> Sequence[McpFunction]:
        server = self._servers.get(endpoint)
        return () if server is None else server.functions

    async def listing(self, endpoint: McpEndpoint, *, timeout_s: float) -> Sequence[McpFunction]:
        """Return the server's tools, connecting where needed; a connection in the making outlives the timeout.

        Raises `ToolError`: `mcp_unknown_server`, `mcp_busy`, `address_refused`, `timeout`, `unreachable`, `http_401`
        and the like, `mcp_error`, `bad_response`.
        """
        async with _within(timeout_s):
            await self._connected(endpoint, timeout_s)
        return self.known(endpoint)

    async def call(
        self, endpoint: McpEndpoint, tool: str, arguments: Mapping[str, Json], *, timeout_s: float
    ) -> McpAnswer:
        """Call a tool and return what it brought. Raises `ToolError`: as `listing`, and `response_too_large`.

        A request is sent again only where the server refused it unseen, because it knew the session no more.
        """
        async with _within(timeout_s):
            try:
                result = await (await self._connected(endpoint, timeout_s)).call(tool, arguments)
            except MCPError as error:
                if fault_code(error) != "session_ended":
                    raise error_of(error) from error
                result = await self._once_more(endpoint, tool, arguments, timeout_s)
            except (ValueError, RuntimeError) as error:
                raise error_of(error) from error
        return answer_of(result)

    async def aclose(self) -> None:
        """Close every connection and wait until the processes are gone, for a bounded time."""
        self._is_closed = True
        await asyncio.gather(*(connection.aclose() for connection in self._open))
        await self._below.aclose()

    async def _once_more(
        self, endpoint: McpEndpoint, tool: str, arguments: Mapping[str, Json], timeout_s: float
    ) -> types.CallToolResult:
        try:
            return await (await self._connected(endpoint, timeout_s)).call(tool, arguments)
        except (MCPError, ValueError, RuntimeError) as error:
            raise error_of(error) from error

    async def _connected(self, endpoint: McpEndpoint, timeout_s: float) -> Connection:
        dial = self._dial(endpoint)
        server = self._servers.setdefault(endpoint, _Server())
        if server.connection is None or server.connection.is_over:
            await _pause(server, timeout_s)
        # Nothing is awaited between this look and the new connection, so that many calls at once open one.
        if server.connection is None or server.connection.is_over:
            self._make_room(server)
            server.connection = self._new(endpoint, server, dial)
        await server.connection.ready()
        return server.connection

    def _new(self, endpoint: McpEndpoint, server: _Server, dial: Dial) -> Connection:
        if self._is_closed:
            raise fault("unreachable")
        connection = Connection(
            _label(endpoint), dial, idle_s=self._idle_s, listed=server.listed, ended=partial(self._ended, server)
        )
        self._open.add(connection)
        return connection

    def _ended(self, server: _Server, connection: Connection) -> None:
        self._open.discard(connection)
        if connection.has_answered:
            server.failures, server.not_before = 0, 0.0
        elif connection.fault is not None or connection.was_lost:
            server.failures += 1
            server.fault = connection.fault or fault("unreachable")
            pause = min(_FIRST_PAUSE_S * 2 ** min(server.failures - 1, 10), _LONGEST_PAUSE_S)
            server.not_before = asyncio.get_running_loop().time() + pause

    def _make_room(self, server: _Server) -> None:
        """Close the connection that was idle longest where there are too many, and forget servers that have none."""
        live = [connection for connection in self._open if not connection.is_over]
        if len(live) >= self._most:
            idle = [connection for connection in live if not connection.is_busy]
            if not idle:
                raise ToolError("mcp_busy", "The service cannot be reached at the moment.", passing=True)
            min(idle, key=lambda connection: connection.last_used).end_soon()
        if len(self._servers) > 4 * self._most:
            gone = [key for key, each in self._servers.items() if each is not server and _is_gone(each)]
            for key in gone[: self._most]:
                del self._servers[key]

    def _dial(self, endpoint: McpEndpoint) -> Dial:
        if not endpoint.server:
            return lambda _said: http_transport(endpoint, self._below)
        configured = self._configured.get(endpoint.server)
        if configured is None:
            _log.error(
                "mcp_server_unknown",
                server=endpoint.server,
                servers=sorted(self._configured),
                remedy="name it in PATCHBAY_MCP_SERVERS",
            )
            raise ToolError("mcp_unknown_server", "This service is not set up here.")
        return lambda said: stdio_transport(endpoint.server, configured, said)


def _quiet() -> None:
    """Keep the protocol's own logs to ourselves: they hold URLs, session ids and what callers said."""
    for name in ("mcp", "client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("httpx2").setLevel(logging.WARNING)


async def _pause(server: _Server, timeout_s: float) -> None:
    """Wait until a server that failed may be tried again; raises what it failed with where that would be too late."""
    left = server.not_before - asyncio.get_running_loop().time()
    if server.fault is not None and left >= timeout_s:
        raise again(server.fault)
    await asyncio.sleep(max(0.0, left))


@asynccontextmanager
async def _within(timeout_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise fault("timeout") from error


def _is_gone(server: _Server) -> bool:
    return server.connection is None or server.connection.is_over


def _label(endpoint: McpEndpoint) -> str:
    return endpoint.server or (urlsplit(endpoint.url).hostname or "")
