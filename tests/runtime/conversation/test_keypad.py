"""Keys: a variable's entry is the caller's turn, a menu takes a path, and what is sensitive stays hidden."""

from __future__ import annotations

import json

import pytest

from runtime.conversation import events as ev
from runtime.conversation.commands import AskModel, CancelTimer, StartTimer, StopSpeaking
from tests.runtime.conversation.play import Play


def test_an_entry_ends_at_hash_and_fills_the_awaited_variable() -> None:
    play = Play().begin()
    play.keys("4")
    assert StopSpeaking() in play.commands
    assert StartTimer("keypad", 3.0) in play.commands
    play.keys("271#")
    assert play.last("user_turn").text == "4271"
    assert play.last("variable_collected").source == "dtmf"
    assert play.state.turn == 1
    assert any(isinstance(command, AskModel) and "4271" in (command.user_text or "") for command in play.commands)


def test_an_entry_ends_at_max_length_and_swallows_the_hash_after_it() -> None:
    play = Play().begin().keys("12345678")
    assert play.state.known["customer_id"].value == "12345678"
    before = play.state.turn
    play.keys("#")
    assert play.types() == ["dtmf_received"]
    assert play.state.turn == before


def test_star_clears_and_a_pause_ends() -> None:
    play = Play().begin().keys("99*4271")
    play.send(ev.TimerFired, name="keypad")
    assert play.state.known["customer_id"].value == "4271"


def test_speech_cannot_answer_until_the_entry_ends() -> None:
    play = Play().begin().keys("42")
    play.say("to billing please")
    assert AskModel() not in play.commands
    play.keys("71#")
    assert any(isinstance(command, AskModel) for command in play.commands)


def test_a_too_short_entry_is_a_failed_answer() -> None:
    play = Play().begin().keys("12#")
    assert play.last("variable_rejected").source == "dtmf"
    assert play.state.attempts["customer_id"] == 1


def test_a_menu_key_takes_its_path_where_no_entry_is_awaited() -> None:
    play = Play().begin().say("4271")
    play.remember(customer_id="4271")
    play.keys("9")
    assert play.last("path_taken").by == "dtmf"
    assert CancelTimer("silence") in play.commands


@pytest.mark.parametrize("how", ["keyed", "spoken"])
def test_a_sensitive_value_is_in_no_payload(how: str) -> None:
    play = Play().begin().say("4271")
    play.path("p-billing", customer_id="4271")
    if how == "keyed":
        play.keys("8642#")
    else:
        play.say("my pin is eight six four two")
        play.remember(pin="8642")
        play.agent("Thank you, 8 6 4 2.")
    assert play.state.known["pin"].value == "8642"
    play.send(ev.CallStopped, reason="caller_hangup")
    stored = json.dumps([fact.payload() for fact in play.history])
    assert "8642" not in stored
    assert "eight six" not in stored
    assert "8 6 4 2" not in stored
    rebuilt = [ev.fact_from_row(f.event_type, f.payload(), f.at, f.secret()) for f in play.history]
    assert rebuilt == play.history
