"""`python -m benchmarks.model_client`: the CPU of a request to a model, by LiveKit's openai plugin and by our client."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from aiohttp import web
from livekit.agents import APIConnectOptions, llm
from livekit.agents.llm import function_tool
from livekit.plugins import openai as openai_plugin

from runtime.voice.chat_completions import ChatModel
from runtime.voice.clients import Server, lease, lease_connections, release, release_connections
from worker.tuning import tune

__all__ = ["HISTORIES", "measure"]

Json = Any
HISTORIES: Final = (2, 20, 60)
"""Messages in the history when the model is asked."""
_WORDS: Final = 28
_GAP_S: Final = 0.001
_REQUESTS: Final = 10
_ONCE: Final = APIConnectOptions(max_retry=0, timeout=10.0)


def measure(rounds: int = 5) -> dict[str, float]:
    """Return by history and side the milliseconds of CPU a request, the medians of `rounds` that take turns.

    A request has 6 tools and is answered in 28 words, each of which arrives alone, and its usage. The server is a process
    of its own. The history is of one call: it grew since the last request by what a turn adds.
    """
    with _served() as url:
        return asyncio.run(_measured(url, rounds))


async def _measured(url: str, rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    async with _models(url) as models:
        for model in models.values():
            await _cost(model, 2)
        tune()
        for number in range(rounds):
            for history in HISTORIES:
                for side in sorted(models, reverse=bool(number % 2)):
                    spent = await _cost(models[side], history)
                    found.setdefault(f"model_request_cpu_ms_{history}.{side}", []).append(spent)
    return {name: statistics.median(values) for name, values in found.items()}


async def _cost(model: llm.LLM[Any], history: int) -> float:
    """Return milliseconds a request of a conversation in which each request brings two messages more."""
    tools = [_tool(number) for number in range(6)]
    chat = llm.ChatContext.empty()
    chat.add_message(role="system", content="You answer the telephone of Acme. " * 40)
    for number in range(history - 2):
        chat.add_message(role="assistant" if number % 2 else "user", content=f"Turn {number}: " + "what is said " * 8)
    await _asked(model, chat, tools)
    before = time.process_time()
    for _ in range(_REQUESTS):
        await _asked(model, chat, tools)
        del chat.items[1:3]
    return 1e3 * (time.process_time() - before) / _REQUESTS


async def _asked(model: llm.LLM[Any], chat: llm.ChatContext, tools: list[llm.Tool]) -> None:
    chat.add_message(role="assistant", content="Could you tell me your number?")
    chat.add_message(role="user", content="It is four two seven one.")
    words = 0
    async with model.chat(chat_ctx=chat.copy(), tools=tools, conn_options=_ONCE) as answer:
        async for chunk in answer:
            words += len(chunk.delta.content.split()) if chunk.delta is not None and chunk.delta.content else 0
    assert words == _WORDS


async def _never(raw_arguments: dict[str, object]) -> None: ...


def _tool(number: int) -> llm.Tool:
    properties = {
        f"value_{each}": {"type": "string", "description": "What the caller said of it.", "maxLength": 40}
        for each in range(4)
    }
    parameters = {"type": "object", "properties": properties, "additionalProperties": False}
    return function_tool(
        _never, raw_schema={"name": f"tool_{number}", "description": "Does it. " * 8, "parameters": parameters}
    )


@asynccontextmanager
async def _models(url: str) -> AsyncIterator[Mapping[str, llm.LLM[Any]]]:
    server = Server(url, "k")
    yield {
        "livekit": openai_plugin.LLM(model="m", client=lease(server)),
        "patchbay": ChatModel(lease_connections(server), {"model": "m"}),
    }
    await release(server)
    await release_connections(server)


@contextmanager
def _served() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.model_client", "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield server.stdout.readline().strip()
        server.stdin.close()


async def _serve() -> None:
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/chat/completions", _answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)  # whoever started it closes it
    await runner.cleanup()


async def _answer(request: web.Request) -> web.StreamResponse:
    await request.read()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for event in _EVENTS:
        await response.write(event)
        await asyncio.sleep(_GAP_S)
    await response.write(b"data: [DONE]\n\n")
    return response


def _event(choices: list[Json], usage: Mapping[str, int] | None = None) -> bytes:
    chunk = {"id": "chat-1", "object": "chat.completion.chunk", "created": 0, "model": "m", "service_tier": "default"}
    return f"data: {json.dumps(chunk | {'choices': choices, 'usage': usage})}\n\n".encode()


_EVENTS: Final = (
    *(
        _event(
            [{"index": 0, "delta": {"role": "assistant", "content": "word "}, "logprobs": None, "finish_reason": None}]
        )
        for _ in range(_WORDS)
    ),
    _event([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]),
    _event([], {"prompt_tokens": 400, "completion_tokens": _WORDS, "total_tokens": 428}),
)


def main() -> None:
    """Serve, or print what a request costs."""
    if sys.argv[1:] == ["serve"]:
        asyncio.run(_serve())
        return
    for name, value in measure().items():
        print(f"{name:<40} {value:6.2f}")


if __name__ == "__main__":
    main()
