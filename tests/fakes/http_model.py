"""A language model behind HTTP that does as told: an OpenAI-compatible server on loopback, with streamed answers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.loopback import on_loopback

__all__ = ["Answer", "Asked", "Call", "Decide", "Follower", "HttpModel", "http_model", "in_turn"]

Json = Any

_READ_BACK = re.compile(r'Read it back to the caller as "(.*?)"')
_MISSING = re.compile(r"Missing: \w+ \((.*?)[,)]")


@dataclass(frozen=True, slots=True)
class Call:
    """A function to be called; `arguments` are sent as JSON, or as they are where they are text already."""

    name: str
    arguments: Mapping[str, Json] | str = field(default_factory=dict)

    @property
    def as_json(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(dict(self.arguments))


@dataclass(frozen=True, slots=True)
class Answer:
    """One completion: text, then calls. `gate` is waited for before the calls; `stall_s` before anything is sent."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    status: int = 200
    stall_s: float = 0.0
    gate: asyncio.Event | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a completion."""

    messages: Sequence[Mapping[str, Json]]
    functions: tuple[str, ...]
    tool_choice: Json = None

    @property
    def system(self) -> str:
        """The first system prompt."""
        return next((str(each["content"]) for each in self.messages if each["role"] == "system"), "")

    @property
    def said(self) -> str:
        """What the caller said last."""
        return next((_text(each) for each in reversed(self.messages) if each["role"] == "user"), "")

    @property
    def outcome(self) -> str | None:
        """What the functions answered, where nobody has spoken since."""
        told = []
        for message in reversed(self.messages):
            if message["role"] != "tool":
                break
            told.append(_text(message))
        return "\n".join(reversed(told)) if told else None


Decide = Callable[[Asked], Answer]


def in_turn(*answers: Answer) -> Decide:
    """Give the answers one after the other, and from then on a plain sentence."""
    left: Iterator[Answer] = iter(answers)
    return lambda _asked: next(left, Answer("All right."))


class Follower:
    """Follows a workflow: the first pattern that the caller's words match says what to call; what is not offered is not.

    Of what a function answers it says what a model is told to: the read-back, the question, else the text itself.
    """

    def __init__(self, *table: tuple[str, Call]) -> None:
        self._table = tuple((re.compile(pattern, re.IGNORECASE), call) for pattern, call in table)

    def __call__(self, asked: Asked) -> Answer:
        if asked.outcome is not None:
            return Answer(_about(asked.outcome))
        for pattern, call in self._table:
            if call.name in asked.functions and pattern.search(asked.said):
                return Answer(calls=(call,))
        return Answer("Please go on.")


@dataclass(slots=True)
class HttpModel:
    """Where it listens (`url`, for `base_url`), what it decides by, and what it was asked."""

    decide: Decide
    url: str = ""
    requests: list[Asked] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def configured(self, config: Mapping[str, Json], **changes: Json) -> dict[str, Json]:
        """Return the workflow with this model in place of the one it names."""
        llm = {"provider": "openai", "model": "scripted", "base_url": self.url, **changes}
        return {**config, "defaults": {**config.get("defaults", {}), "llm": llm}}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve one request for a completion."""
        asked = _asked(await request.json())
        self.requests.append(asked)
        self.asked.set()
        answer = self.decide(asked)
        if answer.status != 200:
            return web.json_response({"error": {"message": "scripted"}}, status=answer.status)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(answer.stall_s)
        with suppress(ConnectionResetError):  # an answer that is cut off is not read to its end
            async for part in _stream(answer, len(self.requests)):
                await response.write(part)
        return response


@asynccontextmanager
async def http_model(decide: Decide) -> AsyncIterator[HttpModel]:
    """Serve a model on a port of loopback that is free."""
    model = HttpModel(decide)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.answer)
    async with on_loopback(app) as url:
        model.url = f"{url}/v1"
        yield model


async def _stream(answer: Answer, number: int) -> AsyncIterator[bytes]:
    async for delta in _deltas(answer, number):
        yield _event(number, [{"index": 0, "delta": delta, "finish_reason": None}])
    yield _event(number, [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if answer.calls else "stop"}])
    yield _event(number, [], {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
    yield b"data: [DONE]\n\n"


async def _deltas(answer: Answer, number: int) -> AsyncIterator[dict[str, Json]]:
    """Yield the answer in small pieces, as servers send it: names first, arguments bit by bit."""
    for piece in re.findall(r"\S+\s*", answer.text):
        yield {"role": "assistant", "content": piece}
    if answer.gate is not None:
        await answer.gate.wait()
    for index, call in enumerate(answer.calls):
        named = {"index": index, "id": f"call_{number}_{index}", "type": "function"}
        yield {"tool_calls": [named | {"function": {"name": call.name, "arguments": ""}}]}
        half = len(call.as_json) // 2
        for part in (call.as_json[:half], call.as_json[half:]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}


def _event(number: int, choices: list[Json], usage: Mapping[str, int] | None = None) -> bytes:
    chunk = {"id": f"chat-{number}", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
    return f"data: {json.dumps(chunk | {'choices': choices, 'usage': usage})}\n\n".encode()


def _asked(body: Mapping[str, Json]) -> Asked:
    tools = body.get("tools") or []
    return Asked(body["messages"], tuple(each["function"]["name"] for each in tools), body.get("tool_choice"))


def _text(message: Mapping[str, Json]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _about(outcome: str) -> str:
    if aloud := _READ_BACK.search(outcome):
        return f"I have {aloud[1]}. Is that right?"
    if wanted := _MISSING.search(outcome):
        return f"Could you tell me {wanted[1]}, please?"
    return outcome or "That is done."
