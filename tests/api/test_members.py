import asyncio
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import Tenant

pytestmark = pytest.mark.server


async def test_a_member_comes_changes_and_goes(http: httpx.AsyncClient, acme: Tenant) -> None:
    headers, user = acme.user("owner"), str(uuid4())
    made = await http.post("/api/members", headers=headers, json={"user_id": user})
    assert made.status_code == 201, made.text
    assert (made.json()["user_id"], made.json()["role"], made.json()["organization_id"]) == (user, "viewer", acme.id)
    place = made.headers["location"]
    again = await http.post("/api/members", headers=headers, json={"user_id": user, "role": "owner"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert (await http.patch(place, headers=headers, json={"role": "analyst"})).json()["role"] == "analyst"
    listed = (await http.get("/api/members", headers=acme.keys["viewer"])).json()["items"]
    assert {row["user_id"]: row["role"] for row in listed}[user] == "analyst"
    assert (await http.delete(place, headers=headers)).status_code == 204
    assert (await http.delete(place, headers=headers)).status_code == 404
    assert (await http.patch(place, headers=headers, json={"role": "owner"})).status_code == 404


async def test_the_last_owner_stays(http: httpx.AsyncClient, acme: Tenant) -> None:
    place, headers = f"/api/members/{acme.users['owner']}", acme.keys["owner"]
    for method, body in (("PATCH", {"role": "viewer"}), ("DELETE", None)):
        answer = await http.request(method, place, headers=headers, json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict"), answer.text
        assert answer.json()["remedy"]


async def test_of_two_owners_who_leave_at_once_one_stays(http: httpx.AsyncClient, acme: Tenant) -> None:
    other, headers = acme.users["builder"], acme.keys["owner"]
    await http.patch(f"/api/members/{other}", headers=headers, json={"role": "owner"})
    answers = await asyncio.gather(
        *(http.delete(f"/api/members/{user}", headers=headers) for user in (other, acme.users["owner"]))
    )
    assert sorted(answer.status_code for answer in answers) == [204, 409]


@pytest.mark.parametrize("role", ["builder", "viewer", "analyst"])
async def test_only_owners_change_them(http: httpx.AsyncClient, acme: Tenant, role: str) -> None:
    place = f"/api/members/{acme.users['viewer']}"
    for who in (acme.keys[role], acme.user(role)):
        for method, path, body in (
            ("POST", "/api/members", {"user_id": str(uuid4()), "role": "owner"}),
            ("PATCH", place, {"role": "owner"}),
            ("DELETE", place, None),
        ):
            assert (await http.request(method, path, headers=who, json=body)).status_code == 403


async def test_a_narrowed_key_gives_nobody_more_than_it_has(http: httpx.AsyncClient, acme: Tenant) -> None:
    wanted = {"name": "people", "role": "owner", "scopes": ["organization:read", "organization:write"]}
    made = (await http.post("/api/keys", headers=acme.keys["owner"], json=wanted)).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    for method, path in (("POST", "/api/members"), ("PATCH", f"/api/members/{acme.users['viewer']}")):
        body = {"role": "owner"} | ({"user_id": str(uuid4())} if method == "POST" else {})
        answer = await http.request(method, path, headers=headers, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), answer.text
        assert "workflows:write" in answer.json()["detail"]
    gone = await http.delete(f"/api/members/{acme.users['viewer']}", headers=headers)
    assert gone.status_code == 204, "it may still take somebody out"


async def test_another_tenants_members_are_not_there(http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant) -> None:
    place, headers = f"/api/members/{acme.users['viewer']}", umbrella.user("owner")
    assert (await http.patch(place, headers=headers, json={"role": "owner"})).status_code == 404
    assert (await http.delete(place, headers=headers)).status_code == 404
    listed = (await http.get("/api/members", headers=headers)).json()["items"]
    assert {row["user_id"] for row in listed} == set(umbrella.users.values())
