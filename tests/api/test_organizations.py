import json
from uuid import uuid4

import asyncpg
import httpx
import pytest

from api.services import Services
from runtime.session.ports import Limits
from runtime.store.row_access import SERVICE
from tests.api.conftest import Tenant, user_token

pytestmark = pytest.mark.server


async def test_ones_own_are_listed_with_ones_role(
    http: httpx.AsyncClient, services: Services, acme: Tenant, umbrella: Tenant
) -> None:
    listed = (await http.get("/api/organizations", headers=acme.keys["builder"])).json()
    assert [(row["id"], row["name"], row["role"]) for row in listed["items"]] == [(acme.id, "Acme", "builder")]
    row = {"organization_id": umbrella.id, "user_id": acme.users["viewer"], "role": "owner"}
    await services.access.of(SERVICE).insert("organization_member", row)
    both = (await http.get("/api/organizations", headers=acme.user("viewer"))).json()["items"]
    assert [(row["name"], row["role"]) for row in both] == [("Acme", "viewer"), ("Umbrella", "owner")]


async def test_a_user_of_two_is_held_to_the_role_where_the_row_is(
    http: httpx.AsyncClient, services: Services, acme: Tenant, umbrella: Tenant
) -> None:
    row = {"organization_id": umbrella.id, "user_id": acme.users["viewer"], "role": "owner"}
    await services.access.of(SERVICE).insert("organization_member", row)
    who = acme.user("viewer")
    theirs = (await http.post("/api/workflows", headers=acme.keys["owner"], json={"name": "a"})).json()["id"]
    for headers in (who, who | {"X-Organization-Id": umbrella.id}):
        answer = await http.patch(f"/api/workflows/{theirs}", headers=headers, json={"name": "b"})
        assert answer.status_code == 403
    unnamed = await http.get("/api/workflows", headers=who)
    assert (unnamed.status_code, unnamed.json()["code"]) == (400, "organization_needed")
    named = await http.post("/api/workflows", headers=who | {"X-Organization-Id": umbrella.id}, json={"name": "c"})
    assert named.json()["organization_id"] == umbrella.id


async def test_a_signed_in_user_makes_one_and_owns_it(http: httpx.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {user_token(str(uuid4()))}"}
    assert (await http.get("/api/organizations", headers=headers)).json()["items"] == []
    made = await http.post("/api/organizations", headers=headers, json={"name": "Initech"})
    assert made.status_code == 201, made.text
    assert (made.json()["name"], made.json()["role"]) == ("Initech", "owner")
    place = made.headers["location"]
    assert (await http.get(place, headers=headers)).json()["name"] == "Initech"
    members = (await http.get("/api/members", headers=headers)).json()["items"]
    assert [row["role"] for row in members] == ["owner"]
    assert (await http.post("/api/workflows", headers=headers, json={"name": "a"})).status_code == 201


async def test_nobody_makes_organizations_without_end(http: httpx.AsyncClient, services: Services) -> None:
    user, rows = str(uuid4()), services.access.of(SERVICE)
    for number in range(50):
        row = {"organization_id": (await services.store.ensure_organization(f"Initech {number}")).id, "user_id": user}
        await rows.insert("organization_member", row | {"role": "owner" if number else "builder"})
    headers = {"Authorization": f"Bearer {user_token(user)}"}
    assert (await http.post("/api/organizations", headers=headers, json={"name": "a"})).status_code == 201
    answer = await http.post("/api/organizations", headers=headers, json={"name": "b"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "You own 50 organizations already.")
    assert answer.json()["remedy"]


async def test_an_anonymous_user_makes_none_past_the_api_either(services: Services) -> None:
    assert services.database is not None
    claims = json.dumps({"role": "authenticated", "sub": str(uuid4()), "is_anonymous": True})
    become = "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)"
    async with services.database.connection() as connection, connection.transaction():
        await connection.execute(become, claims)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only a signed-in user"):
            await connection.fetch("select public.create_organization('Initech')")


async def test_a_key_without_the_scope_reads_none(http: httpx.AsyncClient, acme: Tenant) -> None:
    body = {"name": "deploy", "role": "builder", "scopes": ["workflows:write"]}
    key = (await http.post("/api/keys", headers=acme.keys["owner"], json=body)).json()["key"]
    for path in ("/api/organizations", f"/api/organizations/{acme.id}"):
        answer = await http.get(path, headers={"Authorization": f"Bearer {key}"})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_an_api_key_makes_none(http: httpx.AsyncClient, acme: Tenant) -> None:
    answer = await http.post("/api/organizations", headers=acme.keys["owner"], json={"name": "Initech"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_limits_and_what_is_used_are_shown_and_not_changed(
    http: httpx.AsyncClient, services: Services, acme: Tenant
) -> None:
    await services.store.set_limits(acme.id, Limits(3, 600, ("+49",)))
    place = f"/api/organizations/{acme.id}"
    row = (await http.get(place, headers=acme.keys["viewer"])).json()
    assert (row["max_concurrent_calls"], row["max_minutes_a_day"], row["dial_prefixes"]) == (3, 600, ["+49"])
    assert (row["active_calls"], row["minutes_today"]) == (0, 0)
    refused: list[dict[str, object]] = [{"max_concurrent_calls": 9}, {"dial_prefixes": []}, {"id": str(uuid4())}]
    for body in refused:
        assert (await http.patch(place, headers=acme.keys["owner"], json=body)).status_code == 422


async def test_an_owner_changes_the_name_and_who_answers(
    http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant
) -> None:
    place, headers = f"/api/organizations/{acme.id}", acme.keys["owner"]
    workflow = (await http.post("/api/workflows", headers=headers, json={"name": "a"})).json()["id"]
    changed = await http.patch(place, headers=headers, json={"name": "Acme Ltd", "default_workflow_id": workflow})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["default_workflow_id"]) == ("Acme Ltd", workflow)
    cleared = (await http.patch(place, headers=headers, json={"default_workflow_id": None})).json()
    assert (cleared["name"], cleared["default_workflow_id"]) == ("Acme Ltd", None)
    theirs = (await http.post("/api/workflows", headers=umbrella.keys["owner"], json={"name": "a"})).json()["id"]
    assert (await http.patch(place, headers=headers, json={"default_workflow_id": theirs})).status_code == 422


async def test_an_owner_says_how_long_calls_are_kept(http: httpx.AsyncClient, acme: Tenant) -> None:
    place, headers = f"/api/organizations/{acme.id}", acme.user("owner")
    assert (await http.patch(place, headers=headers, json={"retention_days": 30})).json()["retention_days"] == 30
    assert (await http.patch(place, headers=headers, json={"retention_days": None})).json()["retention_days"] is None
    for days in (0, -1, 1.5, "x", 10**9):
        assert (await http.patch(place, headers=headers, json={"retention_days": days})).status_code == 422


@pytest.mark.parametrize("role", ["builder", "viewer", "analyst"])
async def test_others_do_not(http: httpx.AsyncClient, acme: Tenant, role: str) -> None:
    for who in (acme.keys[role], acme.user(role)):
        answer = await http.patch(f"/api/organizations/{acme.id}", headers=who, json={"name": "mine"})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_another_organization_is_not_there(http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant) -> None:
    for who in (umbrella.keys["owner"], umbrella.user("owner")):
        for method in ("GET", "PATCH"):
            body = {"name": "mine"} if method == "PATCH" else None
            answer = await http.request(method, f"/api/organizations/{acme.id}", headers=who, json=body)
            assert answer.status_code == 404
