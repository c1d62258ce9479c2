"""What was said in a call, told again from its events as a model's chat history: for want of the history itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runtime.conversation import events as ev

__all__ = ["is_secret", "item_id", "retold"]

Json = Any
Numbered = tuple[int, ev.Fact]


def retold(facts: Sequence[Numbered], after: int = 0) -> list[dict[str, Json]]:
    """Return chat items (LiveKit's, as dicts) for what the facts numbered above `after` tell, oldest first.

    Turns, keypad entries, tools and refused paths are told; instructions, and what else the engine answered, are not. A path's
    function has the path's id as its name, for only the workflow knows what a model calls it.
    """
    items: list[dict[str, Json]] = []
    started: dict[str, ev.ToolStarted] = {}
    requested: dict[str, ev.PathRequested] = {}
    for at, (seq, fact) in enumerate(facts):
        if isinstance(fact, ev.ToolStarted):
            started[fact.tool_call_id] = fact
        elif isinstance(fact, ev.PathRequested):
            requested[fact.path_id] = fact
        if seq <= after:
            continue
        if isinstance(fact, ev.PathRefused):
            items += _refused(seq, fact, requested.get(fact.path_id))
        else:
            items += _items(seq, fact, started, facts[at + 1 :])
    return items


def item_id(seq: int) -> str:
    """Return the id of the message that an event is told by."""
    return f"event-{seq}"


def is_secret(fact: ev.Fact) -> bool:
    """Whether it is a caller's turn in which something sensitive was awaited or said."""
    return isinstance(fact, ev.UserTurn) and "text" in fact.hidden


def _items(
    seq: int, fact: ev.Fact, started: Mapping[str, ev.ToolStarted], later: Sequence[Numbered]
) -> Iterator[dict[str, Json]]:
    match fact:
        case ev.UserTurn(by="dtmf"):
            if (text := _keyed(fact, later)) is not None:
                yield _message(seq, "user", text)
        case ev.UserTurn() if fact.text:
            yield _message(seq, "user", fact.text)
        case ev.AgentTurn() if fact.spoken_text:
            yield {**_message(seq, "assistant", fact.spoken_text), "interrupted": fact.interrupted}
        case ev.ToolSucceeded() | ev.ToolFailed() if fact.agent_id is not None and fact.tool_call_id in started:
            yield from tool_items(started[fact.tool_call_id], _answer(fact), failed=isinstance(fact, ev.ToolFailed))
        case _:
            return


def _refused(seq: int, fact: ev.PathRefused, requested: ev.PathRequested | None) -> tuple[dict[str, Json], ...]:
    """Tell a path that the model asked for in vain: without it the model would not know what the caller wants."""
    if fact.by != "model" or requested is None:
        return ()
    asked = {"call_id": f"{item_id(seq)}-path", "name": fact.path_id}
    arguments = json.dumps(requested.payload()["values"], default=str)  # as stored: what is sensitive is masked
    wanting = ", ".join((*fact.missing, *fact.unconfirmed, *(each.name for each in fact.invalid)))
    output = f"Not yet: {fact.reason}{f' ({wanting})' if wanting else ''}."
    call = {"type": "function_call", "arguments": arguments, **asked}
    return call, {"type": "function_call_output", "output": output, "is_error": False, **asked}


def tool_items(started: ev.ToolStarted, answer: str, *, failed: bool) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return a tool's call and its answer as chat items."""
    call_id = started.tool_call_id
    arguments = json.dumps(dict(started.arguments), default=str)
    call = {"type": "function_call", "call_id": call_id, "name": started.name, "arguments": arguments}
    answered = {"type": "function_call_output", "call_id": call_id, "name": started.name, "output": answer}
    return call, answered | {"is_error": failed}


def _answer(fact: ev.ToolSucceeded | ev.ToolFailed) -> str:
    return fact.result_preview or ("Done." if isinstance(fact, ev.ToolSucceeded) else "This did not work.")


def _message(seq: int, role: str, text: str) -> dict[str, Json]:
    return {"type": "message", "id": item_id(seq), "role": role, "content": [text]}


def _keyed(fact: ev.UserTurn, later: Sequence[Numbered]) -> str | None:
    """Tell an entry as the engine does; None where it has come to nothing yet, for then the engine will tell it."""
    shown = str(fact.payload()["text"])
    for _, each in later:
        if isinstance(each, ev.VariableFact) and each.source == "dtmf":
            return f"(The caller keyed in {shown} for {each.name}.)"
        if isinstance(each, ev.AgentTurn | ev.UserTurn | ev.AgentExited):
            return f"(The caller keyed in {shown}.)"
    return None
