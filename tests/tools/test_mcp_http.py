"""A service behind a URL that is no MCP server, or a bad one: a code each, and no connection left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

import tools.mcp_connection
from tools.base import ToolError
from tools.handles import McpEndpoint
from tools.mcp_servers import McpServers

pytestmark = [pytest.mark.server, pytest.mark.timeout(20)]

JSON = {"Content-Type": "application/json"}
STREAM = {"Content-Type": "text/event-stream"}
ANSWERS = {
    "/html": (200, {"Content-Type": "text/html"}, b"<p>hello"),
    "/broken": (200, JSON, b'{"jsonrpc": '),
    "/huge": (200, JSON, b'"' + b"x" * 2_000_000 + b'"'),
    "/endless": (200, STREAM, b"data: " + b"x" * 2_000_000 + b"\n\n"),
    "/packed": (200, JSON | {"Content-Encoding": "gzip"}, b"\x1f\x8b"),
    "/gone": (404, {}, b"internal details"),
    "/down": (503, JSON, b'{"internal": "details"}'),
    "/elsewhere": (307, {"Location": "http://169.254.169.254/latest"}, b""),
    "/silent": (202, {}, b""),
}


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        if request.path == "/slow":
            await asyncio.sleep(30)
        status, headers, body = ANSWERS[request.path]
        return web.Response(status=status, headers=headers, body=body)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(
    ("path", "code", "passing"),
    [
        ("/html", "mcp_error", False),
        ("/broken", "bad_response", False),
        ("/huge", "bad_response", False),
        ("/endless", "response_too_large", False),
        ("/packed", "bad_response", False),
        ("/gone", "http_404", False),
        ("/down", "http_503", True),
        ("/elsewhere", "redirect_refused", False),
        ("/silent", "mcp_error", False),
        ("/slow", "timeout", True),
    ],
)
async def test_no_mcp_server(address: str, path: str, code: str, passing: bool) -> None:
    servers = McpServers({}, lambda _host, _port: True)
    with pytest.raises(ToolError) as caught:
        await servers.listing(McpEndpoint("", "o-1", address + path), timeout_s=1 if path == "/slow" else 15)
    assert (caught.value.code, caught.value.passing) == (code, passing)
    assert "details" not in caught.value.message_for_model
    await servers.aclose()
    assert servers.open_connections == 0


async def test_a_connection_that_never_comes_about_is_given_up(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools.mcp_connection, "_CONNECT_S", 0.3)
    servers = McpServers({}, lambda _host, _port: True)
    with pytest.raises(ToolError) as caught:
        await servers.listing(McpEndpoint("", "o-1", address + "/slow"), timeout_s=15)
    assert caught.value.code == "timeout"
    assert servers.open_connections == 0
    await servers.aclose()


async def test_a_host_that_does_not_exist() -> None:
    servers = McpServers({})
    with pytest.raises(ToolError) as caught:
        await servers.listing(McpEndpoint("", "o-1", "http://nobody.invalid/mcp"), timeout_s=15)
    assert caught.value.code == "unreachable"
    await servers.aclose()
