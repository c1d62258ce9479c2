"""A path is taken only with valid variables and a true guard; the engine decides, whatever the model calls."""

from __future__ import annotations

import pytest

from runtime.conversation import events as ev
from runtime.conversation.commands import EnterAgent, HangUp, Say, StartTimer
from tests.fakes.workflows import compiled, front_desk
from tests.runtime.conversation.play import Play


def test_a_call_begins_with_call_started_and_the_greeting() -> None:
    play = Play().begin()
    assert play.types() == ["call_started", "agent_entered"]
    assert play.commands == (
        StartTimer("max_duration", 600),
        EnterAgent("a-intake", 1, "Hello, this is Acme.", interruptible=True, ask_model=False),
    )


def test_a_path_with_all_it_needs_is_taken_in_order() -> None:
    play = Play().begin().say("My number is 4271, I have a question about my bill")
    reply = play.path("p-billing", customer_id="4271")
    assert reply.moved
    assert not reply.needs_answer
    assert play.types() == ["path_requested", "variable_collected", "path_taken", "agent_exited", "agent_entered"]
    taken = play.last("path_taken")
    assert [(item.name, item.value, item.source) for item in taken.variables] == [("customer_id", "4271", "speech")]
    assert taken.guard.result is True
    entered = next(command for command in play.commands if isinstance(command, EnterAgent))
    assert entered.text == "I'll put you through to billing. Billing here."


def test_a_missing_variable_refuses_and_names_it() -> None:
    play = Play().begin().say("my bill please")
    reply = play.path("p-billing")
    assert play.last("path_refused").missing == ("customer_id",)
    assert "the customer number" in reply.text
    assert "4 to 8 digits" in reply.text
    assert play.state.agent_id == "a-intake"


def test_an_invalid_value_refuses_with_a_reason() -> None:
    play = Play().begin().say("it is 123456789012")
    play.path("p-billing", customer_id="123456789012")
    refused = play.last("path_refused")
    assert refused.reason == "invalid"
    assert refused.invalid[0].name == "customer_id"
    assert play.last("variable_rejected").attempt == 1


def test_valid_values_of_a_refused_request_are_kept_and_recorded_first() -> None:
    play = Play().begin().say("number 0000")
    play.path("p-billing", customer_id="0000")
    assert play.types() == ["path_requested", "variable_collected", "path_refused"]
    assert play.last("path_refused").reason == "guard"
    assert play.state.known["customer_id"].value == "0000"


def test_a_value_nobody_gave_is_held_until_the_caller_says_yes() -> None:
    play = Play().begin().say("my bill please")
    reply = play.path("p-billing", customer_id="4271")
    assert play.last("path_refused").unconfirmed == ("customer_id",)
    assert "4 2 7 1" in reply.text
    assert "customer_id" not in play.state.known
    play.say("yes")
    assert "customer_id" not in play.state.known, "nobody has read it back yet"
    play.agent("I have 4 2 7 1. Is that right?").say("yes, that's right")
    assert play.last("variable_confirmed").value == "4271"
    assert play.path("p-billing").moved


def test_a_models_argument_never_confirms() -> None:
    play = Play().begin().say("my bill please")
    for _ in range(5):
        play.path("p-billing", customer_id="4271")
        play.remember(customer_id="4271")
    assert play.count("path_taken") == 0
    assert play.count("variable_collected") == 1


def test_no_withdraws_a_read_back_value_and_counts_as_failed() -> None:
    play = Play().begin().say("my bill please")
    play.path("p-billing", customer_id="4271")
    play.agent("I have 4 2 7 1. Is that right?").say("no, that's wrong")
    assert play.state.pending == {}
    assert play.last("variable_rejected").attempt == 1


def test_the_engine_reads_back_where_the_model_did_not() -> None:
    play = Play().begin().say("my bill please")
    play.path("p-billing", customer_id="4271")
    play.agent("Let me see.")
    assert any(isinstance(command, Say) and "4 2 7 1" in command.text for command in play.commands)


def test_the_first_path_of_a_turn_wins() -> None:
    play = Play().begin().say("4271 bill")
    stay = play.state.stay
    assert play.path("p-billing", stay, customer_id="4271").moved
    second = play.path("p-human", stay)
    assert second.moved
    assert play.last("path_refused").reason == "path_already_taken"
    assert play.state.agent_id == "a-billing"
    play.path("p-back")
    assert play.last("path_refused").reason == "path_already_taken", "the new agent waits for the caller"


