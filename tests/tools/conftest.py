"""A runner with its tools, and a service on loopback that misbehaves in every way."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import pytest
from aiohttp import web

from runtime.session.ports import RunnerOrder, Telephone, ToolCall
from runtime.workflow.config import AgentTool, WorkflowConfig
from runtime.workflow.graph import CompiledTool, compile_workflow
from tools.guard import open_client
from tools.mocks import Mocks
from tools.registry import Registry, default_registry
from tools.runner import Runner
from tools.services import Services

Json = Any
NewRunner = Callable[..., Runner]
AGENT = {"id": "a", "name": "Intake", "instructions": "Help."}
WORKFLOW = compile_workflow(WorkflowConfig.model_validate({"agents": [AGENT]}), version_id="v")


def compiled(tool_type: str, config: Mapping[str, Json] | None = None, **fields: Any) -> CompiledTool:
    return CompiledTool(AgentTool(tool_type=tool_type, config=dict(config or {}), **fields), tool_type, None)


def call(tool: CompiledTool, arguments: Mapping[str, Json] | None = None, **fields: Any) -> ToolCall:
    given: dict[str, Any] = {
        "variables": {"customer_id": "4271"},
        "caller": {"number": "+15550199", "dialled": "+15550100"},
        "call": {"id": "c-1", "channel": "voice", "direction": "inbound"},
        "workspace": {},
    }
    given |= {"function": tool.function_name, "tool_call_id": "t-1"}
    return ToolCall(tool=tool, arguments=arguments or {}, **(given | fields))


@pytest.fixture
async def new_runner() -> AsyncIterator[NewRunner]:
    clients: list[httpx.AsyncClient] = []

    def new(
        *,
        secrets: Mapping[str, str] | None = None,
        registry: Registry | None = None,
        private: bool = False,
        telephone: Telephone | None = None,
        services: Services | None = None,
        mocks: Mocks | None = None,
    ) -> Runner:
        clients.append(open_client(lambda _host, _port: private))
        order = RunnerOrder("o", WORKFLOW, secrets=secrets or {}, telephone=telephone)
        return Runner(registry or default_registry(), services or Services(clients[-1]), order, mocks or Mocks({}))

    yield new
    for client in clients:
        await client.aclose()


class Service:
    """Where it listens, and the requests it has got."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, str, Mapping[str, str], bytes]] = []
        self.other = ""


JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}
GZIP = {"Content-Encoding": "gzip"}
ANSWERS: Mapping[str, tuple[int, Mapping[str, str], bytes]] = {
    "/huge": (200, JSON, b'"' + b"x" * 400_000 + b'"'),
    "/bomb": (200, TEXT | GZIP, gzip.compress(b"x" * 20_000_000)),
    "/packed": (200, JSON | GZIP, gzip.compress(b'{"ok": true}')),
    "/mispacked": (200, JSON | GZIP, b"not packed"),
    "/brotli": (200, JSON | {"Content-Encoding": "br"}, b"x"),
    "/broken": (200, JSON, b'{"a": '),
    "/deep": (200, JSON, b"[" * 100_000),
    "/text": (200, TEXT, b"plain words"),
    "/charset": (200, {"Content-Type": "text/plain; charset=nope"}, "grüße".encode()),
    "/nan": (200, JSON, b'{"a": NaN}'),
    "/empty": (204, {}, b""),
    "/cookie": (200, {"Set-Cookie": "session=1"}, b"{}"),
    "/redirect/loop": (302, {"Location": "/redirect/loop"}, b""),
    "/redirect/same": (307, {"Location": "/echo"}, b""),
    "/redirect/other": (302, {"Location": "OTHER/echo"}, b""),
    "/redirect/keeping": (307, {"Location": "OTHER/echo"}, b""),
    "/redirect/metadata": (302, {"Location": "http://169.254.169.254/latest/meta-data"}, b""),
    "/redirect/file": (302, {"Location": "file:///etc/passwd"}, b""),
}


async def _answer(service: Service, request: web.Request) -> web.StreamResponse:
    body = await request.read()
    service.requests.append(
        (request.method, request.raw_path, {k.lower(): v for k, v in request.headers.items()}, body)
    )
    path = request.rel_url.raw_path
    if path in ANSWERS:
        status, sent, answer = ANSWERS[path]
        moved = {name: value.replace("OTHER", service.other) for name, value in sent.items()}
        return web.Response(status=status, headers=moved, body=answer)
    match path.split("/")[1:]:
        case ["orders", number]:
            return web.json_response({"number": number, "status": "shipped", "items": [{"sku": "a"}, {"sku": "b"}]})
        case ["status", code]:
            return web.Response(status=int(code), text="internal details")
        case ["echo"]:
            return web.json_response({"headers": dict(request.headers), "query": request.query_string})
        case ["slow"]:
            await asyncio.sleep(5)
        case ["cut"]:
            return await _cut(request)
    return web.Response(status=404)


async def _cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"half")
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """Two listeners of one service: `url`, and `other` on another port, which makes it another origin."""
    here = Service()

    async def handle(request: web.Request) -> web.StreamResponse:
        return await _answer(here, request)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    for _ in range(2):
        await web.TCPSite(runner, "127.0.0.1", 0).start()
    here.url, here.other = (f"http://127.0.0.1:{address[1]}" for address in runner.addresses)
    yield here
    await runner.cleanup()
