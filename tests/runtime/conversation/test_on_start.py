"""The rules for what runs before the first agent speaks, and for what tools bring."""

from __future__ import annotations

import copy
from typing import Any

from runtime.conversation import events as ev
from runtime.conversation.commands import EnterAgent
from runtime.conversation.masking import MASK
from tests.fakes.workflows import FRONT_DESK, compiled
from tests.runtime.conversation.play import Play

Json = Any


def ringing(tool: dict[str, Json] | None = None, **changes: Json) -> Play:
    config = copy.deepcopy(FRONT_DESK) | changes
    config["session"]["on_start"] = [{"tool_type": "http_request", "display_name": "Lookup", **(tool or {})}]
    config["variables"].append({"name": "customer_name", "data_type": "person_name"})
    config["agents"][0]["greeting"] = {"mode": "say", "text": "Hello {{ customer_name }}."}
    return Play(compiled(config)).begin(answered=False, direction="inbound")


def looked_up(play: Play, *, ok: bool = True, **fields: Json) -> Play:
    asked = {"stay": 0, "at_start": True, "tool_call_id": "start-1", "tool_type": "http_request"}
    reply = play.send(ev.ToolAsked, **asked, name="lookup", arguments={})
    assert reply is not None
    assert reply.accepted
    play.send(ev.ToolReturned, tool_call_id="start-1", ok=ok, duration_ms=5, **fields)
    return play


def test_the_greeting_uses_what_was_found_while_it_rang() -> None:
    play = looked_up(ringing(), assigned={"customer_name": "Alice Miller"}, result_preview="found")
    assert play.types() == ["tool_succeeded", "variable_collected"]
    assert play.history[-1].agent_id is None
    play.send(ev.CallAnswered)
    assert play.types() == ["agent_entered"]
    entered = next(command for command in play.commands if isinstance(command, EnterAgent))
    assert entered.text == "Hello Alice Miller."


def test_a_failure_costs_the_caller_nothing() -> None:
    play = looked_up(ringing(), ok=False, error_code="timeout")
    assert play.types() == ["tool_failed"]
    play.send(ev.CallAnswered)
    assert play.types() == ["agent_entered"]


def test_a_path_that_it_asks_for_is_judged_at_the_first_agent() -> None:
    wanted = {"on_success_path_id": "p-human", "on_failure_path_id": "p-billing"}
    play = looked_up(ringing(wanted))
    play.send(ev.CallAnswered)
    assert play.types() == ["agent_entered", "path_requested", "path_taken", "agent_exited", "agent_entered"]
    assert play.last("path_taken").to_agent_id == "a-human"
    assert sum(isinstance(command, EnterAgent) for command in play.commands) == 1
    refused = looked_up(ringing(wanted), ok=False, error_code="timeout")
    refused.send(ev.CallAnswered)
    assert refused.types() == ["agent_entered", "path_requested", "path_refused"]
    assert refused.last("path_refused").missing == ("customer_id",)


def test_a_model_calls_nothing_before_there_is_an_agent() -> None:
    play = ringing()
    asked = {"stay": 0, "tool_call_id": "x", "tool_type": "http_request", "name": "lookup", "arguments": {}}
    reply = play.send(ev.ToolAsked, **asked)
    assert reply is not None
    assert not reply.accepted
    assert play.facts == ()


def test_a_caller_who_hangs_up_while_it_runs_leaves_a_pair() -> None:
    play = ringing()
    asked = {"stay": 0, "at_start": True, "tool_call_id": "start-1", "tool_type": "http_request"}
    play.send(ev.ToolAsked, **asked, name="lookup", arguments={})
    play.send(ev.CallStopped, reason="caller_hangup", status="completed")
    assert play.types() == ["tool_failed", "call_ended"]
    play.send(ev.ToolReturned, tool_call_id="start-1", ok=True, duration_ms=5, assigned={"customer_name": "Alice"})
    assert play.facts == ()


def test_a_result_that_brings_a_sensitive_value_is_not_shown() -> None:
    play = Play().begin()
    asked = {"stay": 1, "tool_call_id": "t", "tool_type": "http_request", "name": "lookup", "arguments": {}}
    play.send(ev.ToolAsked, **asked)
    play.send(
        ev.ToolReturned, tool_call_id="t", ok=True, duration_ms=5, result_preview="pin 8153", assigned={"pin": "8153"}
    )
    told = [fact.payload() for fact in play.facts]
    assert play.last("tool_succeeded").result_preview == MASK
    assert play.state.values["pin"] == "8153"
    assert "8153" not in str(told)


def test_where_an_answer_comes_from_is_in_its_event() -> None:
    play = Play().begin()
    asked = {"stay": 1, "tool_call_id": "t", "tool_type": "knowledge_search", "name": "k", "arguments": {}}
    play.send(ev.ToolAsked, **asked)
    source = {"document": "Prices", "chunk": 3, "score": 0.9}
    play.send(ev.ToolReturned, tool_call_id="t", ok=True, duration_ms=5, sources=[source])
    assert play.last("tool_succeeded").payload()["sources"] == [source]


def test_a_result_that_comes_after_the_caller_has_moved_on_changes_nothing() -> None:
    play = Play().begin().say("a person please")
    asked = {"stay": 1, "tool_call_id": "t", "tool_type": "http_request", "name": "lookup", "arguments": {}}
    play.send(ev.ToolAsked, **asked)
    play.path("p-human")
    before = play.state.values
    play.send(
        ev.ToolReturned, tool_call_id="t", ok=True, duration_ms=5, assigned={"vip": True}, request_path_id="p-billing"
    )
    assert play.types() == ["tool_succeeded"]
    assert play.state.values == before