def test_a_late_request_of_an_agent_that_was_left_is_refused() -> None:
    play = Play().begin().say("4271 bill")
    stay = play.state.stay
    play.path("p-billing", customer_id="4271")
    play.say("and now?")
    play.path("p-human", stay)
    assert play.last("path_refused").reason == "moved_on"


def test_a_refused_model_may_try_again_in_the_same_turn() -> None:
    play = Play().begin().say("my number is 4271")
    play.path("p-billing")
    assert play.path("p-billing", customer_id="4271").moved


def test_an_automatic_path_is_taken_as_soon_as_it_holds() -> None:
    play = Play().begin().say("I am a regular customer")
    reply = play.remember(vip="yes")
    assert reply.moved
    assert play.last("path_taken").by == "rule"
    assert play.state.agent_id == "a-human"


def test_the_fallback_is_taken_after_too_many_failed_answers() -> None:
    play = Play().begin()
    for text in ("1234567890", "2345678901", "3456789012"):
        play.say(text)
        play.path("p-billing", customer_id=text)
    assert play.last("path_taken").path_id == "p-no-number"
    assert play.state.agent_id == "a-human"


def test_several_failures_in_one_turn_count_once() -> None:
    play = Play().begin().say("I do not know")
    for _ in range(5):
        play.path("p-billing", customer_id="1")
    assert play.state.attempts["customer_id"] == 1


def test_a_global_path_rests_after_it_was_taken() -> None:
    config = front_desk()
    config["agents"][2]["paths"] = [
        {"id": "p-return", "name": "Return", "description": "back", "target_agent_id": "a-intake"}
    ]
    play = Play(compiled(config)).begin().say("a person please")
    play.path("p-human")
    play.say("back please")
    play.path("p-return")
    play.say("a person again")
    play.path("p-human")
    assert play.last("path_refused").reason == "cooldown"
    play.say("still here")
    play.say("a person now")
    assert play.path("p-human").moved


def test_a_path_that_ends_the_call() -> None:
    play = Play().begin().say("4271")
    play.path("p-billing", customer_id="4271")
    play.say("anna@example.com")
    play.path("p-pay", email="anna@example.com")
    play.agent("I have anna at example dot com. Is that right?").say("yes")
    play.keys("1234")
    reply = play.path("p-pay")
    assert reply.moved
    assert HangUp("agent_hangup") in play.commands
    assert play.types()[-2:] == ["path_taken", "agent_exited"]
    play.path("p-back")
    assert play.last("path_refused").reason == "call_ending"
    play.send(ev.CallStopped, reason="agent_hangup")
    assert play.types() == ["call_ended"]
    assert play.send(ev.TurnHeard, text="hello?") is not None
    assert play.facts == ()


def test_a_guard_that_errs_is_a_fault_and_no_silent_false() -> None:
    config = front_desk()
    config["agents"][0]["paths"][0]["guard_condition"] = "1 / int(customer_id) > 0"
    play = Play(compiled(config)).begin().say("number 0000")
    play.path("p-billing", customer_id="0000")
    assert play.types() == ["path_requested", "variable_collected", "fault_raised", "path_refused"]
    assert play.last("path_refused").reason == "guard_fault"


def test_an_incomplete_number_joins_the_next_turn_and_is_no_failed_attempt() -> None:
    play = Play().begin().say("it is four two")
    reply = play.path("p-billing", customer_id="42")
    assert "Incomplete: customer_id" in reply.text
    assert play.count("variable_rejected") == 0
    play.say("seven one")
    assert play.path("p-billing", customer_id="4271").moved


@pytest.mark.parametrize("value", ["", None, "   ", "4271"])
def test_an_equal_empty_or_null_value_changes_nothing(value: str | None) -> None:
    play = Play().begin().say("4271")
    play.remember(customer_id="4271")
    play.remember(customer_id=value)
    assert play.facts == ()


def test_a_correction_is_recorded_as_such() -> None:
    play = Play().begin().say("4271")
    play.remember(customer_id="4271")
    play.say("sorry, 4272")
    play.remember(customer_id="4272")
    assert play.last("variable_corrected").value == "4272"


def test_the_else_path_is_taken_when_nothing_else_was() -> None:
    config = front_desk()
    config["agents"][1]["paths"].append(
        {"id": "p-else", "name": "Else", "trigger": "automatic", "else": True, "target_agent_id": "a-human"}
    )
    play = Play(compiled(config)).begin().say("4271")
    play.path("p-billing", customer_id="4271").moved  # noqa: B018
    play.agent("Billing here.")
    assert play.state.agent_id == "a-billing", "the caller has not had a turn here yet"
    play.say("hm").agent("What do you mean?")
    assert play.state.agent_id == "a-human"
