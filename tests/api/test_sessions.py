from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.services import Services
from runtime.session.ports import CallRow
from tests.api.conftest import ROLES, Tenant
from tests.contract.rows import CONFIG, START, a_call, some_events

pytestmark = pytest.mark.server


async def a_stored_call(services: Services, tenant: Tenant, *seqs: int, **fields: Any) -> CallRow:
    call = a_call(tenant.id, **{"is_test": False, "channel": "phone"} | fields)
    await services.store.open_call(call)
    await services.store.append(some_events(call, *seqs))
    return call


async def ids(http: httpx.AsyncClient, tenant: Tenant, **asked: Any) -> list[str]:
    answer = await http.get("/api/sessions", params=asked, headers=tenant.keys["viewer"])
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["items"]]


async def test_sessions_are_listed_newest_first_and_in_parts(
    http: httpx.AsyncClient, services: Services, acme: Tenant, umbrella: Tenant
) -> None:
    calls = [await a_stored_call(services, acme, started_at=START + timedelta(minutes=n)) for n in range(5)]
    await a_stored_call(services, umbrella)
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = (await http.get("/api/sessions", params={"limit": 2, **after}, headers=acme.user("analyst"))).json()
        seen += [row["id"] for row in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == [call.id for call in reversed(calls)]


async def test_tests_are_left_out_unless_asked_for(http: httpx.AsyncClient, services: Services, acme: Tenant) -> None:
    real = await a_stored_call(services, acme)
    test = await a_stored_call(services, acme, is_test=True, channel="chat_test")
    assert await ids(http, acme) == [real.id]
    assert set(await ids(http, acme, tests="true")) == {real.id, test.id}
    assert await ids(http, acme, is_test="true") == [test.id]


async def test_sessions_are_filtered(http: httpx.AsyncClient, services: Services, acme: Tenant) -> None:
    version = await services.store.save_draft(acme.id, "support", CONFIG)
    mine = await a_stored_call(services, acme, workflow_version_id=version.id, from_number="+4930123")
    other = await a_stored_call(services, acme, channel="web", to_number="sip:me@acme.example", status="dropped")
    later = await a_stored_call(services, acme, channel="web", started_at=START + timedelta(days=1))
    for asked, found in (
        ({"workflow_id": version.workflow_id}, [mine]),
        ({"workflow_version_id": version.id}, [mine]),
        ({"workflow_id": str(uuid4())}, []),
        ({"channel": "web", "to": (START + timedelta(hours=1)).isoformat()}, [other]),
        ({"status": "dropped"}, [other]),
        ({"number": "+4930123"}, [mine]),
        ({"number": "sip:me@acme.example"}, [other]),
        ({"from": (START + timedelta(hours=1)).isoformat()}, [later]),
        ({"from": "2026-05-04"}, [later]),
    ):
        assert await ids(http, acme, **asked) == [call.id for call in found], asked
    unencoded = await http.get("/api/sessions?number=+4930123", headers=acme.keys["owner"])
    assert [row["id"] for row in unencoded.json()["items"]] == [mine.id]


@pytest.mark.parametrize(
    "query",
    [
        "after=nonsense",
        "after=WzFd",
        "after=WyJhIiwgImIiXQ",
        "number=%00",
        "channel=%00",
        "status=odd",
        "limit=0",
        "from=x",
    ],
)
async def test_what_is_no_filter_is_refused(http: httpx.AsyncClient, acme: Tenant, query: str) -> None:
    answer = await http.get(f"/api/sessions?{query}", headers=acme.keys["owner"])
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text


async def test_a_session_is_its_row(
    http: httpx.AsyncClient, services: Services, acme: Tenant, umbrella: Tenant
) -> None:
    call = await a_stored_call(services, acme, variables={"order": 7, "pin": "•••"})
    await services.store.save_analysis(call.id, {"summary": "All is well."})
    for role in ROLES:
        for who in (acme.keys[role], acme.user(role)):
            row = (await http.get(f"/api/sessions/{call.id}", headers=who)).json()
            assert (row["id"], row["variables"], row["analysis"]) == (
                call.id,
                {"order": 7, "pin": "•••"},
                {"summary": "All is well."},
            )
    for path in (call.id, f"{call.id}/events", str(uuid4())):
        answer = await http.get(f"/api/sessions/{path}", headers=umbrella.keys["owner"])
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await http.get("/api/sessions/x", headers=acme.keys["owner"])).status_code == 422


async def test_events_come_in_order_and_in_parts(http: httpx.AsyncClient, services: Services, acme: Tenant) -> None:
    call = await a_stored_call(services, acme, *range(1, 8))
    first = (await http.get(f"/api/sessions/{call.id}/events?limit=4", headers=acme.keys["viewer"])).json()
    assert [event["seq"] for event in first["items"]] == [1, 2, 3, 4]
    assert set(first["items"][0]) == {
        "session_id",
        "seq",
        "event_type",
        "payload",
        "agent_id",
        "occurred_at",
        "recorded_at",
    }
    rest = await http.get(f"/api/sessions/{call.id}/events?after={first['next']}", headers=acme.keys["viewer"])
    assert ([event["seq"] for event in rest.json()["items"]], rest.json()["next"]) == ([5, 6, 7], None)
    of_type = f"/api/sessions/{call.id}/events?event_type=call_started&event_type=call_ended"
    assert (await http.get(of_type, headers=acme.keys["viewer"])).json()["items"] == []


async def test_a_secret_is_in_no_event(http: httpx.AsyncClient, services: Services, acme: Tenant) -> None:
    call = await a_stored_call(services, acme)
    await services.store.append(some_events(call, 1, secret="gAAAA-the-token"))
    answer = await http.get(f"/api/sessions/{call.id}/events", headers=acme.keys["owner"])
    assert answer.json()["items"]
    assert "gAAAA" not in answer.text
