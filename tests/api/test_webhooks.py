from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from api.services import Services
from runtime.store.row_access import SERVICE
from tests.api.conftest import ROLES, Tenant
from tests.contract.rows import a_call

pytestmark = pytest.mark.server


async def a_delivery(services: Services, tenant: Tenant, **fields: object) -> str:
    call = a_call(tenant.id, is_test=False)
    await services.store.open_call(call)
    row = {"session_id": call.id, "organization_id": tenant.id, "tool_index": 0, "name": "crm"} | fields
    return str((await services.access.of(SERVICE).insert("webhook_delivery", row))["id"])


async def test_members_see_their_own(
    http: httpx.AsyncClient, services: Services, acme: Tenant, umbrella: Tenant
) -> None:
    dead = await a_delivery(services, acme, status="dead", last_error="http_500", last_status=500)
    pending = await a_delivery(services, acme)
    await a_delivery(services, umbrella)
    for role in ROLES:
        page = (await http.get("/api/webhook-deliveries?limit=1", headers=acme.keys[role])).json()
        more = (
            await http.get("/api/webhook-deliveries", params={"after": page["next"]}, headers=acme.user(role))
        ).json()
        assert [row["id"] for row in page["items"] + more["items"]] == [pending, dead]
    row = (await http.get(f"/api/webhook-deliveries/{dead}", headers=acme.keys["viewer"])).json()
    assert (row["status"], row["last_error"], row["last_status"]) == ("dead", "http_500", 500)
    for asked, found in (
        ({"status": "dead"}, [dead]),
        ({"session_id": row["session_id"]}, [dead]),
        ({"status": "delivered"}, []),
    ):
        items = (await http.get("/api/webhook-deliveries", params=asked, headers=acme.keys["viewer"])).json()["items"]
        assert [each["id"] for each in items] == found
    for path in (dead, str(uuid4())):
        answer = await http.get(f"/api/webhook-deliveries/{path}", headers=umbrella.keys["owner"])
        assert answer.status_code == 404


@pytest.mark.parametrize("status", ["dead", "delivered", "pending"])
async def test_a_builder_sends_it_once_more(
    http: httpx.AsyncClient, services: Services, acme: Tenant, status: str
) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    delivery = await a_delivery(services, acme, status=status, attempts=9, due_at=later)
    answer = await http.post(f"/api/webhook-deliveries/{delivery}/retry", headers=acme.user("builder"))
    assert answer.status_code == 202, answer.text
    row = answer.json()
    assert (row["status"], row["attempts"]) == ("pending", 0)
    assert datetime.fromisoformat(row["due_at"]) <= datetime.now(UTC) + timedelta(minutes=1)
    now = datetime.now(UTC) + timedelta(minutes=1)
    claimed = await services.store.claim_delivery(now, now + timedelta(minutes=1))
    assert claimed is not None
    assert claimed.id == delivery
    assert services.database is not None
    logged = await services.database.fetch(
        "select actor_kind, actor_id::text as actor, action, row_id, request_id, before ->> 'status' as was from audit_log "
        "where table_name = 'webhook_delivery'"
    )
    expected = ("user", acme.users["builder"], "retry", delivery, answer.headers["x-request-id"], status)
    assert [tuple(row) for row in logged] == [expected]


async def test_what_is_being_sent_is_left_alone(http: httpx.AsyncClient, services: Services, acme: Tenant) -> None:
    leased = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    delivery = await a_delivery(services, acme, leased_until=leased)
    answer = await http.post(f"/api/webhook-deliveries/{delivery}/retry", headers=acme.keys["owner"])
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict"), answer.text


async def test_who_may_not_is_refused(
    http: httpx.AsyncClient, services: Services, acme: Tenant, umbrella: Tenant
) -> None:
    delivery = await a_delivery(services, acme, status="dead")
    path = f"/api/webhook-deliveries/{delivery}/retry"
    for role in ("viewer", "analyst"):
        for who in (acme.keys[role], acme.user(role)):
            assert (await http.post(path, headers=who)).status_code == 403
    for who in (umbrella.keys["owner"], umbrella.user("owner")):
        assert (await http.post(path, headers=who)).status_code == 404
    row = (await http.get(f"/api/webhook-deliveries/{delivery}", headers=acme.keys["owner"])).json()
    assert row["status"] == "dead"
