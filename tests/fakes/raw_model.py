"""An HTTP server of chat completions whose every byte is a test's own: what it sends, when, and how it breaks off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CUT", "DONE", "Asked", "Piece", "RawModel", "Reply", "delta", "event", "raw_model", "says", "stream"]

Json = Any
Piece = bytes | asyncio.Event
"""What is sent, or what is waited for before the next is."""
CUT = b"\0cut"
"""In the place of a piece: the connection is torn down."""
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `connection` numbers the connections in the order in which they were opened."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Json
    connection: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers and the pieces of the body, each a chunk of its own; without `chunked` the body ends with the connection."""

    pieces: Sequence[Piece] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    chunked: bool = True


Decide = Callable[[Asked], Reply | None]
"""None: nothing is ever answered."""


@dataclass(slots=True)
class RawModel:
    """Where it listens and what it was asked; `gone` counts connections that were closed on it in the middle."""

    decide: Decide
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    open: set[int] = field(default_factory=set)
    opened: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def completions(self) -> list[Asked]:
        """Return the requests for answers, without those that only open a connection."""
        return [each for each in self.asked if each.method == "POST"]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds of the requests and connections."""
        async with self.changed:
            await self.changed.wait_for(condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.opened += 1
        number = self.opened
        self.open.add(number)
        try:
            while (asked := await _request(reader, number)) is not None:
                self.asked.append(asked)
                await self._tell()
                if not await self._answer(asked, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(number)
            writer.transport.abort()
            await self._tell()

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def _answer(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        reply = self.decide(asked) if asked.method == "POST" else Reply((b'{"data":[]}',))
        if reply is None:
            await reader.read()
            return False
        kept = {"transfer-encoding": "chunked"} if reply.chunked else {"connection": "close"}
        lines = [
            f"HTTP/1.1 {reply.status} x",
            *(f"{name}: {value}" for name, value in {**reply.headers, **kept}.items()),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        for piece in reply.pieces:
            if piece is CUT:
                await writer.drain()
                return False
            if isinstance(piece, asyncio.Event):
                if not await _passed(piece, reader):
                    return False
                continue
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.chunked else piece)
            await writer.drain()
            await asyncio.sleep(0)
        if reply.chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        if not reply.chunked:
            writer.write_eof()
            await reader.read()
        return reply.chunked


@asynccontextmanager
async def raw_model(decide: Decide) -> AsyncIterator[RawModel]:
    """Serve on a free port of loopback."""
    model = RawModel(decide)
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0)
    model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield model
    finally:
        server.close()
        await model.until(lambda: not model.open)


def event(*choices: Json, **fields: Json) -> bytes:
    """Return one event as servers send it."""
    chunk = {"id": "chat-1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": list(choices)}
    return f"data: {json.dumps(chunk | fields, ensure_ascii=False)}\n\n".encode()


def delta(finish: str | None = None, **fields: Json) -> Json:
    """Return one choice."""
    return {"index": 0, "delta": fields, "finish_reason": finish}


def says(*words: str) -> list[bytes]:
    """Return the events of an answer in words, without its end."""
    return [event(delta(role="assistant", content=word)) for word in words]


def stream(*pieces: Piece, usage: Json = None, finish: str = "stop") -> Reply:
    """Return an answer that ends as it should."""
    counted = [event(usage=usage)] if usage is not None else []
    return Reply((*pieces, event(delta(finish)), *counted, DONE))


async def _passed(gate: asyncio.Event, reader: asyncio.StreamReader) -> bool:
    """Wait for the gate; False where the client went away before."""
    opens, leaves = (asyncio.ensure_future(each) for each in (gate.wait(), reader.read(1)))  # noqa: TID251 - both are awaited here
    await asyncio.wait({opens, leaves}, return_when=asyncio.FIRST_COMPLETED)
    for each in (opens, leaves):
        each.cancel()
    await asyncio.gather(opens, leaves, return_exceptions=True)
    return gate.is_set()


async def _request(reader: asyncio.StreamReader, connection: int) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", 0))
    body = json.loads(await reader.readexactly(length)) if length else None
    return Asked(method, path, headers, body, connection)
