"""Who answers a telephone: what the caller hears where nobody can, what a publish changes, and what is too much."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.conversation.wordings import wording
from runtime.session.ports import Limits
from runtime.store.postgres import PostgresStore
from runtime.voice.phrases import Phrase
from tests.calls.runs import CallResult
from tests.fakes.hearing import said, spoke
from tests.fakes.raw_caller import raw_caller
from tests.fakes.sip_caller import sip_phone
from tests.fakes.working import Desk, agent
from tests.live.conftest import OpenDesk

pytestmark = pytest.mark.live

Json = Any
OLD, NEW = "Hello, this is Acme.", "Our office is closed today, please call again tomorrow."
PARTIES = ("+15550191", "+15550192", "+15550193", "+15550194", "+15550195")


async def apologised(desk: Desk, party: str, number: str, name: Phrase, language: str = "en") -> CallResult:
    """Call a number that cannot be answered: the apology is heard whole, and then the line is dead."""
    async with sip_phone(user=party) as phone:
        await phone.dial(desk.uri(number))
        await phone.until("closed")
        result = await desk.result(await desk.call(party))
        assert said(phone.heard, name, language)
    assert result.said == (wording(name, language),)  # type: ignore[arg-type]
    assert len(result.payloads("fault_raised")) == 1
    return result


async def test_whoever_cannot_be_answered_hears_why_in_words(
    open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    german = {"language": "de"}
    async with open_desk() as desk:
        store, organization = desk.worker.store, desk.worker.organization.id
        await store.save_draft(organization, "draft", agent())
        await desk.publish(agent(session=german, wrong="key"), "faulty")
        await desk.publish({**agent(), "schema_version": 99}, "newer")
        await desk.publish(agent(session=german, llm={"provider": "openai", "model": "gpt-4o-mini"}), "keyless")
        for number, name in enumerate(("draft", "faulty", "newer", "keyless")):
            await desk.map(f"+1555010{number}", name)
        await desk.until(lambda: desk.knows("+15550103"))
        results = await asyncio.gather(
            apologised(desk, PARTIES[0], "+15550109", "no_workflow"),
            apologised(desk, PARTIES[1], "+15550100", "no_workflow"),
            apologised(desk, PARTIES[2], "+15550101", "no_workflow", "de"),
            apologised(desk, PARTIES[3], "+15550102", "no_workflow"),
            apologised(desk, PARTIES[4], "+15550103", "give_up", "de"),
        )
    ends = [(result.row.end_reason, result.payloads("fault_raised")[0]["code"]) for result in results]
    assert ends == [
        ("no_workflow", "unknown_number"),
        ("no_workflow", "unpublished_workflow"),
        ("error", "faulty_config"),
        ("error", "newer_schema_version"),
        ("error", "models_unavailable"),
    ]
    messages = [result.payloads("fault_raised")[0]["message"] for result in results]
    assert "+15550109" in messages[0]
    assert "'draft'" in messages[1]
    assert "OPENAI_API_KEY" in messages[4]


async def test_a_publish_counts_for_the_next_call_and_leaves_the_running_one(open_desk: OpenDesk) -> None:
    silence = {"silence": {"after_s": 2, "prompts": ["Are you still there?"]}}
    first, second = PARTIES[:2]
    async with open_desk() as desk, sip_phone(user=first) as phone, sip_phone(user=second) as other:
        old = await desk.answer(agent(greeting=OLD, session=silence))
        await phone.dial(desk.uri())
        running = await desk.call(first)
        await desk.happened(running, "agent_entered")
        elsewhere = PostgresStore(desk.database_url)
        new = await elsewhere.save_draft(old.organization_id, "desk", agent(greeting=NEW))
        await elsewhere.publish(new.id)
        await elsewhere.aclose()
        await desk.until(lambda: desk.knows("+15550100", new.id), within_s=1.0)
        await other.dial(desk.uri())
        call = await desk.call(second)
        await desk.happened(call, "agent_turn")
        await desk.happened(running, "silence_elapsed")  # which the new version would not have asked
        other.hang_up()
        phone.hang_up()
        results = [await desk.result(running), await desk.result(call)]
    assert [result.row.workflow_version_id for result in results] == [old.id, new.id]
    assert [result.said[0] for result in results] == [OLD, NEW]
    assert await spoke(other.heard, NEW)
    assert not await spoke(other.heard, OLD)


async def test_a_worker_that_is_full_is_busy(open_desk: OpenDesk) -> None:
    async with open_desk(PATCHBAY_MAX_CALLS="2") as desk:
        await desk.answer(agent())
        uri = desk.uri()
        async with raw_caller(uri) as stays:
            async with raw_caller(uri) as leaves, raw_caller(uri) as third:
                await asyncio.gather(stays.call(), leaves.call())
                await third.call()
                assert (stays.final, leaves.final, third.final) == (200, 200, 486)
            await desk.until(lambda: desk.worker.switchboard.calls == 1)
            async with raw_caller(uri) as next_one:
                await next_one.call()
                assert next_one.final == 200
        assert len(desk.calls) == 3
        for call in desk.calls:
            assert (await desk.result(call)).row.end_reason == "caller_hangup"


async def test_an_organization_at_its_limit_says_so(open_desk: OpenDesk) -> None:
    async with open_desk() as desk, sip_phone(user=PARTIES[0]) as phone:
        await desk.answer(agent())
        await desk.limit(Limits(max_concurrent_calls=1))
        await phone.dial(desk.uri())
        first = await desk.call(PARTIES[0])
        await desk.happened(first, "agent_entered")
        refused = await apologised(desk, PARTIES[1], "+15550100", "busy")
        assert first.row.ended_at is None
        phone.hang_up()
        await desk.result(first)
    assert refused.row.end_reason == "limit_reached"
    assert refused.payloads("fault_raised")[0]["code"] == "concurrent_calls"
