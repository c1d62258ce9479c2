"""The rules for a tool whose worker died right after its end: what it brought, and the path that follows, are not lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.conversation import events as ev
from runtime.conversation.folding import fold
from runtime.conversation.masking import MASK
from tests.runtime.conversation.play import Play

Json = Any
ASKED = {"stay": 1, "tool_call_id": "t", "tool_type": "http_request", "name": "lookup", "arguments": {}}


def returned(**fields: Json) -> Play:
    play = Play().begin()
    play.send(ev.ToolAsked, **ASKED)
    play.send(ev.ToolReturned, tool_call_id="t", duration_ms=5, **{"ok": True, **fields})
    return play


def lost_after(play: Play, event_type: str, *, key: bool = True) -> Play:
    """Return the call as another worker has it that knows nothing after the first such fact."""
    at = next(index for index, fact in enumerate(play.history) if fact.event_type == event_type)
    other = Play()
    other.history.extend(ev.fact_from_row(*stored(fact, key=key)) for fact in play.history[: at + 1])
    other.state = fold(other.history)
    other.send(ev.CallTakenOver, worker_id="w2", lost_ms=900)
    return other


def stored(fact: ev.Fact, *, key: bool) -> tuple[str, dict[str, Json], Json, Json]:
    payload = json.loads(json.dumps(fact.payload()))
    return fact.event_type, payload, fact.at, fact.secret() if key else None


@pytest.mark.parametrize("name", ["vip", "pin"])
def test_what_a_tool_brought_is_known_though_its_worker_died(name: str) -> None:
    value = {"vip": True, "pin": "8153"}[name]
    play = returned(assigned={name: value})
    assert play.state.values[name] == value
    other = lost_after(play, "tool_succeeded")
    assert other.state.values == play.state.values
    assert other.types()[:2] == ["call_resumed", "variable_collected"]
    ended = next(seq for seq, fact in enumerate(other.history, 1) if fact.event_type == "tool_succeeded")
    assert other.last("variable_collected").caused_by == ended


def test_a_sensitive_value_is_not_stored_in_clear_and_without_a_key_counts_as_not_brought() -> None:
    fact = returned(assigned={"pin": "8153", "nobody": 1}).last("tool_succeeded")
    assert fact.payload()["assigned"] == {"pin": MASK}
    assert fact.secret() == {"assigned": {"pin": "8153"}}
    other = lost_after(returned(assigned={"pin": "8153"}), "tool_succeeded", key=False)
    assert "pin" not in other.state.values
    assert "variable_rejected" not in other.types()


@pytest.mark.parametrize(("ok", "event_type"), [(True, "tool_succeeded"), (False, "tool_failed")])
def test_the_path_that_follows_from_a_tool_is_asked_for(ok: bool, event_type: str) -> None:
    play = returned(ok=ok, error_code="" if ok else "timeout", request_path_id="p-human")
    assert play.last("path_taken").to_agent_id == "a-human"
    other = lost_after(play, event_type)
    assert other.last("path_taken").to_agent_id == "a-human"
    assert other.last("path_taken").by == "tool"


def test_what_was_made_of_it_already_is_not_made_twice() -> None:
    play = returned(assigned={"vip": True, "pin": "8153"})
    other = lost_after(play, "variable_collected")
    assert [fact.event_type for fact in other.history].count("variable_collected") == 2
    assert other.state.values == play.state.values
    assert lost_after(play.say("hello"), "user_turn").types().count("variable_collected") == 0


def test_two_workers_may_die_of_it() -> None:
    other = lost_after(returned(assigned={"vip": True}), "tool_succeeded")
    third = lost_after(other, "call_resumed")
    assert third.state.values["vip"] is True
