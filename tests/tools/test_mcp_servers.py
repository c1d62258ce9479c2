"""The shared connections, against a real server over both transports."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

import tools.mcp_servers
from runtime.settings import McpServer
from runtime.tasks import cancel_and_wait, spawn
from tools.base import ToolContext, ToolError
from tools.handles import McpEndpoint
from tools.mcp_open import open_mcp
from tools.mcp_servers import McpServers
from tools.mcp_tool import McpConfig, McpTool

pytestmark = [pytest.mark.server, pytest.mark.timeout(50)]

ROOT = Path(__file__).parent.parent.parent
FAKE = ("-m", "tests.fakes.mcp_server")
STDIO = McpServer(command=sys.executable, args=(*FAKE, "stdio"), env={"TOKEN": "stdio-token-1"}, cwd=ROOT)
LOCAL = McpEndpoint(server="fake")
TRANSPORTS = ("stdio", "http", "http --legacy", "http --json")


class Web:
    """The fake over HTTP; it can be stopped and started again on the same port."""

    def __init__(self, *flags: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._flags = flags
        self._process: asyncio.subprocess.Process | None = None
        self.endpoint = self.with_headers()

    def with_headers(self, organization: str = "o-1", **headers: str) -> McpEndpoint:
        return McpEndpoint("", organization, f"http://127.0.0.1:{self.port}/mcp", tuple(headers.items()))

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *FAKE, "http", str(self.port), *self._flags, cwd=ROOT
        )
        await eventually(self._is_up)

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def _is_up(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@asynccontextmanager
async def web(*flags: str) -> AsyncIterator[Web]:
    server = Web(*flags)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def connections(**more: float) -> AsyncIterator[McpServers]:
    servers = McpServers({"fake": STDIO}, lambda _host, _port: True, **more)  # type: ignore[arg-type]
    try:
        yield servers
    finally:
        await servers.aclose()
        assert servers.open_connections == 0


@asynccontextmanager
async def reached(transport: str) -> AsyncIterator[tuple[McpServers, McpEndpoint]]:
    kind, *flags = transport.split()
    async with contextlib.AsyncExitStack() as stack:
        endpoint = LOCAL if kind == "stdio" else (await stack.enter_async_context(web(*flags))).endpoint
        yield await stack.enter_async_context(connections()), endpoint


async def eventually(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - a process of another's has no event of ours
        await asyncio.sleep(0.02)


def names(servers: McpServers, endpoint: McpEndpoint) -> set[str]:
    return {function.name for function in servers.known(endpoint)}


async def asked(servers: McpServers, endpoint: McpEndpoint, word: str = "x", timeout_s: float = 20) -> str | None:
    return (await servers.call(endpoint, "quick", {"word": word}, timeout_s=timeout_s)).text


async def code_of(servers: McpServers, endpoint: McpEndpoint, tool: str = "quick", **arguments: object) -> str:
    with pytest.raises(ToolError) as caught:
        await servers.call(endpoint, tool, arguments, timeout_s=20)
    return caught.value.code


async def process_of(servers: McpServers) -> int:
    return int((await servers.call(LOCAL, "about", {"name": "pid"}, timeout_s=20)).value)


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


# ------------------------------------------------------------ on each transport


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_the_tools_bring(transport: str) -> None:
    async with reached(transport) as (servers, endpoint):
        assert servers.known(endpoint) == ()
        listing = {function.name: function for function in await servers.listing(endpoint, timeout_s=20)}
        assert listing["quick"].description == "Says the word."
        assert listing["quick"].parameters["required"] == ["word"]
        assert (listing["quick"].is_repeatable, listing["slow"].is_repeatable) == (True, False)
        assert await asked(servers, endpoint, "fox") == "quick fox"
        found = await servers.call(endpoint, "order", {"number": "7"}, timeout_s=20)
        assert (found.value, found.text) == ({"number": "7", "status": "shipped"}, None)
        shown = await servers.call(endpoint, "picture", {}, timeout_s=20)
        assert shown.text == "[image, image/png]"
        with pytest.raises(ToolError) as failed:
            await servers.call(endpoint, "failing", {}, timeout_s=20)
        assert (failed.value.code, failed.value.passing) == ("mcp_error", False)
        assert "the shelf is empty" in failed.value.message_for_model
        assert await code_of(servers, endpoint, "huge", size=300_000) == "response_too_large"
        assert await code_of(servers, endpoint, "nobody") == "mcp_error"
        assert await asked(servers, endpoint) == "quick x"
        assert servers.open_connections == 1


@pytest.mark.parametrize("transport", TRANSPORTS[:3])
async def test_calls_run_side_by_side_and_a_slow_one_times_out_alone(transport: str) -> None:
    async with reached(transport) as (servers, endpoint):
        pending = spawn(servers.call(endpoint, "slow", {"seconds": 60}, timeout_s=45), name="slow")
        assert await asked(servers, endpoint) == "quick x"
        with pytest.raises(ToolError) as cut_off:
            await servers.call(endpoint, "slow", {"seconds": 60}, timeout_s=0.3)
        assert (cut_off.value.code, cut_off.value.passing) == ("timeout", True)
        assert await asked(servers, endpoint) == "quick x"
        assert not pending.done()
        assert servers.open_connections == 1
        await cancel_and_wait(pending)
        assert await asked(servers, endpoint) == "quick x"


@pytest.mark.parametrize("transport", ["stdio", "http", "http --legacy"])
async def test_a_tool_that_is_added_later_is_known_soon(transport: str) -> None:
    async with reached(transport) as (servers, endpoint):
        await servers.listing(endpoint, timeout_s=20)
        assert "later" not in names(servers, endpoint)
        await servers.call(endpoint, "shop.add-tool", {}, timeout_s=20)
        await eventually(lambda: "later" in names(servers, endpoint))


@pytest.mark.parametrize("transport", TRANSPORTS[:2])
async def test_many_first_calls_open_one_connection(transport: str) -> None:
    async with reached(transport) as (servers, endpoint):
        answers = await asyncio.gather(*(asked(servers, endpoint, str(number)) for number in range(8)))
        assert answers == [f"quick {number}" for number in range(8)]
        assert servers.open_connections == 1


# ------------------------------------------------------------ stdio


async def test_a_killed_process_is_started_again_by_the_next_call() -> None:
    async with connections() as servers:
        first = await process_of(servers)
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: is_gone(first) and servers.open_connections == 0)
        assert await asked(servers, LOCAL) == "quick x"
        assert await process_of(servers) != first


async def test_a_call_under_way_when_its_process_is_killed_fails_in_passing() -> None:
    async with connections() as servers:
        process = await process_of(servers)
        waiting = asyncio.gather(servers.call(LOCAL, "slow", {"seconds": 60}, timeout_s=40), return_exceptions=True)
        await asked(servers, LOCAL)  # answered after the slow one was sent
        os.kill(process, signal.SIGKILL)
        (lost,) = await waiting
        assert isinstance(lost, ToolError)
        assert (lost.code, lost.passing) == ("unreachable", True)


async def test_the_child_gets_no_more_than_it_needs_and_its_secrets_stay_out_of_logs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATCHBAY_SECRET_KEY", "a-key-of-ours")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ours")
    with capture_logs() as logs:
        async with connections() as servers:
            given = set(
                str((await servers.call(LOCAL, "about", {"name": "environment"}, timeout_s=20)).text).split(",")
            )
            token = await servers.call(LOCAL, "about", {"name": "TOKEN"}, timeout_s=20)
            await eventually(lambda: any(line["event"] == "mcp_server_said" for line in logs))
    assert token.text == "stdio-token-1"
    assert {"PATH", "HOME", "TOKEN"} <= given | {"HOME"}
    assert not given & {"PATCHBAY_SECRET_KEY", "OPENAI_API_KEY"}
    assert "stdio-token-1" not in str(logs)
    assert "token •••" in str(logs)


async def test_closing_ends_the_process() -> None:
    async with connections() as servers:
        process = await process_of(servers)
    assert is_gone(process)


async def test_an_idle_connection_is_closed_and_its_listing_stays_known() -> None:
    async with connections(idle_s=0.3) as servers:
        process = await process_of(servers)
        await eventually(lambda: is_gone(process) and servers.open_connections == 0)
        assert "quick" in names(servers, LOCAL)
        assert await asked(servers, LOCAL) == "quick x"


async def test_a_command_that_does_not_work_is_not_tried_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools.mcp_servers, "_FIRST_PAUSE_S", 30.0)
    broken = {"none": McpServer(command="/nowhere/server"), "ends": McpServer(command=sys.executable, args=("-c", "1"))}
    async with open_mcp(broken) as servers:
        for name in broken:
            with capture_logs() as logs:
                for _ in range(3):
                    with pytest.raises(ToolError) as caught:
                        await servers.listing(McpEndpoint(server=name), timeout_s=25)
                    assert caught.value.code == "unreachable"
            assert [line["server"] for line in logs if line["event"] == "mcp_connection_failed"] == [name]


async def test_a_tool_from_its_config_to_its_result() -> None:
    tool = McpTool(McpConfig(server="fake", tools=("order", "later", "shop.add-tool"), prefix="s_"))
    async with open_mcp({"fake": STDIO}) as servers:
        called = functools.partial(ToolContext, "t-1", 20.0, httpx.AsyncClient(), mcp=servers)
        await tool.prepare(called())
        assert [function.name for function in tool.functions("mcp")] == ["s_order", "s_shop_add-tool"]
        result = await tool.run({"number": "7"}, called(function="s_order"))
        assert result.value == {"number": "7", "status": "shipped"}
        await tool.run({}, called(function="s_shop_add-tool"))
        await eventually(lambda: len(tool.functions("mcp")) == 3)
        assert (await tool.run({}, called(function="s_later"))).value == "late"


async def test_a_name_the_operator_did_not_give_is_a_fault_that_names_those_given() -> None:
    with capture_logs() as logs:
        async with connections() as servers:
            assert await code_of(servers, McpEndpoint(server="rm")) == "mcp_unknown_server"
    (line,) = logs
    assert (line["server"], line["servers"]) == ("rm", ["fake"])


# ------------------------------------------------------------ HTTP


@pytest.mark.parametrize("flags", [(), ("--legacy",)])
async def test_a_server_that_was_restarted_is_used_again(flags: tuple[str, ...]) -> None:
    async with web(*flags) as server, connections() as servers:
        assert await asked(servers, server.endpoint) == "quick x"
        await servers.call(server.endpoint, "shop.add-tool", {}, timeout_s=20)
        await eventually(lambda: "later" in names(servers, server.endpoint))
        await server.stop()
        with pytest.raises(ToolError) as away:
            await asked(servers, server.endpoint)
        assert (away.value.code, away.value.passing) == ("unreachable", True)
        await server.start()
        assert await asked(servers, server.endpoint, "again") == "quick again"
        await eventually(lambda: "later" not in names(servers, server.endpoint))


async def test_a_private_address_is_refused_without_permission() -> None:
    async with web() as server, open_mcp({}) as servers:
        assert await code_of(servers, server.endpoint) == "address_refused"


async def test_headers_are_those_of_one_organization() -> None:
    async with web("--guarded") as server, connections() as servers:
        right = server.with_headers("o-1", authorization="Bearer right")
        assert await asked(servers, right) == "quick x"
        with capture_logs() as logs:
            for other in (server.with_headers("o-2", authorization="Bearer wrong"), server.with_headers("o-2")):
                assert await code_of(servers, other) == "http_401"
        assert "Bearer" not in str(logs)
        assert "Bearer" not in repr(right)
        assert await asked(servers, server.with_headers("o-3", authorization="Bearer right")) == "quick x"
        await eventually(lambda: servers.open_connections == 2)


async def test_the_number_of_connections_is_bounded() -> None:
    async with web() as server, connections(most=2) as servers:
        for organization in ("o-1", "o-2", "o-3"):
            assert await asked(servers, server.with_headers(organization)) == "quick x"
        await eventually(lambda: servers.open_connections == 2)
        busy = [
            spawn(servers.call(server.with_headers(name), "slow", {"seconds": 60}, timeout_s=45), name=name)
            for name in ("o-2", "o-3")
        ]
        for name in ("o-2", "o-3"):
            await asked(servers, server.with_headers(name))
        assert await code_of(servers, server.with_headers("o-4")) == "mcp_busy"
        await cancel_and_wait(*busy)
