"""Bodies that are put together from what was made before say what LiveKit's own format says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.agents import llm
from livekit.agents.llm import ImageContent, function_tool
from livekit.agents.llm.chat_context import DYNAMIC_INSTRUCTIONS_MESSAGE_ID

from runtime.voice.chat_completions import body
from runtime.voice.chat_completions.body import Bodies

Json = Any
IDS = st.sampled_from(["item_a", "item_b", "item_c"])
CALL_IDS = st.sampled_from(["call_1", "call_2", "call_3"])
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)


def message(role: Any, *content: Any, **fields: Any) -> llm.ChatMessage:
    return llm.ChatMessage(role=role, content=list(content), **fields)


def call(call_id: str, arguments: str = "{}", **fields: Any) -> llm.FunctionCall:
    return llm.FunctionCall(call_id=call_id, name="f", arguments=arguments, **fields)


def output(call_id: str, text: str = "Done.") -> llm.FunctionCallOutput:
    return llm.FunctionCallOutput(call_id=call_id, name="f", output=text, is_error=False)


ITEM = st.one_of(
    st.builds(message, st.sampled_from(["system", "user", "developer"]), TEXT),
    st.builds(message, st.just("assistant"), TEXT, TEXT),
    st.builds(call, CALL_IDS, TEXT, id=st.builds("{}/fnc_0".format, IDS), group_id=st.none() | IDS),
    st.builds(call, CALL_IDS, TEXT, extra=st.just({"google": {"thought_signature": "x"}})),
    st.builds(output, CALL_IDS, TEXT),
    st.builds(llm.AgentHandoff, new_agent_id=TEXT),
)


def messages(bodies: Bodies, items: list[llm.ChatItem]) -> Json:
    return json.loads(bodies.made(items, [], {"model": "m"}))["messages"]


def livekits(items: list[llm.ChatItem]) -> Json:
    return llm.ChatContext(items).to_provider_format("openai")[0]


@settings(deadline=None)
@given(st.lists(ITEM, max_size=12), st.integers(min_value=0, max_value=12))
def test_a_history_that_grows(items: list[llm.ChatItem], first: int) -> None:
    bodies = Bodies()
    for history in (items[:first], items, items[first:], items):
        assert messages(bodies, history) == livekits(history)


def test_what_is_said_in_one_answer_is_one_message() -> None:
    items = [
        message("user", "Hi"),
        message("assistant", "One moment.", id="item_a"),
        call("call_1", id="item_a/fnc_0"),
        call("call_2", id="item_a/fnc_1"),
        message("user", "Are you there?"),
        output("call_1"),
        output("call_2"),
    ]
    roles = [each["role"] for each in messages(Bodies(), items)]
    assert roles == ["user", "assistant", "tool", "tool", "user"]
    assert messages(Bodies(), items) == livekits(items)


def test_an_item_that_changes_is_made_anew() -> None:
    bodies, item = Bodies(), message("user", "Hello")
    assert messages(bodies, [item])[0]["content"] == "Hello"
    item.content = ["Hello there"]
    assert messages(bodies, [item])[0]["content"] == "Hello there"
    assert messages(bodies, [item.model_copy(update={"content": ["•••"]})])[0]["content"] == "•••"


def test_what_is_said_again_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    known = body._messages

    def counted(items: list[llm.ChatItem]) -> bytes:
        made.append(len(items))
        return known(items)

    monkeypatch.setattr(body, "_messages", counted)
    bodies = Bodies()
    items = [message("user", f"turn {number}") for number in range(30)]
    for length in range(1, 31):
        messages(bodies, items[:length])
    assert made == [1] * 30
    messages(bodies, items[:1])
    messages(bodies, items[:2])
    assert len(made) == 31, "what was in the history no more is forgotten"


def test_pictures_and_instructions_of_livekits_own() -> None:
    picture = message("user", "Look:", ImageContent(image="https://example.com/a.png"))
    parts = [message("system", "Help."), message("system", "Now.", id=DYNAMIC_INSTRUCTIONS_MESSAGE_ID), picture]
    assert messages(Bodies(), parts) == livekits(parts)


def test_what_no_server_could_read_is_replaced() -> None:
    assert messages(Bodies(), [message("user", "a\ud800b")])[0]["content"] == "a?b"


# ------------------------------------------------------------ tools


async def _never(raw_arguments: dict[str, object]) -> None: ...


def tool(name: str) -> llm.RawFunctionTool[Any, Any]:
    return function_tool(_never, raw_schema={"name": name, "description": "ü", "parameters": {"type": "object"}})


@function_tool
async def decorated(number: int) -> str:
    """Looks a number up."""
    return str(number)


def test_tools_are_made_once_for_a_set_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = [tool("a"), tool("b"), decorated], [tool("c")]
    expected = {id(each): llm.ToolContext(each).parse_function_tools("openai", strict=True) for each in (one, two)}
    asked: list[int] = []
    known = llm.ToolContext.parse_function_tools

    def counted(self: llm.ToolContext, *given: Any, **named: Any) -> Any:
        asked.append(1)
        return known(self, *given, **named)

    monkeypatch.setattr(llm.ToolContext, "parse_function_tools", counted)
    bodies = Bodies()
    for tools in (one, two, list(one), two):
        made = json.loads(bodies.made([message("user", "Hi")], tools, {"model": "m"}))["tools"]
        assert made == expected[id(one if len(tools) == 3 else two)]
    assert len(asked) == 2
    assert "tools" not in json.loads(bodies.made([message("user", "Hi")], [], {"model": "m"}))


def test_sets_of_tools_do_not_pile_up() -> None:
    bodies = Bodies()
    for number in range(100):
        bodies.made([message("user", "Hi")], [tool(f"t{number}")], {"model": "m"})
    assert len(bodies._tools) <= 16
