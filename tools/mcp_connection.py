"""One connection to an MCP server, from its start to its end, in a task of its own."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Self

import anyio
import mcp_types as types
import structlog
from mcp import Client
from mcp.client._transport import ReadStream, TransportStreams
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from runtime.tasks import cancel_and_wait, spawn
from tools.base import ToolError
from tools.handles import McpFunction
from tools.mcp_results import again, error_of, fault, fault_code, functions_of

__all__ = ["Connection", "Dial"]

Json = Any
Dial = Callable[[Callable[[str], None]], AbstractAsyncContextManager[TransportStreams]]
"""Opens a transport; told what to call for each line that the server writes to stderr."""

_CLIENT = types.Implementation(name="patchbay", version="1")
_PAGES = 10
_CONNECT_S = 30.0
_LISTEN_AGAIN_S = (0.5, 30.0)  # the first wait and the longest
_GRACE_S = 8.0  # a stdio server may take six seconds to be killed

_log = structlog.get_logger("tools")


class Connection:
    """Connects when it is made; calls run on it side by side; ends when it is lost, idle or closed, and stays ended.

    The client's cancel scopes belong to the task that enters them: so one task opens, keeps and closes it, and
    everybody else only sends requests through it. `listed` is called with every new listing of the server's tools,
    `ended` when it is closed, before those who wait for it learn of its `fault`.
    """

    def __init__(
        self,
        label: str,
        dial: Dial,
        *,
        idle_s: float,
        listed: Callable[[tuple[McpFunction, ...]], None],
        ended: Callable[[Connection], None],
    ) -> None:
        self.label = label
        self.fault: ToolError | None = None
        self.has_answered = self.was_lost = False
        self._dial = dial
        self._idle_s = idle_s
        self._listed = listed
        self._ended = ended
        self._client: Client | None = None
        self._in_flight = 0
        self._said: deque[str] = deque(maxlen=5)
        self._ending = self._retired = self._changed = False
        self._settled, self._wake = asyncio.Event(), asyncio.Event()
        self._scope = anyio.CancelScope(deadline=anyio.current_time() + _CONNECT_S)
        self.last_used = asyncio.get_running_loop().time()
        self._task = spawn(self._live(), name=f"mcp:{label}")

    @property
    def is_over(self) -> bool:
        """Whether no new request may be sent on it."""
        return self._ending or self._retired or self._task.done()

    @property
    def is_busy(self) -> bool:
        return self._in_flight > 0 or not self._settled.is_set()

    async def ready(self) -> None:
        """Wait until it is connected and has listed its tools. Raises `ToolError`."""
        await self._settled.wait()
        if self.fault is not None:
            raise again(self.fault)

    async def call(self, tool: str, arguments: Mapping[str, Json]) -> types.CallToolResult:
        """Call a tool once it is `ready`. Raises `MCPError`, or ValueError for an answer that is none."""
        assert self._client is not None
        self._in_flight += 1
        try:
            params = types.CallToolRequestParams(name=tool, arguments=dict(arguments))
            # Not `call_tool`: that would run the server's own schemas, with their expressions, over its answer.
            result = await self._client.session.send_request(types.CallToolRequest(params=params), types.CallToolResult)
            self.has_answered = True
            return result
        except MCPError as error:
            self._heed(error)
            raise
        finally:
            self._in_flight -= 1
            self._wake.set()
            self.last_used = asyncio.get_running_loop().time()

    def end_soon(self) -> None:
        """Close it without waiting; what is under way fails as lost."""
        self._ending = True
        self._wake.set()
        if not self._settled.is_set():
            self._scope.cancel()

    async def aclose(self) -> None:
        """Close it and wait until it is closed, for a bounded time."""
        self.end_soon()
        await asyncio.wait([self._task], timeout=_GRACE_S)
        # The scope's cancellation respects the shield under which a child process is killed; a task's does not.
        self._scope.cancel()
        await asyncio.wait([self._task], timeout=_GRACE_S)
        await cancel_and_wait(self._task)

    # ------------------------------------------------------------ in its own task

    async def _live(self) -> None:
        try:
            with self._scope:
                await self._connected()
        except Exception as error:  # noqa: BLE001 - whatever a server does or a client raises over it ends here
            self._failed(error)
        finally:
            self._ending = True
            if not self._settled.is_set():
                self.fault = self.fault or fault("timeout" if self._scope.cancelled_caught else "unreachable")
            self._ended(self)
            self._settled.set()

    async def _connected(self) -> None:
        transport = _watched(self._dial(self._said.append), self._lose)
        async with Client(transport, cache=None, client_info=_CLIENT, message_handler=self._heard) as client:
            await self._list(client)
            self._client = client
            self.last_used = asyncio.get_running_loop().time()
            self._scope.deadline = math.inf
            self._settled.set()
            _log.info("mcp_connected", server=self.label, protocol=client.protocol_version)
            listener = spawn(self._listen(client), name=f"mcp:{self.label}:changes")
            try:
                await self._keep(client)
            finally:
                await cancel_and_wait(listener)

    async def _keep(self, client: Client) -> None:
        while True:
            self._wake.clear()
            left = self.last_used + self._idle_s - asyncio.get_running_loop().time()
            if self._ending or ((self._retired or left <= 0) and not self._in_flight):
                self._ending = True  # from here on it is closed, and not lost
                return
            if self._changed:
                await self._list_again(client)
                continue
            with anyio.move_on_after(left if left > 0 else self._idle_s):
                await self._wake.wait()

    async def _list(self, client: Client) -> None:
        self._changed = False
        tools: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await client.session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
            tools += page.tools
            if (cursor := page.next_cursor) is None:
                break
        self._listed(functions_of(tools, server=self.label))

    async def _list_again(self, client: Client) -> None:
        try:
            await self._list(client)
        except (MCPError, ValueError) as error:
            self._heed(error)
            _log.warning("mcp_listing_failed", server=self.label, error_code=error_of(error).code)

    async def _listen(self, client: Client) -> None:
        """Ask to be told when the tools change; older servers tell it unasked."""
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            return
        pause, longest = _LISTEN_AGAIN_S
        while True:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    pause = _LISTEN_AGAIN_S[0]
                    self._hear_of_change()  # between the listing and now, or while the stream was lost
                    async for _change in changes:
                        self._hear_of_change()
            except MCPError as error:
                if error.code == types.METHOD_NOT_FOUND:
                    return
            except (SubscriptionLost, TimeoutError):
                pass
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    async def _heard(self, message: IncomingMessage) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._hear_of_change()

    def _hear_of_change(self) -> None:
        self._changed = True
        self._wake.set()

    def _heed(self, error: Exception) -> None:
        if isinstance(error, MCPError) and error.code == types.HEADER_MISMATCH:
            self._hear_of_change()
        elif fault_code(error) == "session_ended":
            self._retired = True  # the calls under way get the same answer, and their turn to be sent again

    def _lose(self) -> None:
        self.was_lost |= not self._ending
        self._ending = True
        self._wake.set()

    def _failed(self, error: Exception) -> None:
        was_connected = self._settled.is_set()
        self.fault = error_of(error)
        reason = str(error) if isinstance(error, OSError) else type(error).__name__
        _log.warning(
            "mcp_connection_lost" if was_connected else "mcp_connection_failed",
            server=self.label,
            error_code=self.fault.code,
            reason=reason[:300],
            said=list(self._said),
        )


@asynccontextmanager
async def _watched(
    transport: AbstractAsyncContextManager[TransportStreams], over: Callable[[], None]
) -> AsyncIterator[TransportStreams]:
    async with transport as (readable, writable):
        yield _Watched(readable, over), writable


class _Watched:
    """A transport's stream that tells when it is over: MCP's client notices, and keeps it to itself."""

    def __init__(self, below: ReadStream[SessionMessage | Exception], over: Callable[[], None]) -> None:
        self._below = below
        self._over = over

    @property
    def last_context(self) -> Any:
        return getattr(self._below, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        return await self._below.receive()

    async def aclose(self) -> None:
        self._over()
        await self._below.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return await self._below.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
