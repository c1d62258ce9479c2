import asyncio

import httpx
import pytest

from api.services import Services
from runtime.store.row_access import SERVICE
from tests.api.conftest import Tenant

pytestmark = pytest.mark.server


async def test_a_variable_is_set_read_changed_and_removed(http: httpx.AsyncClient, acme: Tenant) -> None:
    headers, place = acme.user("builder"), "/api/variables/brand"
    made = await http.put(place, headers=headers, json={"value": "Acme Ltd"})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == place
    row = made.json()
    assert (row["name"], row["value"], row["is_secret"], row["organization_id"]) == (
        "brand",
        "Acme Ltd",
        False,
        acme.id,
    )
    changed = await http.put(place, headers=headers, json={"value": ""})
    assert (changed.status_code, changed.json()["value"], changed.json()["id"]) == (200, "", row["id"])
    assert (await http.get(place, headers=acme.keys["viewer"])).json() == changed.json()
    assert (await http.delete(place, headers=headers)).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await http.request(method, place, headers=headers)).status_code == 404


async def test_a_secret_goes_in_and_never_comes_out(http: httpx.AsyncClient, services: Services, acme: Tenant) -> None:
    headers, place = acme.keys["builder"], "/api/variables/ORDERS_KEY"
    answers = [await http.put(place, headers=headers, json={"value": "sk-very-secret", "is_secret": True})]
    answers += [await http.put(place, headers=headers, json={"value": "sk-very-secret-2"})]  # it stays a secret
    answers += [await http.get(place, headers=headers), await http.get("/api/variables", headers=acme.keys["owner"])]
    answers += [await http.get("/api/audit-log", headers=acme.keys["owner"])]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 200]
    assert all("very-secret" not in answer.text for answer in answers)
    assert [(answer.json()["value"], answer.json()["is_secret"]) for answer in answers[:3]] == [(None, True)] * 3
    (row,) = await services.access.of(SERVICE).select("workspace_variable")
    assert row["secret"] not in "".join(answer.text for answer in answers)
    assert services.keyring.decrypt(row["secret"]) == "sk-very-secret-2"
    (stored,) = await services.store.variables(acme.id)
    assert services.keyring.decrypt(stored.value) == "sk-very-secret-2"


async def test_the_kind_is_switched_by_saying_so(http: httpx.AsyncClient, acme: Tenant) -> None:
    headers, place = acme.keys["builder"], "/api/variables/x"
    await http.put(place, headers=headers, json={"value": "1", "is_secret": True})
    plain = await http.put(place, headers=headers, json={"value": "2", "is_secret": False})
    assert (plain.json()["value"], plain.json()["is_secret"]) == ("2", False)
    secret = await http.put(place, headers=headers, json={"value": "3", "is_secret": True})
    assert (secret.json()["value"], secret.json()["is_secret"]) == (None, True)


@pytest.mark.parametrize("name", ["1x", "a-b", "a b", "ä", "x" * 101, "a%00"])
async def test_a_name_that_no_template_reads_is_refused(http: httpx.AsyncClient, acme: Tenant, name: str) -> None:
    answer = await http.put(f"/api/variables/{name}", headers=acme.keys["owner"], json={"value": "x"})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "body", [{}, {"value": None}, {"value": 1}, {"value": "a\u0000"}, {"value": "x" * 70_000}, {"value": "", "x": 1}]
)
async def test_a_value_that_is_none_is_refused(http: httpx.AsyncClient, acme: Tenant, body: object) -> None:
    answer = await http.put("/api/variables/x", headers=acme.keys["owner"], json=body)
    assert answer.status_code == 422
    assert "xxxx" not in answer.text


async def test_each_tenant_has_its_own(http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant) -> None:
    for tenant, value in ((acme, "1"), (umbrella, "2")):
        await http.put("/api/variables/x", headers=tenant.keys["builder"], json={"value": value})
    await http.delete("/api/variables/x", headers=umbrella.keys["builder"])
    listed = (await http.get("/api/variables", headers=acme.user("analyst"))).json()
    assert [(row["name"], row["value"]) for row in listed["items"]] == [("x", "1")]


@pytest.mark.parametrize("role", ["viewer", "analyst"])
async def test_who_only_reads_changes_nothing(http: httpx.AsyncClient, acme: Tenant, role: str) -> None:
    for who in (acme.keys[role], acme.user(role)):
        assert (await http.put("/api/variables/x", headers=who, json={"value": "1"})).status_code == 403
        assert (await http.delete("/api/variables/x", headers=who)).status_code == 403


async def test_set_at_once_it_is_one(http: httpx.AsyncClient, acme: Tenant) -> None:
    answers = await asyncio.gather(
        *(http.put("/api/variables/x", headers=acme.keys["owner"], json={"value": str(number)}) for number in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [*[200] * 5, 201]
    assert len((await http.get("/api/variables", headers=acme.keys["owner"])).json()["items"]) == 1
