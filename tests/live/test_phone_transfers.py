"""Telephone calls that are handed on and calls that go out, with real telephones at the other end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.session.ports import Limits
from tests.calls.runs import CallResult
from tests.fakes.hearing import loud_s, quiet_tail_s, spoke
from tests.fakes.http_model import Call, Follower, http_model
from tests.fakes.sip_caller import RATE, SipPhone, free_port, sip_phone, tone
from tests.fakes.speech import take
from tests.fakes.working import Desk, agent, ends, leads
from tests.live.conftest import OpenDesk

pytestmark = pytest.mark.live

Json = Any
ANNA, BEN = "+15550191", "+15550192"
CANCEL = "i want to cancel my contract"
TRANSFER = "transfer me please"
MACHINE = "please leave a message after the tone"
MESSAGE = "Hello, this is Acme. Please call us again."


async def asked_for_a_person(desk: Desk, phone: SipPhone, party: str, uri: str) -> Any:
    """Call, say hello and ask to be put through."""
    await phone.dial(uri)
    call = await desk.call(party)
    await desk.happened(call, "agent_turn")
    phone.play(take(TRANSFER, RATE))
    await desk.happened(call, "transfer_started")
    return call


async def test_a_caller_is_put_through_by_a_path(open_desk: OpenDesk) -> None:
    async with sip_phone() as person, open_desk() as desk, sip_phone(user=ANNA) as phone:
        path = leads("Person", TRANSFER, transfer_call={"to": person.uri}, say="One moment.")
        await desk.answer(agent(paths=[path]))
        call = await asked_for_a_person(desk, phone, ANNA, desk.uri())
        result = await desk.result(call)
        await person.until("established")
        phone.play(tone(440, 1.0), forever=True)
        await person.until_heard(440)
    assert (result.row.status, result.row.end_reason) == ("completed", "transferred")
    assert result.payloads("transfer_succeeded")[0]["sip_status"] == 200
    assert result.paths == ("p-person",)


async def test_a_transfer_that_fails_leaves_the_caller_with_the_agent(open_desk: OpenDesk) -> None:
    """To a line that is busy, by a tool; and to a number that the organization may not dial."""
    follower = Follower(("transfer me", Call("transfer_call")), ("cancel", Call("finish")))
    async with (
        http_model(follower) as model,
        sip_phone(on_ring="busy") as busy,
        open_desk() as desk,
        sip_phone(user=ANNA) as phone,
        sip_phone(user=BEN) as other,
    ):
        stt = {"provider": "local", "keyterms": [TRANSFER]}
        tool = {"tool_type": "transfer_call", "config": {"to": busy.uri}}
        await desk.answer(model.configured(agent(tools=[tool], paths=[ends(CANCEL)], stt=stt)))
        path = leads("Person", TRANSFER, transfer_call={"to": f"sip:+49301234@127.0.0.1:{busy.port}"})
        await desk.answer(agent(paths=[path, ends(CANCEL)]), "+15550101", "dear")
        await desk.limit(Limits(dial_prefixes=("+1555",)))

        async def goes_on(phone: SipPhone, party: str, uri: str) -> CallResult:
            call = await asked_for_a_person(desk, phone, party, uri)
            await desk.happened(call, "transfer_failed")
            spoken = call.count("agent_turn")
            await desk.happened(call, "agent_turn", count=spoken + 1)
            phone.play(take(CANCEL, RATE))
            return await desk.result(call)

        by_tool, refused = await asyncio.gather(
            goes_on(phone, ANNA, desk.uri()), goes_on(other, BEN, desk.uri("+15550101"))
        )
        assert len(busy.named("rung")) == 1
    failed = by_tool.payloads("transfer_failed")[0]
    assert (failed["sip_status"], failed["why"]) == (486, "the line is busy")
    assert "may not dial" in refused.payloads("transfer_failed")[0]["why"]
    for result in (by_tool, refused):
        assert any("could not put you through" in text for text in result.said)
        assert [stay["cause"] for stay in result.payloads("agent_entered")] == ["entry", "resume"]
        assert result.row.end_reason == "agent_hangup"


async def test_a_call_that_goes_out_waits_for_a_hello(open_desk: OpenDesk) -> None:
    """One says hello, one says nothing; both hear the greeting with the variable, and one gets keys."""
    follower = Follower(("hello|cancel", Call("send_dtmf", {"digits": "42#"})))
    async with (
        http_model(follower) as model,
        open_desk() as desk,
        sip_phone(user="anna") as phone,
        sip_phone(user="ben") as silent,
    ):
        config = agent(
            greeting="Hello {{ name }}.",
            variables=[{"name": "name", "preset": True}],
            tools=[{"tool_type": "send_dtmf"}],
            paths=[leads("Finish", CANCEL, end_call={})],
        )
        version = await desk.publish(model.configured(config))

        async def speaks() -> CallResult:
            call = await desk.call("anna")
            await phone.until("established")
            phone.play(take("hello", RATE))
            await desk.happened(call, "agent_turn")
            phone.play(take(CANCEL, RATE))
            await phone.until_true(lambda: phone.keys == "42#", what="keys")
            phone.hang_up()
            return await desk.result(call)

        async def listens() -> CallResult:
            call = await desk.call("ben")
            await desk.happened(call, "agent_turn")
            silent.hang_up()
            return await desk.result(call)

        _, _, spoke, listened = await asyncio.gather(
            desk.dial(f"sip:anna@127.0.0.1:{phone.port}", version, name="Anna"),
            desk.dial(f"sip:ben@127.0.0.1:{silent.port}", version, name="Ben"),
            speaks(),
            listens(),
        )
    assert (spoke.said[0], listened.said[0]) == ("Hello Anna.", "Hello Ben.")
    assert spoke.payloads("user_turn")[0]["text"] == "hello"
    entered = next(event.occurred_at for event in listened.events if event.event_type == "agent_entered")
    assert listened.row.answered_at is not None
    assert 2.4 < (entered - listened.row.answered_at).total_seconds() < 3.5
    for result in (spoke, listened):
        assert (result.row.direction, result.row.end_reason) == ("outbound", "caller_hangup")


async def test_a_call_that_goes_out_and_is_not_taken(open_desk: OpenDesk) -> None:
    async with (
        open_desk(line={"answer_timeout_s": 1.0}) as desk,
        sip_phone(user="busy", on_ring="busy") as busy,
        sip_phone(user="ignore", on_ring="ignore") as nobody,
        sip_phone(user="+4930123", on_ring="ignore") as dear,
    ):
        await desk.limit(Limits(dial_prefixes=("+1555",)))
        version = await desk.publish(agent())
        await asyncio.gather(
            desk.dial(busy.uri.replace("phone", "busy"), version),
            desk.dial(nobody.uri.replace("phone", "ignore"), version),
            desk.dial(f"sip:nowhere@127.0.0.1:{free_port()}", version),
            desk.dial(f"sip:+4930123@127.0.0.1:{dear.port}", version),
        )
        results = {call.row.to_number: await desk.result(call) for call in desk.calls}
    reasons = {party: result.row.end_reason for party, result in results.items()}
    assert reasons == {
        "busy": "busy",
        "ignore": "no_answer",
        "nowhere": "not_connected",
        "+4930123": "limit_reached",
    }
    assert results["+4930123"].payloads("fault_raised")[0]["code"] == "dial_prefix"
    for result in results.values():
        assert result.row.answered_at is None
        assert not result.payloads("agent_entered")


async def test_a_machine_is_hung_up_on_or_left_a_message(open_desk: OpenDesk) -> None:
    stt = {"provider": "local", "keyterms": [MACHINE]}
    async with (
        open_desk() as desk,
        sip_phone(user="one") as first,
        sip_phone(user="two") as second,
    ):
        hangs_up = await desk.publish(agent(stt=stt, session={"voicemail": {"action": "hang_up"}}))
        leave = {"action": "leave_message", "text": MESSAGE}
        leaves = await desk.publish(agent(stt=stt, session={"voicemail": leave}), "other")

        async def plays(machine: SipPhone) -> None:
            await machine.until("established")
            machine.play(take(MACHINE, RATE))
            await machine.until("closed")

        await asyncio.gather(
            desk.dial(f"sip:one@127.0.0.1:{first.port}", hangs_up),
            desk.dial(f"sip:two@127.0.0.1:{second.port}", leaves),
            plays(first),
            plays(second),
        )
        results = [await desk.result(await desk.call(party)) for party in ("one", "two")]
    for result in results:
        assert result.row.end_reason == "voicemail"
        assert len(result.payloads("voicemail_detected")) == 1
    assert results[0].said == ()
    assert results[1].said == (MESSAGE,)
    assert loud_s(first.heard) < 0.1
    assert await spoke(second.heard, MESSAGE)
    assert quiet_tail_s(second.heard) > 0.3
