from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import Tenant

pytestmark = pytest.mark.server


async def a_workflow(http: httpx.AsyncClient, tenant: Tenant) -> str:
    made = await http.post("/api/workflows", headers=tenant.keys["owner"], json={"name": str(uuid4())})
    return str(made.json()["id"])


async def test_a_number_is_mapped_changed_and_removed(http: httpx.AsyncClient, acme: Tenant) -> None:
    headers, workflow = acme.keys["builder"], await a_workflow(http, acme)
    made = await http.put("/api/phone-numbers/+1 555 0100-123", headers=headers, json={"workflow_id": workflow})
    assert made.status_code == 201, made.text
    row, place = made.json(), "/api/phone-numbers/+15550100123"
    assert (row["number"], row["workflow_id"], row["is_default"]) == ("+15550100123", workflow, False)
    assert made.headers["location"] == place
    described = await http.put(place, headers=headers, json={"description": "Main"})
    assert described.status_code == 200
    assert (described.json()["workflow_id"], described.json()["description"]) == (workflow, "Main")
    assert (await http.put(place, headers=headers, json={})).json() == described.json()
    freed = (await http.put(place, headers=headers, json={"workflow_id": None})).json()
    assert (freed["workflow_id"], freed["description"]) == (None, "Main")
    assert (await http.get(place, headers=acme.user("viewer"))).json() == freed
    assert (await http.delete(place, headers=headers)).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await http.request(method, place, headers=headers)).status_code == 404


async def test_one_number_is_shown_by_calls_that_go_out(
    http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant
) -> None:
    await http.put("/api/phone-numbers/+15550100999", headers=umbrella.keys["owner"], json={"is_default": True})
    for number in ("+15550100001", "+15550100002"):
        answer = await http.put(f"/api/phone-numbers/{number}", headers=acme.keys["owner"], json={"is_default": True})
        assert answer.json()["is_default"] is True
    listed = (await http.get("/api/phone-numbers", headers=acme.keys["viewer"])).json()["items"]
    assert [(row["number"], row["is_default"]) for row in listed] == [("+15550100001", False), ("+15550100002", True)]
    other = (await http.get("/api/phone-numbers", headers=umbrella.keys["viewer"])).json()["items"]
    assert [row["is_default"] for row in other] == [True]


@pytest.mark.parametrize("number", ["12", "nonsense", "+", "5550100", "+1555010%00", "+" + "1" * 30, "x" * 50])
async def test_what_is_no_number_is_refused(http: httpx.AsyncClient, acme: Tenant, number: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        body: dict[str, str] | None = {} if method == "PUT" else None
        answer = await http.request(method, f"/api/phone-numbers/{number}", headers=acme.keys["owner"], json=body)
        assert answer.status_code == 422, answer.text


async def test_another_tenants_workflow_does_not_answer(
    http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant
) -> None:
    theirs, place = await a_workflow(http, umbrella), "/api/phone-numbers/+15550100123"
    for workflow in (theirs, str(uuid4())):
        answer = await http.put(place, headers=acme.keys["owner"], json={"workflow_id": workflow})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert (await http.get(place, headers=acme.keys["owner"])).status_code == 404


async def test_both_tenants_may_map_one_number(http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant) -> None:
    place = "/api/phone-numbers/+15550100123"
    for tenant in (acme, umbrella):
        assert (await http.put(place, headers=tenant.keys["builder"], json={})).status_code == 201
    assert (await http.delete(place, headers=umbrella.keys["builder"])).status_code == 204
    assert (await http.get(place, headers=acme.keys["builder"])).status_code == 200


@pytest.mark.parametrize("role", ["viewer", "analyst"])
async def test_who_only_reads_changes_nothing(http: httpx.AsyncClient, acme: Tenant, role: str) -> None:
    for who in (acme.keys[role], acme.user(role)):
        for method in ("PUT", "DELETE"):
            body: dict[str, str] | None = {} if method == "PUT" else None
            answer = await http.request(method, "/api/phone-numbers/+15550100123", headers=who, json=body)
            assert answer.status_code == 403
