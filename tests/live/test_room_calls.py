"""Whole calls in LiveKit's rooms, answered by a whole worker: browsers, telephones, many at once, a new version between two."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from functools import partial
from pathlib import Path

import pytest

from runtime.conversation.wordings import wording
from runtime.voice.rooms import DispatchMetadata, dispatch, join_token
from runtime.voice.wav import Samples
from tests.calls.runs import CallResult
from tests.fakes.databases import Databases
from tests.fakes.hearing import loud_s, spoken_s
from tests.fakes.livekit_server import LiveKitServer, livekit_server
from tests.fakes.room_caller import RATE, RoomCaller, caller_process, sip_attributes, stranger_token
from tests.fakes.room_crowd import Extra, crowd
from tests.fakes.speech import take
from tests.fakes.working import NUMBER, agent, ends, leads
from tests.fakes.working_rooms import ByHeart, RoomDesk, a_room, working_rooms

pytestmark = pytest.mark.live

OpenRooms = Callable[..., AbstractAsyncContextManager[RoomDesk]]

CANCEL = "i want to cancel my contract"
HOURS = "what are your opening hours"
BILLING = "i would like to speak to billing"
ORDER = "can you check my order"
SPOKEN = "four two seven one"
BYE = "Thank you for calling, goodbye."


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    with livekit_server(tmp_path_factory.mktemp("livekit")) as server:
        yield server


@pytest.fixture
async def open_rooms(livekit: LiveKitServer, databases: Databases, tmp_path: Path, warmed: None) -> OpenRooms:
    """A worker on a database of its own."""
    name = f"patchbay-{uuid.uuid4().hex[:6]}"
    return partial(working_rooms, livekit, await databases.migrated(), tmp_path, PATCHBAY_AGENT_NAME=name)


@pytest.fixture
def by_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """No recogniser: what the callers say is known by heart."""
    ByHeart.learn()
    monkeypatch.setattr("runtime.voice.pipeline.PocketsphinxSTT", ByHeart)


def ended(result: CallResult) -> tuple[str, str | None]:
    return result.row.status, result.row.end_reason


# ------------------------------------------------------------ browsers


async def _come_and_go(desk: RoomDesk, jobs: Sequence[DispatchMetadata]) -> list[CallResult]:
    """Call by browser, one for each job, say what ends the call, and listen to the goodbye."""
    rooms = [a_room() for _ in jobs]
    tokens = [join_token(desk.settings, room, "anna", metadata=job) for room, job in zip(rooms, jobs, strict=True)]
    heard_s = await crowd(desk.server.url, [Extra(token, CANCEL) for token in tokens])
    results = [await desk.result(await desk.rung(room)) for room in rooms]
    assert min(heard_s) > 0.8
    for result in results:
        assert result.payloads("user_turn")[0]["text"] == CANCEL
        assert result.said[-1] == BYE
        assert ended(result) == ("completed", "agent_hangup")
    return results


async def _without_metadata(desk: RoomDesk) -> CallResult:
    """Call into a room whose dispatch says nothing at all."""
    room = a_room()
    async with RoomCaller(desk.server.url, stranger_token(desk.settings, room, "bert")) as caller:
        await dispatch(desk.settings, room)
        call = await desk.rung(room)
        await desk.happened(call, "agent_turn")
        await caller.leave()
        return await desk.result(call)


async def test_a_browser_is_answered_by_what_its_job_says(open_rooms: OpenRooms, by_heart: None) -> None:
    test_id = str(uuid.uuid4())
    named = {"name": "customer", "data_type": "person_name", "preset": True}
    async with open_rooms() as desk:
        old = await desk.publish(agent(greeting="Old.", paths=[ends(CANCEL)]))
        new = await desk.publish(agent(greeting="Good day {{ customer }}.", variables=[named], paths=[ends(CANCEL)]))
        await desk.answer_all()
        await desk.until(lambda: desk.would_run(new))
        nothing, (workflow, version, test) = await asyncio.gather(
            _without_metadata(desk),
            _come_and_go(
                desk,
                (
                    DispatchMetadata(workflow_id=new.workflow_id, variables={"customer": "Ada"}),
                    DispatchMetadata(workflow_version_id=old.id),
                    DispatchMetadata(workflow_id=new.workflow_id, test_session_id=test_id),
                ),
            ),
        )
        saved = {row.id: row for row in await desk.worker.store.tests(desk.organization)}
    assert [result.row.channel for result in (nothing, workflow, version, test)] == ["web", "web", "web", "voice_test"]
    ran = [result.row.workflow_version_id for result in (nothing, workflow, version, test)]
    assert ran == [new.id, new.id, old.id, new.id]
    assert ended(nothing) == ("completed", "caller_hangup")
    assert workflow.said[0] == "Good day Ada."
    assert workflow.variables["customer"] == "Ada"
    assert [result.row.is_test for result in (workflow, test)] == [False, True]
    assert set(saved) == {test_id}
    assert saved[test_id].session_id == test.row.id
    assert [line["text"] for line in saved[test_id].transcript if line["role"] == "user"] == [CANCEL]


# ------------------------------------------------------------ telephones


def _two_desks() -> dict[str, object]:
    """A desk that wants a number by keypad, and another that takes one by voice."""
    number = {"description": "the number", "data_type": "digits", "min_length": 4, "max_length": 8}
    billing = {
        "id": "a-billing",
        "name": "Billing",
        "instructions": "Help.",
        "greeting": {"mode": "say", "text": "Billing."},
        "paths": [
            leads(
                "Back",
                ORDER,
                target_agent_id="a-desk",
                required_variables=[{"name": "order_number", **number, "examples": [SPOKEN]}],
            ),
            ends(HOURS),
        ],
    }
    keyed = {"name": "customer_number", **number, "dtmf": True}
    path = leads("To Billing", CANCEL, target_agent_id="a-billing", required_variables=[keyed])
    return agent(greeting="{{ caller.number }} rings {{ caller.dialled }}.", paths=[path], agents=[billing])


async def test_a_telephone_goes_through_two_agents_with_a_number_by_keypad_and_one_by_voice(
    open_rooms: OpenRooms,
) -> None:
    async with open_rooms() as desk:
        version = await desk.answer(_two_desks())
        async with desk.telephone("+15550199") as guest:
            await guest.answered()
            await guest.say(CANCEL)
            await guest.answered(2)
            await guest.caller.press("4271#")
            await guest.happened("path_taken")
            await guest.answered(3)
            await guest.say(ORDER)
            await guest.answered(4)
            await guest.say(SPOKEN)
            await guest.happened("agent_entered", count=3)
            await guest.hang_up()
            result = await guest.result()
            await guest.caller.left.wait()
            assert loud_s(guest.heard) > 2
    started = result.payloads("call_started")[0]
    assert (started["channel"], started["caller"], started["dialled"]) == ("phone", "+15550199", NUMBER)
    assert (started["workflow_id"], started["workflow_version_id"]) == (version.workflow_id, version.id)
    assert (result.row.from_number, result.row.to_number) == ("+15550199", NUMBER)
    assert result.row.external_session_id == sip_attributes()["sip.callIDFull"]
    assert result.said[0] == f"+15550199 rings {NUMBER}."
    assert "".join(key["digits"] for key in result.payloads("dtmf_received")) == "4271#"
    sources = {each["name"]: each["source"] for each in result.payloads("variable_collected")}
    assert sources == {"customer_number": "dtmf", "order_number": "speech"}
    assert result.variables == {"customer_number": "4271", "order_number": "4271"}
    assert [stay["agent_name"] for stay in result.payloads("agent_entered")] == ["Desk", "Billing", "Desk"]
    assert ended(result) == ("completed", "caller_hangup")


async def test_a_number_that_nobody_knows_gets_a_spoken_apology(open_rooms: OpenRooms) -> None:
    async with open_rooms() as desk, desk.telephone("+15550199", dialled="+15550123") as guest:
        result = await guest.result()
        await guest.caller.left.wait()  # the room is gone
        # What WebRTC stretches no comparison of waves knows again: the words stand in the event, the sound lasts as long.
        assert guest.voice_s() == pytest.approx(spoken_s("no_workflow"), rel=0.35)
    assert result.said == (wording("no_workflow", "en"),)
    assert ended(result) == ("completed", "no_workflow")
    fault = result.payloads("fault_raised")[0]
    assert (fault["component"], fault["code"]) == ("dispatch", "unknown_number")
    assert "+15550123" in fault["message"]
    assert result.row.workflow_version_id is None


# ------------------------------------------------------------ many, and one after the other


async def test_four_calls_at_once_are_each_their_own(open_rooms: OpenRooms, by_heart: None) -> None:
    phrases = (CANCEL, HOURS, BILLING, ORDER)
    texts = [f"That is number {name}, goodbye." for name in ("one", "two", "three", "four")]
    paths = [
        leads(f"End {number}", phrase, end_call={"say": text})
        for number, (phrase, text) in enumerate(zip(phrases, texts, strict=True))
    ]
    async with open_rooms() as desk:
        version = await desk.publish(agent(paths=paths))
        await desk.answer_all()
        await desk.until(lambda: desk.would_run(version))
        rooms = [a_room() for _ in phrases]
        extras = [
            Extra(join_token(desk.settings, room, "anna"), phrase) for room, phrase in zip(rooms, phrases, strict=True)
        ]
        heard_s = await crowd(desk.server.url, extras)
        results = [await desk.result(await desk.rung(room)) for room in rooms]
    assert min(heard_s) > 0.8
    for result, phrase, text in zip(results, phrases, texts, strict=True):
        assert [turn["text"] for turn in result.payloads("user_turn")] == [phrase]
        assert result.said == ("Hello.", text)
        assert ended(result) == ("completed", "agent_hangup")
        assert not result.payloads("fault_raised")


async def test_a_version_that_is_published_during_a_call_answers_the_next_one(
    open_rooms: OpenRooms, by_heart: None
) -> None:
    async with open_rooms() as desk:
        first = await desk.answer(agent(paths=[ends(CANCEL, say="Goodbye from the first.")]))
        async with desk.telephone("+15550191") as before:
            second = await desk.publish(agent(greeting="News.", paths=[ends(CANCEL, say="Goodbye from the second.")]))
            await desk.until(lambda: desk.would_run(second), within_s=1.0)
            async with desk.telephone("+15550192") as after:
                await asyncio.gather(before.answered(), after.answered())
                await asyncio.gather(before.say(CANCEL), after.say(CANCEL))
                results = await asyncio.gather(before.result(), after.result())
    assert [result.row.workflow_version_id for result in results] == [first.id, second.id]
    assert [result.said for result in results] == [
        ("Hello.", "Goodbye from the first."),
        ("News.", "Goodbye from the second."),
    ]


# ------------------------------------------------------------ goodbyes


async def _in_mid_word(desk: RoomDesk) -> CallResult:
    words: Samples = take(CANCEL, RATE)
    async with desk.browser() as guest:
        await guest.answered()
        await guest.caller.say(words[: words.size // 2])
        await guest.caller.leave()
        return await guest.result()


async def _vanishes(desk: RoomDesk) -> CallResult:
    room = a_room()
    with ExitStack() as stack:
        vanishing = caller_process(desk.server.url, join_token(desk.settings, room, "anna"))
        process = await asyncio.to_thread(stack.enter_context, vanishing)
        call = await desk.rung(room)
        await desk.happened(call, "agent_turn")
        process.vanish()
        await desk.happened(call, "call_ended", within_s=45)
    return await desk.result(call)


async def test_callers_who_leave_in_mid_word_and_callers_who_vanish(open_rooms: OpenRooms) -> None:
    async with open_rooms() as desk:
        version = await desk.publish(agent(paths=[ends(CANCEL)], session={"silence": {"after_s": 60}}))
        await desk.answer_all()
        await desk.until(lambda: desk.would_run(version))
        left, vanished = await asyncio.gather(_in_mid_word(desk), _vanishes(desk))
    assert ended(left) == ("completed", "caller_hangup")
    assert not left.payloads("path_taken")
    assert ended(vanished) == ("dropped", "connection_lost")
    assert vanished.said == ("Hello.",)
