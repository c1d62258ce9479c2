"""Chat tests over HTTP with the local providers: a script, turn by turn, and what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.services import Services
from runtime.harness.script import parse_script
from tests.api.chats import Builder, lines
from tests.api.conftest import Tenant
from tests.calls.runs import Place, read, run_chat
from tests.fakes.workflows import FRONT_DESK

pytestmark = pytest.mark.server

Json = Any
GREETING = "Hello, this is Acme. How can I help you?"
COLLECTED = {"customer_number": "4271", "invoice_month": "May"}


@pytest.fixture
def builder(http: httpx.AsyncClient, services: Services, acme: Tenant) -> Builder:
    return Builder(http, services, acme)


def types(answer: dict[str, Json]) -> list[str]:
    return [event["event_type"] for event in answer["events"]]


def taken(events: list[dict[str, Json]]) -> list[str]:
    return [event["payload"]["path_id"] for event in events if event["event_type"] == "path_taken"]


async def test_a_script_is_played_to_its_end(builder: Builder) -> None:
    version = await builder.version()
    answer = await builder.chat(version, messages=lines("front_desk", "billing"), offline=True)
    assert (answer["status"], answer["end_reason"]) == ("ended", "agent_hangup")
    assert answer["workflow_version_id"] == version.id
    assert answer["variables"] == COLLECTED
    assert answer["current_agent"] is None
    assert answer["turns"][0] == {
        "role": "agent",
        "agent": "Front desk",
        "text": GREETING,
        "turn": 0,
        "interrupted": False,
        "llm_ttft_ms": None,
        "response_ms": None,
    }
    assert [turn["text"] for turn in answer["turns"] if turn["role"] == "user"] == lines("front_desk", "billing")[1:]
    assert types(answer)[0] == "call_started"
    assert types(answer)[-1] == "call_ended"
    assert [event["seq"] for event in answer["events"]] == list(range(1, len(answer["events"]) + 1))
    slowest = max(turn["response_ms"] for turn in answer["turns"] if turn["response_ms"] is not None)
    assert answer["latencies"]["response_ms"] == slowest
    stored = await builder.services.store.events(answer["session_id"])
    assert [event.event_type for event in stored] == types(answer)
    test = await builder.get(f"/test-sessions/{answer['test_session_id']}")
    assert (test["status"], test["end_reason"], test["channel"]) == ("completed", "agent_hangup", "chat_test")
    assert [turn["text"] for turn in test["transcript"]] == [turn["text"] for turn in answer["turns"]]


@pytest.mark.parametrize("script", ["billing", "change_of_mind", "support"])
async def test_a_script_gives_the_same_here_as_in_a_chat_of_the_command_line(
    builder: Builder, tmp_path: Path, script: str
) -> None:
    there = await run_chat(
        read("front_desk"), parse_script("\n".join(lines("front_desk", script))), Place(tmp_path / "other")
    )
    here = await builder.chat(await builder.version(), messages=lines("front_desk", script), offline=True)
    assert taken(here["events"]) == list(there.paths)
    assert here["variables"] == there.variables
    assert [turn["text"] for turn in here["turns"] if turn["role"] == "agent"] == list(there.said)


async def test_turn_by_turn_the_session_is_kept(builder: Builder) -> None:
    version = await builder.version()
    first = await builder.chat(version, offline=True)
    assert [turn["text"] for turn in first["turns"]] == [GREETING]
    assert (first["status"], first["end_reason"]) == ("active", None)
    assert first["current_agent"]["name"] == "Front desk"
    session = first["test_session_id"]
    second = await builder.chat(version, message="there is a mistake in my bill", test_session_id=session)
    assert [turn["role"] for turn in second["turns"]] == ["user", "agent"]
    assert second["session_id"] == first["session_id"]
    assert second["events"][0]["seq"] == first["events"][-1]["seq"] + 1
    third = await builder.chat(version, message="[dtmf 4271#]", test_session_id=session)
    assert third["variables"] == {"customer_number": "4271"}
    assert third["current_agent"]["name"] == "Billing"
    running = await builder.get(f"/test-sessions/{session}")
    assert running["status"] == "active"
    said = [turn["text"] for answer in (first, second, third) for turn in answer["turns"]]
    assert [turn["text"] for turn in running["transcript"]] == said
    last = await builder.chat(version, message="[hangup]", test_session_id=session)
    assert (last["status"], last["end_reason"]) == ("ended", "caller_hangup")
    assert builder.services.tests.get(session) is None
    again = await builder.chat(version, message="Hello?", test_session_id=session, status=409)
    assert (again["code"], again["detail"]) == ("conflict", "The test session has ended.")


async def test_a_hash_and_lines_are_words_where_one_turn_is_sent(builder: Builder) -> None:
    version = await builder.version()
    answer = await builder.chat(version, message="# one\n  is my\tchoice ", offline=True)
    assert [turn["text"] for turn in answer["turns"] if turn["role"] == "user"] == ["# one is my choice"]


async def test_sessions_at_once_know_nothing_of_each_other(builder: Builder) -> None:
    version = await builder.version()
    opened = await asyncio.gather(*(builder.chat(version, offline=True) for _ in range(3)))
    numbers = ["4271", "5382", "6493"]
    answers = await asyncio.gather(
        *(
            builder.chat(
                version,
                messages=["there is a mistake in my bill", f"[dtmf {number}#]"],
                test_session_id=first["test_session_id"],
            )
            for first, number in zip(opened, numbers, strict=True)
        )
    )
    assert [answer["variables"]["customer_number"] for answer in answers] == numbers
    assert len({answer["session_id"] for answer in answers}) == 3


async def test_a_second_request_while_one_runs_is_refused(builder: Builder) -> None:
    version = await builder.version()
    session = (await builder.chat(version, offline=True))["test_session_id"]
    call = builder.services.tests.get(session)
    assert call is not None
    with call.in_use():
        refused = await builder.chat(version, message="Hello", test_session_id=session, status=409)
    assert refused["code"] == "already_running"
    await builder.chat(version, message="Hello", test_session_id=session)


async def test_another_tenant_finds_neither_the_version_nor_the_session(builder: Builder, umbrella: Tenant) -> None:
    version = await builder.version()
    session = (await builder.chat(version, offline=True))["test_session_id"]
    other = Builder(builder.http, builder.services, umbrella)
    assert (await other.chat(version, offline=True, status=404))["code"] == "not_found"
    own = await other.version()
    stolen = await other.chat(own, message="Hello", test_session_id=session, status=404)
    assert stolen["code"] == "not_found"
    assert (await other.get(f"/test-sessions/{session}", status=404))["code"] == "not_found"
    assert await other.delete(f"/test-sessions/{session}") == 404
    assert (await other.get("/test-sessions"))["items"] == []
    assert (await builder.chat(version, message="Hello", test_session_id=session))["status"] == "active"


async def test_who_may_not_test_may_read_tests(builder: Builder) -> None:
    version = await builder.version()
    answer = await builder.chat(version, messages=["Hello"], offline=True)
    viewer = Builder(builder.http, builder.services, builder.tenant, "viewer")
    assert (await viewer.chat(version, offline=True, status=403))["code"] == "forbidden"
    assert await viewer.delete(f"/test-sessions/{answer['test_session_id']}") == 403
    assert (await viewer.get(f"/test-sessions/{answer['test_session_id']}"))["status"] == "completed"


async def test_tests_are_listed_newest_first_page_by_page(builder: Builder) -> None:
    one, two = await builder.version(name="one"), await builder.version(name="two")
    made = [(await builder.chat(each, messages=["Hello"], offline=True))["test_session_id"] for each in (one, two, one)]
    first = await builder.get("/test-sessions", limit=2)
    assert [row["id"] for row in first["items"]] == made[:0:-1]
    second = await builder.get("/test-sessions", limit=2, after=first["next"])
    assert ([row["id"] for row in second["items"]], second["next"]) == (made[:1], None)
    of_two = await builder.get("/test-sessions", workflow_version_id=two.id)
    assert [row["id"] for row in of_two["items"]] == [made[1]]


async def test_a_test_is_ended_by_deleting_it(builder: Builder) -> None:
    version = await builder.version()
    session = (await builder.chat(version, offline=True))["test_session_id"]
    assert await builder.delete(f"/test-sessions/{session}") == 204
    assert await builder.delete(f"/test-sessions/{session}") == 204
    test = await builder.get(f"/test-sessions/{session}")
    assert (test["status"], test["end_reason"]) == ("completed", "caller_hangup")
    assert await builder.delete(f"/test-sessions/{uuid4()}") == 404


async def test_a_version_with_faults_answers_with_all_of_them(builder: Builder) -> None:
    config = read("front_desk")
    config["agents"][0]["paths"][0]["target_agent_id"] = "nobody"
    config["agents"][1]["paths"][0]["guard_condition"] = "1 +"
    refused = await builder.chat(await builder.version(config), message="Hello", offline=True, status=422)
    assert refused["code"] == "config_has_faults"
    assert {"unknown_target", "guard_invalid"} <= {fault["code"] for fault in refused["faults"]}
    assert builder.services.tests.running(builder.tenant.id) == 0


async def test_a_line_that_is_no_step_is_named(builder: Builder) -> None:
    version = await builder.version()
    script = ["Hello", "[dtmf 12x]", "# fine", "[wait 3]"]
    refused = await builder.chat(version, messages=script, offline=True, status=422)
    assert "line 2" in refused["detail"]
    assert "line 4" in refused["detail"]
    refused = await builder.chat(version, message="[silence soon]", offline=True, status=422)
    assert "[silence 8]" in refused["detail"]
    assert (await builder.get("/test-sessions"))["items"] == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"message": "Hello", "messages": ["Hello"]}, "not both"),
        ({"message": "  "}, "empty"),
        ({"message": "nul \0"}, "cannot be stored"),
        ({"variables": {"a": ["\0"]}}, "cannot be stored"),
        ({"mocks": {"tools": {"\0": []}}}, "cannot be stored"),
        ({"messages": []}, "at least 1"),
        ({"test_session_id": str(uuid4())}, "needs `message`"),
        ({"test_session_id": str(uuid4()), "message": "Hello", "offline": True}, "where a session begins"),
        ({"voice": True}, "Extra inputs"),
        ({"variables": {"colour": "red"}, "offline": True}, "declares no variable 'colour'"),
        ({"mocks": {"tools": {"no_such": [{"result": 1}]}}, "offline": True}, "no such tool"),
        ({"mocks": {"tolls": {}}, "offline": True}, "mocks: "),
    ],
)
async def test_a_body_that_means_nothing_is_refused(builder: Builder, body: dict[str, Json], said: str) -> None:
    refused = await builder.chat(await builder.version(), status=422, **body)
    assert refused["code"] == "invalid_request"
    assert said in refused["detail"]
    assert builder.services.tests.running(builder.tenant.id) == 0


async def test_what_is_not_there_is_said(builder: Builder) -> None:
    version = await builder.version()
    assert (await builder.chat(str(uuid4()), status=404))["code"] == "not_found"
    missing = await builder.chat(version, message="Hello", test_session_id=str(uuid4()), status=404)
    assert missing["code"] == "not_found"
    session = (await builder.chat(version, offline=True))["test_session_id"]
    other = await builder.version(name="other")
    wrong = await builder.chat(other, message="Hello", test_session_id=session, status=422)
    assert version.id in wrong["detail"]


async def test_values_from_outside_and_mocks_count(builder: Builder) -> None:
    answer = await builder.chat(
        await builder.version("order_status"),
        messages=["my order number is four two seven one"],
        variables={"order_status": "packed"},
        mocks={"tools": {"check_order": [{"result": {"status": "delayed", "told": "It is late."}}]}},
        offline=True,
    )
    preset = next(event for event in answer["events"] if event["event_type"] == "variable_collected")
    assert (preset["payload"]["value"], preset["payload"]["source"]) == ("packed", "preset")
    tool = next(event for event in answer["events"] if event["event_type"] == "tool_succeeded")
    assert tool["payload"]["mocked"]


async def test_a_sensitive_value_is_masked_everywhere(builder: Builder) -> None:
    version = await builder.version({**FRONT_DESK, "defaults": {"llm": {"provider": "openai", "model": "m"}}})
    first = await builder.chat(version, variables={"pin": "8642", "vip": False}, offline=True)
    assert first["variables"] == {"pin": "•••", "vip": False}
    last = await builder.chat(version, message="[hangup]", test_session_id=first["test_session_id"])
    assert last["variables"] == {"pin": "•••", "vip": False}
    assert "8642" not in str((first, last, await builder.get(f"/test-sessions/{first['test_session_id']}")))


async def test_a_published_version_is_tested_as_a_draft_is(builder: Builder) -> None:
    version = await builder.services.store.publish((await builder.version()).id)
    assert (await builder.chat(version, messages=["Hello"], offline=True))["status"] == "ended"


async def test_the_call_names_the_request_that_began_it(builder: Builder) -> None:
    version = await builder.version()
    answer = await builder.http.post(
        builder.url(version), json={"offline": True}, headers=builder.tenant.keys["builder"]
    )
    started = answer.json()["events"][0]
    assert started["event_type"] == "call_started"
    assert started["payload"]["request_id"] == answer.headers["x-request-id"]


async def test_a_request_sent_twice_with_its_key_is_one_test(builder: Builder) -> None:
    version = await builder.version()
    headers = builder.tenant.keys["builder"] | {"Idempotency-Key": "one"}
    bodies = [
        (await builder.http.post(builder.url(version), json={"messages": ["Hello"], "offline": True}, headers=headers))
        for _ in range(2)
    ]
    assert bodies[0].json() == bodies[1].json()
    assert len((await builder.get("/test-sessions"))["items"]) == 1
