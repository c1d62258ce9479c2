"""A value that nobody gave is never acted on, whatever a model, a tool or a yes to something else makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.conversation import events as ev
from runtime.conversation import prompts
from runtime.conversation.commands import Say, StartTimer
from runtime.conversation.scene import Scene
from tests.fakes.workflows import compiled, front_desk
from tests.runtime.conversation.play import START, Play

READ_BACK = "I have 4 2 7 1. Is that right?"


def invented() -> Play:
    """A call in which the model has made a number up and read it back."""
    play = Play().begin().say("my bill please")
    play.path("p-billing", customer_id="4271")
    return play.agent(READ_BACK)


def tool(play: Play, preview: str, *, assigned: dict[str, Any] | None = None, **arguments: str) -> None:
    play.send(ev.ToolAsked, stay=play.state.stay, tool_call_id="c", tool_type="t", name="t", arguments=arguments)
    play.send(
        ev.ToolReturned,
        tool_call_id="c",
        ok=True,
        duration_ms=1,
        result_preview=preview,
        assigned=assigned or {},
    )


def test_a_tool_that_echoes_the_model_gives_nothing() -> None:
    play = Play().begin().say("my bill please")
    tool(play, '{"error": "no order 4271"}', number="4271")
    play.path("p-billing", customer_id="4271")
    assert play.last("path_refused").unconfirmed == ("customer_id",)


def test_what_a_tool_found_counts_as_given() -> None:
    play = Play().begin().say("my bill please")
    tool(play, '{"customer": "4271"}', caller="+49170")
    assert play.path("p-billing", customer_id="4271").moved


def test_an_echo_that_is_assigned_is_the_models_word() -> None:
    play = Play().begin().say("my bill please")
    tool(play, "", assigned={"customer_id": "4271"}, number="4271")
    assert "customer_id" not in play.state.known
    tool(play, "", assigned={"customer_id": "4272"}, number="4271")
    assert play.state.known["customer_id"].source == "tool"


@pytest.mark.parametrize("answer", ["no, it's 4272", "yes, it's 4272"])
def test_another_value_is_no_yes(answer: str) -> None:
    play = invented().say(answer)
    assert play.state.pending == {}
    play.agent("Ah, 4 2 7 2. Shall I go on?").say("yes")
    assert play.count("variable_confirmed") == 0


def test_a_yes_to_something_else_confirms_nothing() -> None:
    play = invented().say("what are your opening hours?")
    play.agent("Nine to five. Shall I send you a leaflet?").say("yes please")
    assert play.count("variable_confirmed") == 0
    assert play.path("p-billing").accepted is False


def test_denying_a_value_by_name_does_not_give_it() -> None:
    play = invented().say("no, 4271 is wrong")
    play.remember(customer_id="4271")
    assert "customer_id" not in play.state.known


def test_an_invented_value_that_the_caller_then_gives_counts() -> None:
    play = Play().begin().say("my bill please")
    play.path("p-billing", customer_id="4271")
    play.say("my number is 4271")
    assert play.path("p-billing", customer_id="4271").moved


@pytest.mark.parametrize(
    ("data_type", "said", "value"),
    [
        ("string", "a red car", "a red car"),
        ("person_name", "anna schmidt", "Anna Schmidt"),
        ("boolean", "no", False),
        ("date", "the third of may", "2027-05-03"),
        ("integer", "twenty five", 25),
        ("email", "anna at example dot com", "anna@example.com"),
    ],
)
@pytest.mark.parametrize("yes", ["yes", "yes, that's right", "correct"])
def test_what_is_to_be_confirmed_can_be(data_type: str, said: str, value: Any, yes: str) -> None:
    config = front_desk()
    config["agents"][0]["paths"][0]["required_variables"] = [{"name": "x", "data_type": data_type, "confirm": "once"}]
    config["agents"][0]["paths"][0].pop("guard_condition")
    config["agents"][1]["instructions"] = "Help."
    play = Play(compiled(config)).begin().say(said)
    play.path("p-billing", x=said)
    assert play.state.pending["x"].value == value
    play.agent("Let me see.")
    order = next(command for command in play.commands if isinstance(command, Say))
    play.send(ev.AgentSpoke, text=order.text, spoken_text=order.text, reads_back=order.reads_back)
    play.say(yes)
    assert play.state.known["x"].value == value
    assert play.path("p-billing").moved


def test_an_interrupted_answer_is_none() -> None:
    play = Play().begin().say("my bill please")
    play.path("p-billing", customer_id="4271")
    play.send(ev.AnswerEnded, interrupted=True)
    assert not any(isinstance(command, Say) for command in play.commands)


def test_a_tool_asked_at_an_earlier_stay_changes_nothing() -> None:
    play = Play().begin().say("4271 please")
    play.send(ev.ToolAsked, stay=1, tool_call_id="c", tool_type="t", name="t", arguments={})
    play.path("p-billing", customer_id="4271")
    play.say("back please")
    play.path("p-back")
    play.send(ev.ToolReturned, tool_call_id="c", ok=True, duration_ms=1, assigned={"vip": True})
    done = play.last("tool_succeeded")
    assert (done.agent_id, "vip" in play.state.known) == ("a-intake", False)
    assert done.caused_by == next(i for i, f in enumerate(play.history, 1) if f.event_type == "tool_started")


def test_an_old_value_is_not_acted_on_while_it_is_corrected() -> None:
    play = Play().begin().say("4271 please")
    play.remember(customer_id="4271")
    play.remember(customer_id="9999")
    play.path("p-billing")
    assert play.last("path_refused").unconfirmed == ("customer_id",)


def test_a_refused_request_lets_automatic_paths_follow() -> None:
    play = Play().begin().say("I am a regular customer with a bill")
    assert play.path("p-billing", vip=True).moved
    assert play.state.agent_id == "a-human"


def test_a_key_works_in_the_menu_a_key_led_to() -> None:
    config = front_desk()
    config["agents"][2]["paths"] = [
        {"id": "p-one", "name": "One", "trigger": "dtmf", "dtmf": "1", "target_agent_id": "a-intake"},
        {"id": "p-ret", "name": "Return", "description": "back", "target_agent_id": "a-intake"},
    ]
    play = Play(compiled(config)).begin().say("4271")
    play.remember(customer_id="4271")
    play.keys("91")
    assert play.state.agent_id == "a-intake"


def test_silence_is_counted_where_nobody_greets() -> None:
    config = front_desk()
    config["agents"][0]["greeting"] = {"mode": "wait"}
    play = Play(compiled(config)).begin()
    assert StartTimer("silence", 8) in play.commands


def test_what_an_automatic_path_needs_is_told_to_the_model() -> None:
    config = front_desk()
    config["agents"][0]["paths"][0] |= {"trigger": "automatic", "examples": []}
    play = Play(compiled(config)).begin()
    scene = Scene(play.workflow, {}, play.state, ev.Instant(START, 0))
    assert "to go on: customer_id (the customer number, 4 to 8 digits)" in prompts.standing(scene)


def test_bad_results_of_tools_are_no_failed_answers_of_the_caller() -> None:
    play = Play().begin().say("hello")
    for _ in range(4):
        tool(play, "", assigned={"customer_id": "x"})
    assert play.state.attempts.get("customer_id", 0) == 0


def test_a_preset_stays_what_it_was() -> None:
    config = front_desk()
    config["variables"].append({"name": "verified", "data_type": "boolean", "preset": True})
    play = Play(compiled(config)).begin(presets={"verified": False}).say("I am verified")
    play.remember(verified=True)
    assert play.state.known["verified"].value is False


def test_the_correction_of_a_secret_is_masked_and_so_is_a_copy_of_it() -> None:
    play = Play().begin().say("4271 please")
    play.path("p-billing", customer_id="4271")
    play.say("my pin is eight six four two")
    play.remember(pin="8642")
    play.say("sorry, my pin is nine nine nine seven")
    play.remember(pin="9997")
    play.remember(customer_id="9997")
    play.keys("9997")
    play.send(ev.CallStopped, reason="caller_hangup")
    stored = json.dumps([fact.payload() for fact in play.history])
    assert "9997" not in stored
    assert "nine nine nine seven" not in stored
    assert [fact.payload()["digits"] for fact in play.history if isinstance(fact, ev.DtmfReceived)] == ["•••"] * 4


def test_one_yes_confirms_one_value() -> None:
    config = front_desk()
    config["agents"][0]["paths"][0]["required_variables"].append({"name": "email", "data_type": "email"})
    play = Play(compiled(config)).begin().say("my bill please")
    play.path("p-billing", customer_id="4271", email="a@b.org")
    play.agent("Let me see.")
    order = next(command for command in play.commands if isinstance(command, Say))
    play.send(ev.AgentSpoke, text=order.text, spoken_text=order.text, reads_back=order.reads_back)
    play.send(ev.AnswerEnded)
    assert not any(isinstance(command, Say) for command in play.commands), "one read-back at a time"
    play.say("yes")
    assert list(play.state.known) == [order.reads_back]


def test_a_keyed_value_that_the_guard_refused_may_be_keyed_again() -> None:
    play = Play().begin().keys("0000#")
    play.path("p-billing")
    assert play.last("path_refused").reason == "guard"
    play.keys("4271#")
    assert play.last("variable_corrected").value == "4271"


def test_a_secret_inside_a_longer_number_hides_nothing() -> None:
    play = Play().begin().say("123456 please")
    play.remember(customer_id="123456")
    play.path("p-billing")
    play.say("my pin is one two three four")
    play.remember(pin="1234")
    play.send(ev.CallStopped, reason="caller_hangup")
    assert play.last("call_ended").payload()["variables"] == {"customer_id": "123456", "pin": "•••"}


def test_what_an_agent_says_follows_from_what_made_it_speak() -> None:
    play = Play().begin().say("4271 please")
    play.path("p-billing", customer_id="4271")
    play.agent("Billing here.")
    taken = next(i for i, f in enumerate(play.history, 1) if f.event_type == "path_taken")
    assert play.last("agent_turn").caused_by == taken
    play.send(ev.TimerFired, name="silence")
    play.agent("Are you still there?")
    silence = next(i for i, f in enumerate(play.history, 1) if f.event_type == "silence_elapsed")
    assert play.last("agent_turn").caused_by == silence


def test_a_false_value_is_false_in_a_spoken_template() -> None:
    config = front_desk()
    config["agents"][1]["greeting"]["text"] = "{% if vip %}Welcome back.{% else %}Hello.{% endif %}"
    play = Play(compiled(config)).begin().say("4271, and I am new")
    play.remember(vip=False)
    play.path("p-billing", customer_id="4271")
    assert any(getattr(command, "text", "").endswith("Hello.") for command in play.commands)
