"""The mock model keeps to its script over HTTP, and a side that does not is found out."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from benchmarks.mock_model import mock_model
from benchmarks.peers.script import AGENTS, LINES, TEXTS, TOOLS, Line, counted, reply
from benchmarks.peers.serving import Talk, text_orders
from benchmarks.peers.thin_client import completion, open_http
from benchmarks.text import Wrong, check, percentile
from benchmarks.voice import holds

Json = Any


def offered(agent: str) -> list[str]:
    """Return the functions of one of the script's agents."""
    return ["remember", *(f"to_{key}" for key in AGENTS[agent].paths), *AGENTS[agent].tools]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


class Conversation(Talk):
    """A side that is nothing but the script itself; `silent_at` is the turn at which it falls silent."""

    def __init__(self, silent_at: int = -1) -> None:
        self.tools = self.handoffs = 0
        self._messages: list[dict[str, str]] = []
        self._agent = "front_desk"
        self._left = silent_at

    async def say(self, text: str, *, moves: bool) -> str:
        del moves
        self._left -= 1
        if self._left == -1:
            return ""
        self._messages.append(user(text))
        answer = reply(self._messages, offered(self._agent))
        if answer.function in TOOLS:
            self.tools += 1
            self._messages.append({"role": "tool", "content": "…"})
        elif answer.function:
            self.handoffs += 1
            self._agent = answer.function.removeprefix("to_")
        return reply(self._messages, offered(self._agent)).text

    async def aclose(self) -> None:
        """Nothing is open."""


class Conversations:
    def __init__(self, silent_at: int = -1) -> None:
        self._silent_at = silent_at

    async def open(self) -> Conversation:
        return Conversation(self._silent_at)

    async def settle(self) -> None:
        """Nothing is behind it."""


async def taken(side: Conversations, sessions: int) -> Json:
    orders = text_orders(side)
    await orders["open"]({"sessions": sessions})
    lines = [{"text": line.text, "kind": line.kind} for line in LINES]
    return await orders["take"]({"sessions": sessions, "lines": lines, "rate": None})


async def test_the_script_leads_through_all_agents_and_back() -> None:
    answer = await taken(Conversations(), 3)
    check("script", LINES, 3, answer, 3 * counted(LINES)["completions"])
    assert {name: len(waits) for name, waits in answer["waits_ms"].items()} == {"plain": 9, "tool": 6, "handoff": 9}


async def test_a_side_that_falls_silent_fails_the_run() -> None:
    answer = await taken(Conversations(silent_at=3), 1)
    with pytest.raises(Wrong, match="answers"):
        check("script", LINES, 1, answer, counted(LINES)["completions"])


@pytest.mark.parametrize("name", ["tools", "handoffs", "completions"])
async def test_a_side_that_does_less_fails_the_run(name: str) -> None:
    answer = {**await taken(Conversations(), 1), "completions": counted(LINES)["completions"]}
    answer[name] -= 1
    with pytest.raises(Wrong, match=name):
        check("script", LINES, 1, answer, answer["completions"])


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.text)
def test_a_function_is_called_while_it_is_offered_and_unanswered(line: Line) -> None:
    messages: list[Json] = [user(line.text)]
    assert reply(messages, {line.function}).function == line.function
    assert reply(messages, {"remember"}).text == TEXTS[line.kind]
    messages.append({"role": "tool", "content": "done"})
    assert reply(messages, {line.function}).text == TEXTS[line.kind]


async def test_over_http_a_text_comes_in_pieces_and_with_its_usage() -> None:
    async with mock_model() as model, open_http() as http:
        chunks = await _asked(http, model.url, [user(LINES[0].text)], "front_desk")
        words = [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]
        assert "".join(filter(None, words)) == TEXTS["plain"]
        assert len(list(filter(None, words))) > 20
        assert [chunk["usage"]["total_tokens"] for chunk in chunks if chunk["usage"]] == [425]
        async with http.get(f"{model.url}/stats") as answer:
            stats = await answer.json()
        assert (stats["requests"], stats["calls"]) == (1, 0)


async def test_over_http_a_call_comes_in_fragments() -> None:
    line = LINES[2]
    async with mock_model() as model, open_http() as http:
        chunks = await _asked(http, model.url, [user(line.text)], "orders")
    parts = [part for chunk in chunks for choice in chunk["choices"] for part in choice["delta"].get("tool_calls", ())]
    assert [part["function"].get("name") for part in parts if "name" in part["function"]] == [line.function]
    assert json.loads("".join(part["function"]["arguments"] for part in parts)) == line.arguments
    assert len(parts) > 2


async def _asked(http: aiohttp.ClientSession, url: str, messages: list[Json], agent: str) -> list[Json]:
    tools = [{"type": "function", "function": {"name": name}} for name in offered(agent)]
    body = {"model": "mock", "messages": messages, "tools": tools, "stream": True}
    async with asyncio.timeout(10):
        return [chunk async for chunk in completion(http, f"{url}/v1", body)]


def test_a_percentile_is_of_the_series() -> None:
    assert percentile([7.0], 99) == 7.0
    assert percentile([float(number) for number in range(101)], 99) == 99.0


@pytest.mark.parametrize(
    ("late", "held"), [({25: 3.0, 50: 8.0, 75: 30.0, 100: 10.0}, 50), ({25: 21.0}, 0), ({50: 1.0, 100: 20.0}, 100)]
)
def test_calls_are_held_up_to_the_first_number_that_was_late(late: dict[int, float], held: int) -> None:
    assert holds(late) == held
