"""`python -m benchmarks.mock_model`: the model of the script behind HTTP, a process of its own; prints its address when it serves."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from benchmarks.peers.script import Reply, reply
from tests.fakes.loopback import on_loopback

__all__ = ["MockModel", "mock_model"]

Json = Any


@dataclass(slots=True)
class MockModel:
    """Streams the script's replies as OpenAI's API does; `GET /stats` tells how often it was asked and what that cost it."""

    url: str = ""
    requests: int = 0
    calls: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve one completion."""
        body = json.loads(await request.read())
        offered = {tool["function"]["name"] for tool in body.get("tools") or ()}
        answer = reply(body["messages"], offered)
        self.requests += 1
        self.calls += bool(answer.function)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in _events(answer, self.requests):
            await response.write(event)
            await asyncio.sleep(0)  # what is written at once would be one chunk
        return response

    async def stats(self, request: web.Request) -> web.Response:
        """Tell what was asked so far."""
        del request
        return web.json_response(
            {"requests": self.requests, "calls": self.calls, "cpu_s": time.process_time(), "pid": os.getpid()}
        )


@asynccontextmanager
async def mock_model() -> AsyncIterator[MockModel]:
    """Serve the script on a port of loopback that is free."""
    model = MockModel()
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/chat/completions", model.answer)
    app.router.add_get("/stats", model.stats)
    async with on_loopback(app) as url:
        model.url = url
        yield model


def _events(answer: Reply, number: int) -> Iterator[bytes]:
    for delta in _deltas(answer, number):
        yield _event(number, [{"index": 0, "delta": delta, "finish_reason": None}])
    yield _event(number, [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if answer.function else "stop"}])
    yield _event(number, [], {"prompt_tokens": 400, "completion_tokens": 25, "total_tokens": 425})
    yield b"data: [DONE]\n\n"


def _deltas(answer: Reply, number: int) -> Iterator[dict[str, Json]]:
    """Yield the answer in small pieces, as servers send it: words, or a name first and arguments bit by bit."""
    for word in re.findall(r"\S+\s*", answer.text):
        yield {"role": "assistant", "content": word}
    if answer.function:
        named = {"index": 0, "id": f"call_{number}", "type": "function"}
        yield {"role": "assistant", "tool_calls": [named | {"function": {"name": answer.function, "arguments": ""}}]}
        for part in re.findall(r".{1,8}", json.dumps(dict(answer.arguments))):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}


def _event(number: int, choices: list[Json], usage: Mapping[str, int] | None = None) -> bytes:
    chunk = {"id": f"chat-{number}", "object": "chat.completion.chunk", "created": 0, "model": "mock"}
    return f"data: {json.dumps(chunk | {'choices': choices, 'usage': usage})}\n\n".encode()


async def _serve() -> None:
    async with mock_model() as model:
        print(model.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)  # whoever started it closes it


if __name__ == "__main__":
    asyncio.run(_serve())
