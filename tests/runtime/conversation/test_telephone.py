"""The telephone's rules: goodbyes and who reopens them, transfers, hold, silence, failures, calls that go out."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.conversation import events as ev
from runtime.conversation.commands import (
    AskModel,
    CancelTimer,
    Command,
    EnterAgent,
    HangUp,
    Say,
    StartTimer,
    StayOnLine,
    StopSpeaking,
    Transfer,
)
from runtime.conversation.folding import question_in
from runtime.conversation.small_talk import is_machine, is_only_courteous, is_return
from runtime.conversation.wordings import WORDINGS, wording
from runtime.workflow.graph import compile_workflow
from runtime.workflow.validation import validate
from tests.runtime.conversation.play import Play

Json = Any


def play_of(
    session: dict[str, Json] | None = None, *, agents: list[dict[str, Json]] | None = None, **agent: Json
) -> Play:
    """A call with one agent that can end and transfer it."""
    paths = [
        {"id": "end", "name": "End", "end_call": {"say": "Goodbye then."}},
        {"id": "person", "name": "Person", "transfer_call": {"to": "+4930123456"}, "say": "I'll put you through."},
    ]
    node = {"id": "desk", "name": "Desk", "instructions": "Help.", "greeting": {"text": "Hello, this is Acme."}}
    config = {"session": session or {}, "agents": [{**node, "paths": paths, **agent}, *(agents or ())]}
    checked = validate(config)
    assert checked.config is not None, checked.faults
    return Play(compile_workflow(checked.config))


def ordered(play: Play, kind: type[Command]) -> list[Any]:
    return [command for command in play.commands if isinstance(command, kind)]


# ------------------------------------------------------------ goodbyes


def test_a_path_that_ends_the_call_says_so_and_hangs_up() -> None:
    play = play_of().begin().say("that was all")
    play.path("end")
    assert ordered(play, Say) == [Say("Goodbye then.", interruptible=False)]
    assert ordered(play, HangUp) == [HangUp("agent_hangup")]
    assert play.last("agent_exited").reason == play.state.closing == "agent_hangup"


def test_who_speaks_in_the_goodbye_reopens_the_call_once() -> None:
    play = play_of().begin().say("that was all")
    play.path("end")
    play.say("wait, I have another question")
    assert [type(command) for command in play.commands][-1] is AskModel
    assert ordered(play, StayOnLine)
    assert ordered(play, StopSpeaking)
    assert (play.last("agent_entered").cause, play.state.agent_id, play.state.ending) == ("resume", "desk", False)
    play.say("never mind")
    play.path("end")
    play.say("oh, and one more question")
    assert not ordered(play, StayOnLine)
    assert play.state.ending


@pytest.mark.parametrize(
    "text",
    [
        "Thank you, goodbye!",
        "bye",
        "Okay, thanks a lot. You too.",
        "Thanks for your help, bye!",
        "No that's all, thanks",
        "No, thank you, bye.",
        "Nein danke, tschüss",
        "Vielen Dank für Ihre Hilfe",
        "Danke, auf Wiederhören",
        "",
    ],
)
def test_thanks_and_farewells_reopen_nothing(text: str) -> None:
    play = play_of().begin().say("that was all")
    play.path("end")
    play.say(text)
    assert play.state.ending
    assert not play.commands or not ordered(play, StayOnLine)


@pytest.mark.parametrize("reason", ["drained", "max_duration", "limit_reached", "no_workflow"])
def test_the_runtimes_own_goodbye_is_final(reason: ev.Reason) -> None:
    play = play_of().begin()
    play.send(ev.GoodbyeAsked, reason=reason, say="Goodbye.")
    assert [type(command) for command in play.commands][-3:] == [StopSpeaking, Say, HangUp]
    assert ordered(play, HangUp) == [HangUp(reason)]
    play.say("but I have a question")
    assert play.state.ending
    play.send(ev.CallStopped, reason=reason)
    assert play.last("call_ended").reason == reason


def test_a_goodbye_does_not_disturb_one_that_is_under_way_or_a_transfer() -> None:
    for path in ("end", "person"):
        play = play_of().begin().say("please")
        play.path(path)
        play.send(ev.GoodbyeAsked, reason="drained", say="Goodbye.")
        assert play.commands == ()
        play.send(ev.TimerFired, name="max_duration")
        assert play.commands == (StartTimer("max_duration", 1.0),)


def test_a_goodbye_before_the_first_hello_is_the_end() -> None:
    play = dialled()
    play.send(ev.CallAnswered)
    play.send(ev.GoodbyeAsked, reason="drained", say="Goodbye.")
    assert ordered(play, HangUp) == [HangUp("drained")]
    play.say("Hello?")
    assert play.types() == ["user_turn"]
    assert not ordered(play, EnterAgent)


def test_the_longest_call_ends_with_a_word() -> None:
    play = play_of().begin()
    play.send(ev.TimerFired, name="max_duration")
    assert ordered(play, Say) == [Say(wording("time_limit", "en"), interruptible=False)]
    assert ordered(play, HangUp) == [HangUp("max_duration")]


# ------------------------------------------------------------ transfers


def test_a_transfer_that_succeeds_ends_the_call_as_transferred() -> None:
    play = play_of().begin().say("a person please")
    play.path("person")
    assert ordered(play, Transfer) == [Transfer("+4930123456", "I'll put you through.")]
    play.send(ev.TransferEnded, ok=True, sip_status=200)
    assert ordered(play, HangUp) == [HangUp("transferred")]
    assert play.last("transfer_succeeded").sip_status == 200


def test_a_transfer_that_fails_brings_the_caller_back_with_a_word_and_no_second_greeting() -> None:
    play = play_of().begin().say("a person please")
    play.path("person")
    play.send(ev.TransferEnded, ok=False, sip_status=486, why="busy")
    entered = ordered(play, EnterAgent)[0]
    assert (entered.text, entered.ask_model) == (wording("not_transferred", "en"), False)
    assert (play.last("transfer_failed").sip_status, play.last("transfer_failed").why) == (486, "busy")
    assert play.last("agent_entered").cause == "resume"


def test_a_tool_can_transfer_at_its_own_stay_only() -> None:
    play = play_of().begin().say("a person please")
    moved = play.send(ev.TransferAsked, stay=99, to="+4930123456")
    assert moved is not None
    assert moved.moved
    assert not moved.accepted
    reply = play.send(ev.TransferAsked, stay=play.state.stay, to="+4930123456", say="One moment.")
    assert reply is not None
    assert reply.moved
    assert ordered(play, Transfer) == [Transfer("+4930123456", "One moment.")]
    assert play.last("transfer_started").path_id is None


def test_who_leaves_after_a_transfer_was_transferred() -> None:
    play = play_of().begin().say("a person please")
    play.path("person")
    play.send(ev.TransferEnded, ok=True, sip_status=200)
    play.send(ev.CallStopped, reason="caller_hangup")
    assert play.last("call_ended").reason == "transferred"


def test_an_automatic_transfer_that_failed_is_not_taken_by_itself_again() -> None:
    auto = {"id": "auto", "name": "Auto", "trigger": "automatic", "transfer_call": {"to": "+4930123456"}}
    play = play_of(paths=[auto | {"guard_condition": "call.channel != ''"}])
    play.begin()
    assert ordered(play, Transfer)
    play.send(ev.TransferEnded, ok=False, why="busy")
    play.say("no thanks, just your opening hours")
    assert AskModel() in play.commands
    assert not ordered(play, Transfer)


# ------------------------------------------------------------ hold


def held(seconds: float = 30.0) -> Play:
    play = play_of().begin().say("hold on please")
    play.send(ev.HoldAsked, stay=play.state.stay, seconds=seconds)
    return play


def test_on_hold_answers_and_prompts_rest() -> None:
    play = held()
    assert play.last("hold_started").seconds == 30
    assert StartTimer("hold", 30.0) in play.commands
    assert CancelTimer("silence") in play.commands
    play.say("where did I put that letter")
    assert AskModel() not in play.commands
    play.send(ev.AnswerEnded)
    play.send(ev.CallerSpeaking)
    assert not ordered(play, StartTimer)
    play.send(ev.TimerFired, name="silence")
    assert play.facts == ()


@pytest.mark.parametrize("text", ["okay, I'm back", "Hello?", "are you still there", "Ich bin wieder da"])
def test_who_is_back_is_answered(text: str) -> None:
    play = held()
    play.say(text)
    assert play.types() == ["user_turn", "hold_ended"]
    assert AskModel() in play.commands
    assert not play.state.hold


def test_a_key_ends_the_hold_and_so_does_its_time_with_a_prompt() -> None:
    play = held()
    play.keys("1")
    assert play.types()[0] == "hold_ended"
    play = held()
    play.agent("What is your number?")
    play.send(ev.TimerFired, name="hold")
    assert ordered(play, Say) == [Say("Are you still there? What is your number?")]
    assert not play.state.hold


def test_a_hold_lasts_two_minutes_at_most() -> None:
    assert held(9999).last("hold_started").seconds == 120


def test_an_awaited_value_is_heard_on_hold() -> None:
    play = Play().begin().say("to billing")
    play.path("p-billing")
    play.send(ev.HoldAsked, stay=play.state.stay, seconds=60)
    play.say("4271")
    assert not play.state.hold


# ------------------------------------------------------------ silence


def test_a_prompt_repeats_the_question_that_is_open() -> None:
    play = play_of().begin().agent("Hello, this is Acme.").say("hello").agent("Sure. What is your order number?")
    play.send(ev.TimerFired, name="silence")
    assert ordered(play, Say) == [Say("Are you still there? What is your order number?")]
    play.agent("Are you still there? What is your order number?")
    play.send(ev.TimerFired, name="silence")
    assert ordered(play, HangUp) == [HangUp("inactivity")]
    play.say("yes sorry, it is 4271")
    assert not play.state.ending


def test_silence_begins_anew_after_a_tool_and_never_while_one_runs() -> None:
    play = play_of().begin().say("where is my order")
    play.send(ev.ToolAsked, stay=play.state.stay, tool_call_id="t", tool_type="x", name="x", arguments={})
    play.send(ev.TimerFired, name="silence")
    assert play.facts == ()
    assert ordered(play, StartTimer)
    play.send(ev.ToolReturned, tool_call_id="t", ok=True, duration_ms=5)
    assert StartTimer("silence", 8.0) in play.commands


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Fine. What is your number?", "What is your number?"),
        ("I have 4271. Is that right?", "I have 4271. Is that right?"),
        ("What is your name? And your number, please?", "And your number, please?"),
        ("It costs 3.50 euros. Shall I book it?", "Shall I book it?"),
        ("Goodbye.", None),
        ("", None),
    ],
)
def test_the_open_question_is_the_last_one(text: str, question: str | None) -> None:
    assert question_in(text) == question


def test_a_hold_within_a_hold_or_at_the_end_of_a_stay_is_told_in_pairs() -> None:
    play = held()
    play.send(ev.HoldAsked, stay=play.state.stay, seconds=60)
    assert play.types() == ["hold_ended", "hold_started"]
    play.send(ev.HangUpAsked, stay=play.state.stay)
    assert play.types() == ["hold_ended", "agent_exited"]
    assert CancelTimer("hold") in play.commands


def test_without_prompts_a_hold_ends_in_the_usual_silence() -> None:
    play = play_of({"silence": {"prompts": []}}).begin().say("hold on")
    play.send(ev.HoldAsked, stay=play.state.stay, seconds=5)
    play.send(ev.TimerFired, name="hold")
    assert StartTimer("silence", 8.0) in play.commands


def test_an_else_path_waits_for_who_is_on_hold() -> None:
    paths = [{"id": "other", "name": "Other", "trigger": "automatic", "else": True, "target_agent_id": "desk2"}]
    play = play_of(paths=paths, agents=[{"id": "desk2", "name": "Two", "instructions": "x"}]).begin().say("hold on")
    play.send(ev.HoldAsked, stay=play.state.stay, seconds=5)
    play.send(ev.AnswerEnded)
    assert play.facts == ()


# ------------------------------------------------------------ keys


def test_a_key_whose_path_is_refused_is_answered() -> None:
    menu = {"id": "m", "name": "Menu", "trigger": "dtmf", "dtmf": "9", "end_call": {}, "guard_condition": "visits > 5"}
    play = play_of(paths=[menu]).begin().agent("Press 9.")
    play.keys("9")
    asked = ordered(play, AskModel)
    assert play.types()[-1] == "path_refused"
    assert "9" in (asked[0].user_text or "")


def test_an_entry_that_was_begun_does_not_outlive_its_stay() -> None:
    play = Play().begin().keys("4")
    play.send(ev.TransferAsked, stay=play.state.stay, to="+4930123456")
    play.send(ev.TransferEnded, ok=False, why="busy")
    assert play.state.entry is None
    play.say("well then tell me")
    assert AskModel() in play.commands


# ------------------------------------------------------------ failures


def test_a_fault_that_was_survived_ends_nothing() -> None:
    play = play_of({"failure": {"after": 2, "transfer_to": "+4930123456"}}).begin()
    fail(play, 2)
    play.send(ev.TransferEnded, ok=False, why="busy")
    play.say("so").agent("Yes.").say("and").agent("Yes.")
    play.send(ev.FaultNoticed, component="stt", code="stt_error", message="x", recovered_by="retry")
    assert play.types() == ["fault_raised"]
    assert play.commands == ()


def fail(play: Play, times: int) -> None:
    for number in range(times):
        play.say(f"try {number}")
        fault = {"component": "llm", "code": "llm_failed", "message": "x", "recovered_by": "apology"}
        play.send(ev.FaultNoticed, **fault)


def test_the_third_failed_answer_in_a_row_ends_the_call() -> None:
    play = play_of().begin()
    fail(play, 2)
    assert not play.state.ending
    fail(play, 1)
    assert ordered(play, Say) == [Say(wording("give_up", "en"), interruptible=False)]
    assert ordered(play, HangUp) == [HangUp("error")]


def test_failures_are_counted_in_a_row() -> None:
    play = play_of().begin()
    fail(play, 2)
    play.say("now it works").agent("Yes.")
    play.say("and again").agent("Yes.")
    fail(play, 2)
    assert not play.state.ending


def test_a_person_takes_over_where_the_builder_named_one() -> None:
    play = play_of({"failure": {"after": 2, "transfer_to": "+4930123456"}}).begin()
    fail(play, 2)
    assert ordered(play, Transfer) == [Transfer("+4930123456", "")]
    play.send(ev.TransferEnded, ok=False, why="busy")
    fail(play, 1)
    assert ordered(play, HangUp) == [HangUp("error")]


# ------------------------------------------------------------ calls that go out


def dialled(session: dict[str, Json] | None = None, **agent: Json) -> Play:
    play = play_of(session, **agent)
    play.begin(direction="outbound", answered=False)
    assert play.types() == ["call_started"]
    return play


@pytest.mark.parametrize("reason", ["busy", "no_answer", "not_connected"])
def test_a_call_that_is_not_taken_has_a_beginning_and_an_end(reason: ev.Reason) -> None:
    play = dialled()
    play.send(ev.CallStopped, reason=reason)
    assert [fact.event_type for fact in play.history] == ["call_started", "call_ended"]
    assert play.last("call_ended").reason == reason


def test_the_agent_waits_for_a_hello_but_not_for_ever() -> None:
    play = dialled()
    play.send(ev.CallAnswered)
    assert StartTimer("hello", 2.5) in play.commands
    assert not ordered(play, EnterAgent)
    play.send(ev.CallerSpeaking)
    assert play.commands == (StartTimer("hello", 2.5),)
    play.send(ev.TimerFired, name="hello")
    assert ordered(play, EnterAgent)[0].text == "Hello, this is Acme."


def test_a_hello_is_answered_with_the_greeting() -> None:
    play = dialled()
    play.send(ev.CallAnswered)
    play.say("Hello?")
    assert play.types() == ["user_turn", "agent_entered"]
    assert ordered(play, EnterAgent)[0].text == "Hello, this is Acme."
    assert CancelTimer("hello") in play.commands
    play.say("who is this")
    assert AskModel() in play.commands


MACHINE = "Hi, you have reached Anna. Please leave a message after the tone."


def test_a_machine_is_hung_up_on_unless_a_message_is_wanted() -> None:
    play = dialled()
    play.send(ev.CallAnswered)
    play.say(MACHINE)
    assert play.types() == ["user_turn", "voicemail_detected"]
    assert ordered(play, HangUp) == [HangUp("voicemail")]
    assert not ordered(play, Say)
    play = dialled({"voicemail": {"action": "leave_message", "text": "Please call Acme back."}})
    play.send(ev.CallAnswered)
    play.say(MACHINE)
    assert ordered(play, Say) == [Say("Please call Acme back.", interruptible=False)]
    play.send(ev.TimerFired, name="hello")
    assert play.facts == ()


def test_a_machine_that_spoke_after_the_greeting_is_known_as_well() -> None:
    play = dialled()
    play.send(ev.CallAnswered)
    play.send(ev.TimerFired, name="hello")
    play.say(MACHINE)
    assert play.types() == ["user_turn", "agent_exited", "voicemail_detected"]
    assert play.last("agent_exited").reason == "voicemail"


@pytest.mark.parametrize(
    ("text", "machine"),
    [
        ("Hello?", False),
        ("Acme Dental, this is Sarah speaking, how can I help you today?", False),
        ("Ja bitte?", False),
        (MACHINE, True),
        ("The person you are calling is not available.", True),
        ("Der Teilnehmer ist zur Zeit nicht erreichbar.", True),
        ("Vous êtes bien sur la messagerie de Paul, laissez un message après le bip.", True),
        ("Deje su mensaje después de la señal.", True),
        ("I can't answer that right now", False),
        ("He is not available right now, can I take a message?", False),
        ("Sorry, my voicemail was full", False),
        (" ".join(["word"] * 30), True),
        (" ".join(["word"] * 30) + "?", False),
    ],
)
def test_machines_and_persons(text: str, machine: bool) -> None:
    assert is_machine(text, first=True) is machine


def test_who_has_been_spoken_to_may_say_a_lot() -> None:
    assert not is_machine(" ".join(["word"] * 30), first=False)
    play = dialled()
    play.send(ev.CallAnswered)
    play.say("Hello?")
    play.agent("Hello, this is Acme. What happened?")
    play.say(" ".join(["well"] * 40))
    assert AskModel() in play.commands


def test_every_language_has_every_wording() -> None:
    assert {frozenset(texts) for texts in WORDINGS.values()} == {frozenset(WORDINGS["en"])}
    assert wording("filler", "de-AT") == WORDINGS["de"]["filler"]
    assert wording("filler", "pl") == WORDINGS["en"]["filler"]


def test_courtesy_and_return_are_told_from_questions() -> None:
    assert is_only_courteous("Thanks, bye bye!")
    assert not is_only_courteous("thanks, but what about my order")
    assert is_return("ok I'm back")
    for text in ("where is that letter", "I'll be right back", "I'm not ready yet", "let me get back to the kitchen"):
        assert not is_return(text), text
