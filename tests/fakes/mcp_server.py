"""An MCP server made with the official package: over stdio, or over streamable HTTP on loopback.

`python -m tests.fakes.mcp_server stdio`, or `… http PORT [--legacy]`: legacy is the protocol before 2026, with
sessions. HTTP wants the header `authorization: Bearer right` where `--guarded` says so.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.utilities.types import Image
from pydantic import BaseModel
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

READ_ONLY = types.ToolAnnotations(read_only_hint=True)

server = MCPServer("fake", log_level="CRITICAL")


class Order(BaseModel):
    number: str
    status: str


@server.tool(annotations=READ_ONLY, structured_output=False)
def quick(word: str) -> str:
    """Says the word."""
    return f"quick {word}"


@server.tool(structured_output=False)
async def slow(seconds: float) -> str:
    """Takes so many seconds."""
    await asyncio.sleep(seconds)
    return "at last"


@server.tool(structured_output=False)
def failing() -> str:
    """Fails."""
    raise ToolError("the shelf is empty")


@server.tool(annotations=READ_ONLY)
def order(number: str) -> Order:
    """Looks an order up."""
    return Order(number=number, status="shipped")


@server.tool(structured_output=False)
def huge(size: int) -> str:
    return "x" * size


@server.tool(structured_output=False)
def picture() -> Image:
    return Image(data=b"\x89PNG", format="png")


@server.tool(structured_output=False)
def about(name: str) -> str:
    """Tells of the process: its id, its environment."""
    return {"pid": str(os.getpid()), "environment": ",".join(sorted(os.environ))}.get(name, os.environ.get(name, ""))


@server.tool(name="shop.add-tool", structured_output=False)
async def add_tool(context: Context[Any, Any]) -> str:
    """Adds the tool `later`, and says so."""
    server.add_tool(later, structured_output=False)
    await context.notify_tools_changed()
    await context.session.send_tool_list_changed()
    return "added"


def later() -> str:
    return "late"


class Gate:
    """Refuses what a server of the older protocol does not know, and whoever has the wrong key."""

    def __init__(self, app: ASGIApp, *, legacy: bool, guarded: bool) -> None:
        self._app = app
        self._legacy = legacy
        self._guarded = guarded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        if self._guarded and headers.get(b"authorization") != b"Bearer right":
            await PlainTextResponse("internal details", 401)(scope, receive, send)
        elif self._legacy and headers.get(b"mcp-method") == b"server/discover":
            await PlainTextResponse("no such method", 400)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def main(arguments: list[str]) -> None:
    if arguments[0] == "stdio":
        print("the fake is up, token", os.environ.get("TOKEN"), file=sys.stderr, flush=True)  # noqa: T201
        server.run("stdio")
        return
    app = Gate(
        server.streamable_http_app(json_response="--json" in arguments),
        legacy="--legacy" in arguments,
        guarded="--guarded" in arguments,
    )

    async def whole(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if scope["type"] == "http" else app._app)(scope, receive, send)

    uvicorn.run(whole, host="127.0.0.1", port=int(arguments[1]), log_level="error", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main(sys.argv[1:])
