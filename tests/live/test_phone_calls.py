"""Whole telephone calls on the worker's own SIP line: turns, keys, interruptions, goodbyes, silence."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import numpy as np
import pytest

from runtime.conversation.wordings import wording
from runtime.voice.wav import Samples
from tests.calls.runs import CallResult, read
from tests.fakes.hearing import hears, quiet_tail_s, spoke
from tests.fakes.http_model import Answer, Call, Follower, http_model
from tests.fakes.sip_caller import RATE, SipPhone, sip_phone
from tests.fakes.speech import take
from tests.fakes.working import LOCAL, NUMBER, Desk, Watched, agent, ends
from tests.live.conftest import OpenDesk

pytestmark = pytest.mark.live

ANNA, BEN, CLEO = "+15550191", "+15550192", "+15550193"
HOURS = "what are your opening hours"
CANCEL = "i want to cancel my contract"
MORE = "one more question please"
LONG = " ".join(f"This is sentence number {number} of a very long greeting." for number in range(1, 12))
FAREWELL = "Thank you very much for calling Acme today, it was a pleasure to talk to you, goodbye."


async def test_a_caller_goes_through_two_agents_and_gives_a_number_by_keypad(open_desk: OpenDesk) -> None:
    config = read("front_desk")
    config["defaults"] = {**LOCAL}
    config["agents"][0]["paths"][0]["examples"].append(CANCEL)
    async with open_desk() as desk, sip_phone(user=ANNA) as phone:
        version = await desk.answer(config)
        await phone.dial(desk.uri())
        call = await desk.call(ANNA)
        await desk.happened(call, "agent_turn")
        phone.play(take(CANCEL, RATE))
        await desk.happened(call, "agent_turn", count=2)
        asked = phone.heard.size
        phone.press("4271#")
        await desk.happened(call, "path_taken")
        await desk.happened(call, "agent_turn", count=3)
        phone.hang_up()
        result = await desk.result(call)
    started = result.payloads("call_started")[0]
    assert (started["caller"], started["dialled"], started["channel"]) == (ANNA, NUMBER, "phone")
    assert (started["workflow_id"], started["workflow_version_id"]) == (version.workflow_id, version.id)
    assert result.payloads("user_turn")[0]["text"] == CANCEL
    assert "".join(key["digits"] for key in result.payloads("dtmf_received")) == "4271#"
    assert result.variables["customer_number"] == "4271"
    assert [stay["agent_name"] for stay in result.payloads("agent_entered")] == ["Front desk", "Billing"]
    assert (result.row.status, result.row.end_reason) == ("completed", "caller_hangup")
    assert result.row.answered_at is not None
    assert result.row.external_session_id
    assert await spoke(phone.heard[asked:], "I'll put you through to billing. Billing, hello.")


async def test_stop_silences_the_agent_at_once(open_desk: OpenDesk) -> None:
    word = take("stop", RATE)
    thinks = http_model(lambda _asked: Answer("All right.", stall_s=1.2))
    async with thinks as model, open_desk() as desk, sip_phone(user=ANNA) as phone:
        await desk.answer(model.configured(agent(greeting=LONG)))
        await phone.dial(desk.uri())
        call = await desk.call(ANNA)
        await hears(phone, seconds=1.0)
        began = await _says_until_interrupted(desk, call, phone, word)
        await phone.until_true(lambda: quiet_tail_s(phone.heard) > 0.5, what="silence")
        went_on_s = (phone.heard.size - began) / RATE - quiet_tail_s(phone.heard)
        await desk.happened(call, "agent_turn")
        phone.hang_up()
        result = await desk.result(call)
    assert went_on_s - word.size / RATE < 0.8
    turn = result.payloads("agent_turn")[0]
    assert turn["interrupted"]
    assert LONG.startswith(turn["spoken_text"][:20])
    assert len(turn["spoken_text"]) < len(LONG) / 2


async def _says_until_interrupted(desk: Desk, call: Watched, phone: SipPhone, word: Samples) -> int:
    """Say it as callers do, again where it was not understood; return what had been heard before the last time.

    On a busy machine a packet or two of a short word come too late, and the stand-in recogniser hears something else.
    """
    for _ in range(4):
        began = phone.heard.size
        phone.play(word)
        with suppress(TimeoutError):
            await desk.until(lambda: call.count("agent_interrupted") > 0, within_s=3.0)
            return began
    raise AssertionError("the agent was not to be stopped")


def _goodbye() -> dict[str, object]:
    stt = {"provider": "local", "keyterms": [MORE, "thank you goodbye"]}
    return agent(paths=[ends(CANCEL, HOURS, say=FAREWELL)], stt=stt)


async def _bids_farewell(desk: Desk, number: str, *spoken: str) -> tuple[CallResult, float, bool]:
    """Call, ask for the end, and say each of `spoken` into one goodbye; return what came of it and how it sounded."""
    async with sip_phone(user=number) as phone:
        await phone.dial(desk.uri())
        call = await desk.call(number)
        await desk.happened(call, "agent_turn")
        for count, words in enumerate((*spoken, ""), start=1):
            phone.play(take(CANCEL, RATE))
            await desk.happened(call, "path_taken", count=count)
            before = phone.heard.size
            await hears(phone, before, seconds=0.5)
            if not words:
                break
            phone.play(take(words, RATE))
            if words != MORE or count > 1:
                break
            await desk.happened(call, "agent_entered", count=2)
            await desk.happened(call, "agent_turn", count=3)
        await phone.until("closed")
        heard = phone.heard[before:]
        result = await desk.result(call)
    return result, quiet_tail_s(heard), await spoke(heard, FAREWELL)


async def test_a_goodbye_is_heard_to_its_end_and_reopened_once(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        await desk.answer(_goodbye())
        silent, courteous, twice = await asyncio.gather(
            _bids_farewell(desk, ANNA),
            _bids_farewell(desk, BEN, "thank you goodbye"),
            _bids_farewell(desk, CLEO, MORE, MORE),
        )
    for result, tail_s, heard in (silent, courteous, twice):
        assert (result.row.status, result.row.end_reason) == ("completed", "agent_hangup")
        assert not result.payloads("agent_turn")[-1]["interrupted"]
        assert heard
        assert 0.3 < tail_s < 4
    stays = [
        [stay["cause"] for stay in result.payloads("agent_entered")] for result, _, _ in (silent, courteous, twice)
    ]
    assert stays == [["entry"], ["entry"], ["entry", "resume"]]


async def test_silence_is_asked_about_and_ends_the_call(open_desk: OpenDesk) -> None:
    silence = {"after_s": 1.0, "prompts": ["Are you still there?"]}
    async with open_desk() as desk, sip_phone(user=ANNA) as phone, sip_phone(user=BEN) as other:
        await asyncio.gather(
            desk.answer(agent(session={"silence": silence})),
            desk.answer(agent(session={"max_duration_s": 2.5}), "+15550101", "short"),
        )
        await asyncio.gather(phone.dial(desk.uri()), other.dial(desk.uri("+15550101")))
        calls = [await desk.call(ANNA), await desk.call(BEN)]
        quiet, long = [await desk.result(call) for call in calls]
        await asyncio.gather(phone.until("closed"), other.until("closed"))
    assert quiet.row.end_reason == "inactivity"
    assert [each["prompt"] for each in quiet.payloads("silence_elapsed")] == [1, 2]
    assert quiet.said == ("Hello.", "Are you still there?")
    assert await spoke(phone.heard, "Are you still there?")
    assert long.row.end_reason == "max_duration"
    assert await spoke(other.heard, wording("time_limit", "en"))


async def test_a_caller_who_wants_a_moment_is_left_alone(open_desk: OpenDesk) -> None:
    async with http_model(Follower(("hold on", Call("wait", {"seconds": 60})))) as model, open_desk() as desk:
        stt = {"provider": "local", "keyterms": ["hold on please", "i am back", HOURS]}
        config = agent(tools=[{"tool_type": "wait"}], stt=stt, session={"silence": {"after_s": 2}})
        await desk.answer(model.configured(config))
        async with sip_phone(user=ANNA) as phone:
            await phone.dial(desk.uri())
            call = await desk.call(ANNA)
            await desk.happened(call, "agent_turn")
            phone.play(take("hold on please", RATE))
            await desk.happened(call, "hold_started")
            await desk.happened(call, "agent_turn", count=2)
            asked = len(model.requests)
            phone.play(take(HOURS, RATE))
            await desk.happened(call, "user_turn", count=2)
            phone.play(np.concatenate([np.zeros(RATE, dtype=np.int16), take("i am back", RATE)]))
            await desk.happened(call, "hold_ended")
            await desk.happened(call, "agent_turn", count=3)
            phone.hang_up()
            result = await desk.result(call)
    assert result.said[:2] == ("Hello.", "Of course, take your time.")
    assert len(model.requests) == asked + 1
    assert result.tools == (("wait", {"seconds": 60}, "succeeded"),)
    assert not result.payloads("silence_elapsed")
