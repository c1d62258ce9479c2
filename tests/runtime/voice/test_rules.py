"""The stand-in as LiveKit sees it."""

from __future__ import annotations

import json
import time
from typing import Any

from livekit.agents import llm
from livekit.agents.llm import function_tool

from runtime.voice.local import rules_wording as wording
from runtime.voice.local.rules import RulesLLM
from tests.runtime.voice.test_rules_kit import ASK_NUMBER, ASKED, TOOLS, caller, context


async def collected(chat: llm.ChatContext, **options: Any) -> llm.CollectedResponse:
    async with RulesLLM() as model:
        return await model.chat(chat_ctx=chat, tools=TOOLS, **options).collect()


async def test_the_stream_carries_text_calls_and_usage() -> None:
    found = await collected(context(*ASKED, caller("my email is jo at example dot com")))
    assert found.text == f"Thank you. {ASK_NUMBER}"
    assert [(call.name, json.loads(call.arguments)) for call in found.tool_calls] == [
        ("remember", {"email": "jo@example.com"})
    ]
    assert found.usage is not None
    assert found.usage.prompt_tokens > 100
    assert found.usage.completion_tokens >= len(found.text) // 4
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens


async def test_call_ids_differ_within_a_conversation_and_repeat_for_the_same_history() -> None:
    chat = context(caller("I have a question about my invoice"))
    first, again = await collected(chat), await collected(chat)
    chat.add_message(role="user", content="you charged me twice")
    later = await collected(chat)
    assert first.tool_calls == again.tool_calls
    assert later.tool_calls[0].call_id != first.tool_calls[0].call_id


async def test_tool_choice_is_heeded() -> None:
    chat = context(caller("I have a question about my invoice"))
    silent = await collected(chat, tool_choice="none")
    assert not silent.tool_calls
    assert silent.text
    told = await collected(chat, tool_choice={"type": "function", "function": {"name": "book_visit"}})
    assert [call.name for call in told.tool_calls] == ["book_visit"]


async def test_without_parallel_calls_the_path_stays() -> None:
    chat = context(*ASKED, caller("4271, and a double room"))
    found = await collected(chat, parallel_tool_calls=False)
    assert [call.name for call in found.tool_calls] == ["to_billing"]


async def test_delays_are_waited() -> None:
    begun = time.perf_counter()
    async with RulesLLM(delay_s=0.05, token_delay_s=0.01) as model:
        found = await model.chat(chat_ctx=context()).collect()
    assert found.text == wording.HELLO
    assert time.perf_counter() - begun >= 0.05 + 0.01 * (len(found.text.split()) - 1)


async def test_it_is_named_and_warms_up() -> None:
    async with RulesLLM() as model:
        model.prewarm()
        assert (model.provider, model.model) == ("local", "rules")


async def test_a_python_function_is_read_too() -> None:
    @function_tool
    async def open_gate(gate_code: str) -> None:
        """Opens the garage gate."""

    async with RulesLLM() as model:
        chat = context(caller("open the garage gate, code 1234"), system="")
        found = await model.chat(chat_ctx=chat, tools=[open_gate]).collect()
    assert [(call.name, json.loads(call.arguments)) for call in found.tool_calls] == [
        ("open_gate", {"gate_code": "1234"})
    ]
