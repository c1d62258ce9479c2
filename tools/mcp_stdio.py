"""MCP over stdio: a server of the operator's as a child process, with no more of our environment than it needs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from mcp.client._transport import TransportStreams
from mcp.client.stdio import StdioServerParameters, stdio_client

from runtime.settings import McpServer
from runtime.tasks import cancel_and_wait, spawn
from tools.scrub import Scrubber, cut

__all__ = ["stdio_transport"]

_LONGEST_LINE = 500

_log = structlog.get_logger("tools")


@asynccontextmanager
async def stdio_transport(
    name: str, server: McpServer, heard: Callable[[str], None] = lambda _line: None
) -> AsyncIterator[TransportStreams]:
    """Start the server and yield its streams; at the end it gets two seconds to go, then it and its children are killed.

    The child gets PATH, HOME and the like, and `server.env`. What it writes to stderr is logged, without the values
    of `server.env`, and given to `heard`. Raises OSError where it cannot be started.
    """
    parameters = StdioServerParameters(
        command=server.command, args=list(server.args), env=dict(server.env), cwd=server.cwd
    )
    scrub = Scrubber(server.env.values())

    def said(line: str) -> None:
        text = cut(scrub.text(line), _LONGEST_LINE)
        _log.debug("mcp_server_said", server=name, line=text)
        heard(text)

    async with _line_pipe(f"mcp:{name}:stderr", said) as writable:
        with os.fdopen(writable, "w") as errors:
            async with stdio_client(parameters, errlog=errors) as streams:
                yield streams


@asynccontextmanager
async def _line_pipe(name: str, said: Callable[[str], None]) -> AsyncIterator[int]:
    """Yield the writing end of a pipe, which is the caller's to close; every line that comes out is `said`."""
    readable, writable = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(readable, "rb", 0)
    )
    listener = spawn(_listen(reader, said), name=name)
    try:
        yield writable
    finally:
        await cancel_and_wait(listener)
        transport.close()


async def _listen(reader: asyncio.StreamReader, said: Callable[[str], None]) -> None:
    rest = b""
    while part := await reader.read(4096):
        *lines, rest = (rest + part).split(b"\n")
        rest = rest[:_LONGEST_LINE]
        for line in filter(None, map(bytes.strip, lines)):
            said(line.decode("utf-8", "replace"))
