"""The body of a request; of a history that grows each part is made into JSON once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from livekit.agents import llm
from livekit.agents.llm.chat_context import DYNAMIC_INSTRUCTIONS_MESSAGE_ID

__all__ = ["Bodies"]

Json = Any
Group = list[llm.ChatItem]
_MOST_TOOL_SETS: Final = 16


class Bodies:
    """Makes the requests of one call. The messages and tools read as LiveKit's format `openai` has them."""

    def __init__(self) -> None:
        self._messages: dict[tuple[Json, ...], bytes] = {}
        self._tools: dict[tuple[int, ...], tuple[Sequence[llm.Tool], bytes]] = {}

    def made(self, items: Sequence[llm.ChatItem], tools: Sequence[llm.Tool], options: Mapping[str, Json]) -> bytes:
        """Return the body. `options` are its other fields; none of them is `messages` or `tools`."""
        fields = [b'"messages":[' + self._encoded(items) + b"]"]
        if offered := self._offered(tools):
            fields.append(b'"tools":' + offered)
        return b"{" + b",".join(fields) + b"," + _json(options)[1:]

    def _encoded(self, items: Sequence[llm.ChatItem]) -> bytes:
        if any(item.id == DYNAMIC_INSTRUCTIONS_MESSAGE_ID for item in items):
            return _messages(items)  # one message is made of two neighbours
        kept, parts = dict[tuple[Json, ...], bytes](), list[bytes]()
        for group in _groups(items):
            key = _key(group)
            part = None if key is None else self._messages.get(key)
            if part is None:
                part = _messages(group)
            if key is not None:
                kept[key] = part
            if part:
                parts.append(part)
        self._messages = kept  # what is in the history no more is forgotten
        return b",".join(parts)

    def _offered(self, tools: Sequence[llm.Tool]) -> bytes:
        """Return the tools as JSON, made anew where one is another object than before; empty without any."""
        key = tuple(map(_identity, tools))
        if key not in self._tools:
            if len(self._tools) >= _MOST_TOOL_SETS:
                self._tools.clear()
            schemas = llm.ToolContext(list(tools)).parse_function_tools("openai", strict=True)
            self._tools[key] = tools, _json(schemas) if schemas else b""  # it holds the tools: an id may not come again
        return self._tools[key][1]


def _identity(tool: llm.Tool) -> int:
    return id(tool.info.raw_schema if isinstance(tool, llm.RawFunctionTool) else tool)


def _groups(items: Iterable[llm.ChatItem]) -> Iterable[Group]:
    """Return what becomes messages beside each other: a message of the agent's, the calls made in it, their answers.

    As LiveKit's own grouping has it: an answer stands behind its call, whatever came between.
    """
    groups: dict[str, Group] = {}
    answers: list[llm.FunctionCallOutput] = []
    for item in items:
        match item:
            case llm.FunctionCall():
                groups.setdefault(item.group_id or item.id.split("/")[0], []).append(item)
            case llm.ChatMessage(role="assistant"):
                groups.setdefault(item.id.split("/")[0], []).append(item)
            case llm.ChatMessage():
                groups[item.id] = [item]
            case llm.FunctionCallOutput():
                answers.append(item)
            case _:
                continue
    by_call = {item.call_id: group for group in groups.values() for item in group if isinstance(item, llm.FunctionCall)}
    for answer in answers:
        by_call.get(answer.call_id, []).append(answer)
    return groups.values()


def _key(group: Group) -> tuple[Json, ...] | None:
    """Return all that the group's messages are made of; None where that is more than texts."""
    key = []
    for item in group:
        match item:
            case llm.ChatMessage(role=role, content=content) if not item.extra and all(
                isinstance(part, str) for part in content
            ):
                key.append((role, *content))
            case llm.FunctionCall(call_id=call_id, name=name, arguments=arguments) if not item.extra:
                key.append(("call", call_id, name, arguments))
            case llm.FunctionCallOutput(call_id=call_id, output=output):
                key.append(("tool", call_id, output))
            case _:
                return None
    return tuple(key)


def _messages(items: Sequence[llm.ChatItem]) -> bytes:
    messages, _ = llm.ChatContext(list(items)).to_provider_format("openai")
    return b",".join(map(_json, messages))


def _json(value: Json) -> bytes:
    # A lone surrogate, which no text of ours has, would make the whole body unreadable.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
