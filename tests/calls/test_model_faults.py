"""Models that misbehave, over HTTP and through the real stack: the rules hold, and the caller is never left in silence."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from runtime.harness.script import Say
from runtime.voice.agent import APOLOGY
from tests.calls.promises import assert_promises
from tests.calls.runs import CallResult, Place, chatting, read, run_chat, run_voice
from tests.fakes.http_model import Answer, Call, Decide, HttpModel, http_model, in_turn

Json = Any

pytestmark = pytest.mark.server

BILLING = "I'll put you through to billing. Billing, hello. Which month is your question about?"
SUPPORT = "I'll put you through to support. Support, hello. On which day may a technician come?"
TO_BILLING = Call("to_billing", {"customer_number": "4271"})
TO_SUPPORT = Call("to_support")
NOTED = Call("remember", {"customer_number": "4271"})


async def faced_with(decide: Decide, place: Place, *lines: str, **llm: Json) -> tuple[CallResult, HttpModel]:
    """Let a caller say the lines to the front desk, whose model decides so; the promises hold whatever it does."""
    async with http_model(decide) as model:
        config = model.configured(read("front_desk"), **llm)
        result = await run_chat(config, [Say(line) for line in lines], replace(place, offline=False))
    assert_promises(result)
    return result, model


def names(result: CallResult, event_type: str) -> list[str]:
    return [payload["path_name"] for payload in result.payloads(event_type)]


def faults(result: CallResult) -> list[str]:
    return [payload["code"] for payload in result.payloads("fault_raised")]


async def test_of_two_paths_in_one_answer_the_first_wins(place: Place) -> None:
    both = Answer(calls=(TO_BILLING, TO_SUPPORT))
    result, model = await faced_with(in_turn(both), place, "four two seven one")
    assert names(result, "path_taken") == ["To Billing"]
    assert names(result, "path_refused") == ["To Support"]
    assert result.payloads("path_refused")[0]["reason"] == "path_already_taken"
    assert result.said[1:] == (BILLING,)
    assert len(model.requests) == 1


async def test_the_same_path_twice_in_one_answer_is_taken_once(place: Place) -> None:
    result, model = await faced_with(in_turn(Answer(calls=(TO_SUPPORT, TO_SUPPORT))), place, "it is broken")
    assert names(result, "path_taken") == names(result, "path_refused") == ["To Support"]
    assert result.said[1:] == (SUPPORT,)
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    ("calls", "known"),
    [
        ((NOTED, TO_SUPPORT), {"customer_number": "4271"}),
        ((TO_SUPPORT, NOTED), {}),  # nothing the model still wanted at the old agent happens at the new one
    ],
)
async def test_a_path_and_a_value_in_one_answer(calls: tuple[Call, ...], known: dict[str, str], place: Place) -> None:
    result, model = await faced_with(in_turn(Answer(calls=calls)), place, "four two seven one, it is broken")
    assert names(result, "path_taken") == ["To Support"]
    assert result.variables == known
    assert result.said[1:] == (SUPPORT,)
    assert len(model.requests) == 1


async def test_text_beside_a_value_is_the_whole_answer(place: Place) -> None:
    noted = Answer("Thank you. What is it about?", (NOTED,))
    result, model = await faced_with(in_turn(noted), place, "four two seven one")
    assert result.variables == {"customer_number": "4271"}
    assert result.said[1:] == ("Thank you. What is it about?",)
    assert len(model.requests) == 1


async def test_a_value_without_text_is_followed_by_an_answer(place: Place) -> None:
    answers = in_turn(Answer(calls=(NOTED,)), Answer("What is it about?"))
    result, model = await faced_with(answers, place, "four two seven one")
    assert result.said[1:] == ("What is it about?",)
    assert [asked.outcome for asked in model.requests] == [None, "Recorded."]


async def test_no_model_is_asked_for_a_greeting_that_is_written_down(place: Place) -> None:
    result, model = await faced_with(in_turn(Answer(calls=(TO_SUPPORT,))), place, "it is broken")
    assert result.said == ("Hello, this is Acme. How can I help you?", SUPPORT)
    assert len(model.requests) == 1
    assert [payload["model"] for payload in result.payloads("agent_turn")] == [None, None]


async def test_text_before_a_path_is_heard_before_the_next_agent(place: Place) -> None:
    answer = Answer("One moment, please.", (TO_SUPPORT,))
    result, _model = await faced_with(in_turn(answer), place, "it is broken")
    assert result.said[1:] == ("One moment, please.", SUPPORT)
    assert [payload["agent_name"] for payload in result.payloads("agent_turn")][1:] == ["Front desk", "Support"]


@pytest.mark.parametrize("arguments", ['{"customer_number": "42', "", "[]", "4271", "null", '{"": ""} {}'])
async def test_arguments_that_are_no_json_object(arguments: str, place: Place) -> None:
    broken = Answer(calls=(Call("to_billing", arguments),))
    result, _model = await faced_with(in_turn(broken, Answer("Your number, please?")), place, "my bill")
    assert names(result, "path_taken") == []
    assert result.said[1:] == ("Your number, please?",)


async def test_a_function_that_does_not_exist(place: Place) -> None:
    answers = in_turn(Answer(calls=(Call("to_the_moon"),)), Answer("I cannot do that."))
    result, model = await faced_with(answers, place, "to the moon")
    assert result.said[1:] == ("I cannot do that.",)
    assert len(model.requests) == 2


async def test_a_function_of_another_agent_does_nothing(place: Place) -> None:
    result, _model = await faced_with(in_turn(Answer(calls=(Call("book_visit"),)), Answer("Yes?")), place, "hello")
    assert names(result, "path_requested") == []
    assert result.said[1:] == ("Yes?",)


@pytest.mark.parametrize("nothing", [Answer(), Answer("   "), Answer("\n"), Answer("…"), Answer("👍"), Answer("***")])
async def test_an_empty_answer_is_apologised_for(nothing: Answer, place: Place) -> None:
    result, model = await faced_with(in_turn(nothing), place, "hello", "hello again")
    assert result.said[1].endswith(APOLOGY)
    assert result.said[2:] == ("All right.",)
    assert faults(result) == ["llm_empty"]
    assert len(model.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
async def test_a_server_that_refuses_is_apologised_for(status: int, place: Place) -> None:
    result, _model = await faced_with(lambda _asked: Answer(status=status), place, "hello", "hello again")
    assert result.said[1:] == (APOLOGY, APOLOGY)
    assert "llm_failed" in faults(result)
    assert result.row.end_reason == "caller_hangup"


async def test_a_server_that_fails_once_is_asked_again(place: Place) -> None:
    result, model = await faced_with(in_turn(Answer(status=500), Answer("Good morning.")), place, "hello")
    assert result.said[1:] == ("Good morning.",)
    assert len(model.requests) == 2


async def test_an_answer_that_stalls_is_apologised_for(place: Place) -> None:
    stalled = Answer("Too late.", stall_s=5)
    result, _model = await faced_with(lambda _asked: stalled, place, "hello", timeout_s=0.5)
    assert result.said[1:] == (APOLOGY,)
    assert {"llm_stalled", "llm_failed"} & set(faults(result))


async def test_an_answer_that_breaks_off_is_kept_as_far_as_it_came(place: Place) -> None:
    halting = Answer("Let me see.", (TO_SUPPORT,), gate=asyncio.Event())
    result, _model = await faced_with(in_turn(halting), place, "it is broken", timeout_s=0.5)
    assert names(result, "path_taken") == []
    assert result.said[1:] == (f"Let me see. {APOLOGY}",)
    assert {"llm_stalled", "llm_failed"} & set(faults(result))


async def test_a_model_that_only_ever_records_is_made_to_speak(place: Place) -> None:
    result, model = await faced_with(lambda _asked: Answer(calls=(NOTED,)), place, "four two seven one")
    assert result.variables == {"customer_number": "4271"}
    assert len(model.requests) < 10
    assert result.said[1:] == (APOLOGY,)


async def test_a_model_that_only_ever_asks_for_a_refused_path_is_made_to_speak(place: Place) -> None:
    result, model = await faced_with(lambda _asked: Answer(calls=(Call("to_billing"),)), place, "my bill")
    assert names(result, "path_taken") == []
    assert len(model.requests) < 10
    assert result.said[1:] == (APOLOGY,)


async def test_what_is_said_during_a_handoff_reaches_the_new_agent(place: Place) -> None:
    answers = in_turn(Answer("One moment.", (TO_SUPPORT,)), Answer("The third it is."))
    async with http_model(answers) as model:
        config = model.configured(read("front_desk"))
        async with chatting(config, replace(place, offline=False)) as (call, caller):
            moved = asyncio.Event()
            call.live.call.watch(lambda state: moved.set() if state.stay == 2 else None)
            call.live.hear_text("it is broken")
            await moved.wait()
            call.live.hear_text("on the third of May")
            await caller.leave()
            result = await call.result()
    assert_promises(result)
    assert names(result, "path_taken") == ["To Support"]
    assert "You are in support" in model.requests[-1].system
    assert model.requests[-1].said == "on the third of May"
    assert result.said[-1] == "The third it is."


async def test_what_is_said_while_the_model_thinks_is_answered_with_what_went_before(place: Place) -> None:
    halting = Answer("One moment.", (TO_SUPPORT,), gate=asyncio.Event())
    async with http_model(in_turn(halting, Answer("I see."))) as model:
        config = model.configured(read("front_desk"))
        async with chatting(config, replace(place, offline=False)) as (call, caller):
            call.live.hear_text("it is broken")
            await model.asked.wait()
            call.live.hear_text("since the third of May")
            await caller.leave()
            result = await call.result()
    assert_promises(result)
    assert names(result, "path_taken") == []
    told = [message["content"] for message in model.requests[-1].messages if message["role"] == "user"]
    assert told == ["it is broken", "since the third of May"]
    assert result.said[-1] == "I see."


async def test_what_is_said_during_a_tool_call_is_answered(place: Place) -> None:
    def decide(asked: Json) -> Answer:
        if asked.said == "where is it" and asked.outcome is None:
            return Answer(calls=(Call("check_order", {"order_number": "4271"}),))
        return Answer(asked.outcome or "You are welcome.")

    async with http_model(decide) as model:
        config = model.configured(read("order_status"))
        async with chatting(config, replace(place, offline=False)) as (call, caller):
            running = asyncio.Event()
            call.live.call.watch(lambda state: running.set() if state.tools else None)
            call.live.hear_text("where is it")
            await running.wait()
            call.live.hear_text("thank you")
            await caller.leave()
            result = await call.result()
    assert_promises(result)
    assert [ended for *_, ended in result.tools] == ["succeeded"]
    assert "You are welcome." in result.said


MARKED = Answer("**Good** news 🎉, see [our page](https://acme.example).")


async def test_marks_and_emoji_are_not_said(place: Place) -> None:
    result, model = await faced_with(in_turn(MARKED), place, "I want to pay", "and then")
    assert result.said[1] == "Good news , see our page."
    told = [message["content"] for message in model.requests[-1].messages if message["role"] == "assistant"]
    assert told == list(result.said[:2])


@pytest.mark.live
async def test_marks_and_emoji_are_not_spoken(place: Place) -> None:
    config = read("front_desk")
    config["defaults"] |= {"stt": {"provider": "local"}, "tts": {"provider": "local"}}
    async with http_model(in_turn(MARKED)) as model:
        result = await run_voice(model.configured(config), [Say("I want to pay")], replace(place, offline=False))
    assert_promises(result)
    assert result.said[-1] == "Good news , see our page."
