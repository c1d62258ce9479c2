"""Sockets of the application, driven as a server drives them, in the test's own event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from runtime.tasks import spawn

__all__ = ["PATIENCE_S", "Socket", "opened"]

Json = Any
PATIENCE_S = 20


class Socket:
    """The reader's end of a socket of the application; `takes` is cleared where the reader takes nothing."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[dict[str, Json]] = asyncio.Queue()
        self.said: asyncio.Queue[dict[str, Json]] = asyncio.Queue()
        self.takes = asyncio.Event()
        self.takes.set()

    async def send(self, message: dict[str, Json]) -> None:
        if message["type"] == "websocket.send":
            await self.takes.wait()
        self.received.put_nowait(message)

    async def next(self) -> dict[str, Json]:
        """Return the next message that is not a ping, or {"code", "reason"} of the close."""
        while True:
            message = await asyncio.wait_for(self.received.get(), PATIENCE_S)
            if message["type"] == "websocket.close":
                return {"code": message["code"], "reason": message["reason"]}
            said = json.loads(message["text"])
            if said["type"] != "ping":
                return dict(said)

    async def seqs(self, count: int) -> list[int]:
        return [(await self.next())["event"]["seq"] for _ in range(count)]


@asynccontextmanager
async def opened(app: FastAPI, path: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[Socket]:
    socket = Socket()
    path, _, query = path.partition("?")
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("api.test", 80),
        "subprotocols": [],
        "state": {},
    }
    socket.said.put_nowait({"type": "websocket.connect"})
    serving = spawn(app(scope, socket.said.get, socket.send), name="socket")  # type: ignore[arg-type]
    try:
        assert (await asyncio.wait_for(socket.received.get(), PATIENCE_S))["type"] == "websocket.accept"
        yield socket
    finally:
        socket.takes.set()
        socket.said.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(serving, PATIENCE_S)
