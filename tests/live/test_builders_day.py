"""A builder's day through HTTP alone, from signing in to restoring an old version, with a real telephone call in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from runtime.harness.joining import ApiServer as Server
from runtime.harness.joining import Wanted, invite
from runtime.harness.remote import RemotePhone
from runtime.harness.voice import VoiceCaller
from runtime.session.ports import EventRow
from tests.api.conftest import JWT_SECRET, user_token
from tests.contract.conftest import databases
from tests.fakes.api_server import ApiServer, api_server
from tests.fakes.databases import Databases
from tests.fakes.sip_caller import RATE, sip_phone
from tests.fakes.speech import take
from tests.fakes.working import NUMBER, Desk, agent, ends, leads, working

__all__ = ["databases"]

pytestmark = pytest.mark.live

Json = Any
ANNA = "+15550191"
BILLING = "i would like to speak to billing"
CANCEL = "i want to cancel my contract"
NUMBER_ASKED = {
    "name": "customer_number",
    "description": "the customer number",
    "data_type": "digits",
    "min_length": 4,
    "max_length": 4,
    "dtmf": True,
}
BILLS = {
    "id": "a-bills",
    "name": "Bills",
    "instructions": "Help.",
    "greeting": {"mode": "say", "text": "Bills, hello."},
    "paths": [ends(CANCEL)],
}


def workflow(target: str = "a-bills", greeting: str = "Hello.") -> dict[str, Json]:
    path = leads("To Billing", BILLING, target_agent_id=target, required_variables=[NUMBER_ASKED])
    return agent(greeting=greeting, paths=[path], agents=[BILLS])


@pytest.fixture
async def url(databases: Databases) -> str:
    return await databases.migrated()


@pytest.fixture
def server(url: str, tmp_path: Path) -> Iterator[ApiServer]:
    with api_server(tmp_path / "api", DATABASE_URL=url, SUPABASE_JWT_SECRET=JWT_SECRET) as running:
        yield running


class Builder:
    """Somebody who has signed in, and sends requests."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def asks(self, method: str, path: str, status: int = 200, **request: Json) -> httpx.Response:
        answer = await self._http.request(method, f"/api{path}", **request)
        assert answer.status_code == status, (method, path, answer.text)
        return answer

    async def gets(self, path: str, **query: Json) -> Json:
        return (await self.asks("GET", path, params=query)).json()


@pytest.mark.timeout(170)
async def test_a_builders_day(server: ApiServer, url: str, tmp_path: Path) -> None:
    token = user_token(str(uuid4()))
    async with httpx.AsyncClient(
        base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60
    ) as client:
        builder = Builder(client)
        organization = (await builder.asks("POST", "/organizations", 201, json={"name": "Acme"})).json()
        workflow_id, first = await _drafts(builder)
        await _tests_by_chat(builder, first)
        await _tests_by_voice(server, builder, token, first)
        await builder.asks("POST", f"/workflow-versions/{first}/publish")
        await builder.asks("PUT", f"/phone-numbers/{NUMBER}", 201, json={"workflow_id": workflow_id})
        async with working(url, tmp_path, PATCHBAY_ORG=organization["id"]) as desk:
            await desk.until(lambda: desk.knows(NUMBER, first))
            session_id = await _a_customer_calls(desk)
        await _reads_what_happened(builder, first, session_id)
        await _goes_on_and_back(builder, workflow_id, first)


async def _drafts(builder: Builder) -> tuple[str, str]:
    """Make a workflow with a fault in it, fix it, and find a colleague's change in the way."""
    made = (await builder.asks("POST", "/workflows", 201, json={"name": "desk", "description": "Answers"})).json()
    draft = await builder.asks("POST", f"/workflows/{made['id']}/versions", 201, json={"config": workflow("a-bill")})
    faults = {each["code"]: each for each in draft.json()["faults"]}
    assert faults["unknown_target"]["path"] == "$.agents[0].paths[0].target_agent_id"
    place = f"/workflow-versions/{draft.json()['id']}"
    refused = (await builder.asks("POST", f"{place}/publish", 422)).json()
    assert refused["code"] == "config_has_faults"
    mine = {"If-Match": draft.headers["etag"]}
    fixed = (await builder.asks("PATCH", place, json={"config": workflow()}, headers=mine)).json()
    assert not [each for each in fixed["faults"] if each["severity"] == "error"]
    late = (await builder.asks("PATCH", place, 412, json={"config": {}}, headers=mine)).json()
    assert late["code"] == "draft_changed"
    assert (await builder.gets(f"/workflows/{made['id']}"))["latest_draft_version"]["config"] == workflow()
    return made["id"], fixed["id"]


