"""The function calls of one answer, put together from fragments."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from livekit.agents import llm, utils

__all__ = ["Calls"]

Json = Any


@dataclass(slots=True)
class _Call:
    index: int | None
    call_id: str
    name: str
    arguments: str = ""
    extra: dict[str, Json] | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing but blanks could follow."""
        try:
            return isinstance(json.loads(self.arguments), dict)
        except ValueError:
            return False

    def made(self) -> llm.FunctionToolCall:
        call_id = self.call_id or utils.shortuuid("call_")  # some servers give none
        return llm.FunctionToolCall(name=self.name, arguments=self.arguments, call_id=call_id, extra=self.extra)


class Calls:
    """Gathers fragments by their index and hands calls on in the order in which they began.

    A call goes on as soon as it is complete and the next has begun, so that its function need not wait for the others.
    """

    def __init__(self) -> None:
        self._open: list[_Call] = []

    @property
    def pending(self) -> bool:
        """Whether a call has begun that has not been handed on."""
        return bool(self._open)

    def add(self, fragment: Mapping[str, Json]) -> list[llm.FunctionToolCall]:
        """Take one fragment in; return the calls that are done by it."""
        function = fragment.get("function")
        if not function:
            return []
        index, call_id, name = fragment.get("index"), fragment.get("id") or "", function.get("name") or ""
        call = self._of(index)
        begins = call is None or _begins(call, index, call_id, name)
        if call is None or begins:
            call = _Call(index, call_id, name)
            self._open.append(call)
        call.name = call.name or name
        call.arguments += _text(function.get("arguments"))
        call.extra = fragment.get("extra_content") or call.extra
        return self._leading(lambda each: each is not call and each.complete) if begins else []

    def finish(self, reason: str | None) -> list[llm.FunctionToolCall]:
        """Return what is left at the end of the answer; of one that was cut off (`length`, …) what is complete."""
        whole = reason in {"tool_calls", "stop", "function_call"}
        left = [each.made() for each in self._open if each.name and (whole or each.complete)]
        self._open.clear()
        return left

    def _of(self, index: int | None) -> _Call | None:
        return next((each for each in reversed(self._open) if index is None or each.index == index), None)

    def _leading(self, done: Callable[[_Call], bool]) -> list[llm.FunctionToolCall]:
        made = []
        while self._open and self._open[0].name and done(self._open[0]):
            made.append(self._open.pop(0).made())
        return made


def _begins(call: _Call, index: int | None, call_id: str, name: str) -> bool:
    """Tell whether a fragment begins a call: a new id alone does not, some servers make one up for each fragment."""
    if not name:
        return False
    return call_id != call.call_id if call_id else index is None


def _text(arguments: Json) -> str:
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)
