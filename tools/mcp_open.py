"""The process's way to MCP servers; the protocol's package is loaded when the first workflow asks for one."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from runtime.addresses import Allowed, nothing_private
from runtime.mcp_setting import McpServer
from runtime.tasks import cancel_and_wait, spawn
from tools.base import ToolError
from tools.handles import McpAnswer, McpEndpoint, McpFunction

if TYPE_CHECKING:  # it loads the package
    from tools.mcp_servers import McpServers

__all__ = ["McpWhenNeeded", "open_mcp"]

Json = Any


@asynccontextmanager
async def open_mcp(
    servers: Mapping[str, McpServer], allowed: Allowed = nothing_private
) -> AsyncIterator[McpWhenNeeded]:
    """Yield the MCP connections of this event loop; nothing is opened before it is needed, and all is closed at the end.

    `servers` are the operator's, by name; `allowed` tells which private addresses a workflow's URL may lead to.
    """
    found = McpWhenNeeded(servers, allowed)
    try:
        yield found
    finally:
        await found.aclose()


class McpWhenNeeded:
    """A `tools.handles.Mcp` that costs nothing until it is used: loading the package takes a second and 20 MB."""

    def __init__(self, servers: Mapping[str, McpServer], allowed: Allowed = nothing_private) -> None:
        self._configured = servers
        self._allowed = allowed
        self._loading: asyncio.Task[McpServers] | None = None
        self._loaded: McpServers | None = None

    def known(self, endpoint: McpEndpoint) -> Sequence[McpFunction]:
        return () if self._loaded is None else self._loaded.known(endpoint)

    async def listing(self, endpoint: McpEndpoint, *, timeout_s: float) -> Sequence[McpFunction]:
        servers, left = await self._servers(timeout_s)
        return await servers.listing(endpoint, timeout_s=left)

    async def call(
        self, endpoint: McpEndpoint, tool: str, arguments: Mapping[str, Json], *, timeout_s: float
    ) -> McpAnswer:
        servers, left = await self._servers(timeout_s)
        return await servers.call(endpoint, tool, arguments, timeout_s=left)

    async def aclose(self) -> None:
        """Close every connection and wait until the processes are gone, for a bounded time."""
        if self._loading is not None:
            await cancel_and_wait(self._loading)
        if self._loaded is not None:
            await self._loaded.aclose()

    async def _servers(self, timeout_s: float) -> tuple[McpServers, float]:
        """Return the connections, and what is left of the time."""
        begin = asyncio.get_running_loop().time()
        if self._loading is None:
            self._loading = spawn(self._load(), name="mcp:load")
        try:
            async with asyncio.timeout(timeout_s):
                servers = await asyncio.shield(self._loading)
        except TimeoutError as error:
            raise ToolError("timeout", "The service did not answer in time.", passing=True) from error
        return servers, timeout_s - (asyncio.get_running_loop().time() - begin)

    async def _load(self) -> McpServers:
        # In a thread: the loop has audio to carry meanwhile.
        module = await asyncio.to_thread(importlib.import_module, "tools.mcp_servers")
        self._loaded = module.McpServers(self._configured, self._allowed)
        return self._loaded