async def _tests_by_chat(builder: Builder, version: str) -> None:
    place = f"/workflow-versions/{version}/test/chat"
    first = (await builder.asks("POST", place, json={"message": BILLING})).json()
    assert (first["status"], first["current_agent"]["name"]) == ("active", "Desk")
    body = {"message": "[dtmf 4271]", "test_session_id": first["test_session_id"]}
    second = (await builder.asks("POST", place, json=body)).json()
    whole = (await builder.asks("POST", place, json={"messages": [BILLING, "[dtmf 4271]", CANCEL]})).json()
    assert whole["variables"] == {"customer_number": "4271"}
    assert (whole["status"], whole["end_reason"]) == ("ended", "agent_hangup")
    assert "Bills, hello." in " ".join(turn["text"] for turn in (*second["turns"], *whole["turns"]))
    await builder.asks("DELETE", f"/test-sessions/{first['test_session_id']}", 204)


async def _tests_by_voice(server: ApiServer, builder: Builder, token: str, version: str) -> None:
    """Speak over a WebSocket: what a synthetic voice says is recognised, and the agent answers in sound."""
    events: list[EventRow] = []
    invitation = await invite(Server(server.url, token), Wanted(version=version))
    phone = await RemotePhone.join(invitation, events.append)
    caller = VoiceCaller(phone)
    try:
        await caller.begin()
        await caller.play_recordings([take(CANCEL, 16000)])
    finally:
        await caller.aclose()
    assert [event.payload["text"] for event in events if event.event_type == "user_turn"] == [CANCEL]
    assert events[-1].event_type == "call_ended"
    tested: Json = {}
    for _ in range(200):  # the transcript is stored once the call is over
        tested = await builder.gets(f"/test-sessions/{invitation.test_session_id}")
        if tested["transcript"]:
            break
        await asyncio.sleep(0.1)
    assert [line["text"] for line in tested["transcript"] if line["role"] == "user"] == [CANCEL]


async def _a_customer_calls(desk: Desk) -> str:
    """A telephone rings the published version, says what it wants and keys a number."""
    async with sip_phone(user=ANNA) as phone:
        await phone.dial(desk.uri())
        call = await desk.call(ANNA)
        await desk.happened(call, "agent_turn")
        phone.play(take(BILLING, RATE))
        await desk.happened(call, "agent_turn", count=2)
        phone.press("4271")
        await desk.happened(call, "path_taken")
        await desk.happened(call, "agent_turn", count=3)
        phone.hang_up()
        result = await desk.result(call)
    assert result.variables == {"customer_number": "4271"}
    return result.row.id


async def _reads_what_happened(builder: Builder, version: str, session_id: str) -> None:
    """The funnel holds the one real call; the tests are left out unless asked for."""
    (listed,) = (await builder.gets("/sessions"))["items"]
    assert (listed["id"], listed["from_number"], listed["status"]) == (session_id, ANNA, "completed")
    events = (await builder.gets(f"/sessions/{session_id}/events", limit=500))["items"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    told = await builder.gets(f"/workflow-versions/{version}/analytics")
    assert told["calls"]["calls"] == 1
    assert {each["agent_name"]: each["entered"] for each in told["agents"]} == {"Desk": 1, "Bills": 1}
    assert [(each["path_name"], each["taken"]) for each in told["paths"] if each["taken"]] == [("To Billing", 1)]
    assert (await builder.gets(f"/workflow-versions/{version}/analytics", tests=True))["calls"]["calls"] > 1


async def _goes_on_and_back(builder: Builder, workflow_id: str, first: str) -> None:
    """Make a second version, compare both, publish it, and restore the first."""
    second = (await builder.asks("POST", f"/workflows/{workflow_id}/versions", 201)).json()
    changed = workflow(greeting="Good morning.")
    await builder.asks("PATCH", f"/workflow-versions/{second['id']}", json={"config": changed})
    difference = await builder.gets(f"/workflow-versions/{second['id']}/diff", against=first)
    assert "Good morning." in str(difference)
    await builder.asks("POST", f"/workflow-versions/{second['id']}/publish")
    await builder.asks("PATCH", f"/workflow-versions/{first}", 409, json={"config": changed})
    compared = await builder.gets(f"/workflow-versions/{second['id']}/analytics", compare=first)
    assert {each["version"] for each in compared["comparison"]} >= {1}
    restored = (await builder.asks("POST", f"/workflow-versions/{first}/restore", 201)).json()
    assert (restored["version"], restored["status"], restored["config"]) == (3, "draft", workflow())
