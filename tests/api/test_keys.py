from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.auth import hash_of
from api.services import Services
from runtime.store.row_access import SERVICE
from tests.api.conftest import Tenant

pytestmark = pytest.mark.server


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def a_key(http: httpx.AsyncClient, headers: dict[str, str], **body: Any) -> dict[str, Any]:
    answer = await http.post("/api/keys", headers=headers, json={"name": "ci", "role": "owner"} | body)
    assert answer.status_code == 201, answer.text
    row: dict[str, Any] = answer.json()
    return row


async def test_a_key_is_shown_once_works_and_is_revoked(
    http: httpx.AsyncClient, services: Services, acme: Tenant
) -> None:
    headers = acme.user("owner")
    made = await a_key(http, headers, role="builder")
    key = made["key"]
    assert key.startswith("pb_")
    assert key.startswith(made["prefix"])
    assert (made["role"], made["scopes"], made["created_by"]) == ("builder", None, acme.users["owner"])
    place = f"/api/keys/{made['id']}"
    shown = [await http.get(place, headers=headers), await http.get("/api/keys", headers=headers)]
    shown += [await http.get("/api/audit-log", headers=headers)]
    assert all(key not in answer.text and hash_of(key) not in answer.text for answer in shown)
    assert (await http.post("/api/workflows", headers=bearer(key), json={"name": "a"})).status_code == 201
    renamed = await http.patch(place, headers=headers, json={"name": "deploy"})
    assert renamed.json() == {name: value for name, value in made.items() if name != "key"} | {"name": "deploy"}
    assert (await http.delete(place, headers=headers)).status_code == 204
    revoked = (await http.get(place, headers=headers)).json()["revoked_at"]
    assert revoked is not None
    assert (await http.delete(place, headers=headers)).status_code == 204
    assert (await http.get(place, headers=headers)).json()["revoked_at"] == revoked
    (row,) = await services.access.of(SERVICE).select("api_key", where=[("id", "eq", made["id"])])
    assert row["key_hash"] == hash_of(key)


async def test_scopes_narrow_a_key(http: httpx.AsyncClient, acme: Tenant) -> None:
    made = await a_key(http, acme.keys["owner"], scopes=["workflows:read", "workflows:read", "audit:read"])
    assert made["scopes"] == ["audit:read", "workflows:read"]
    headers = bearer(made["key"])
    assert (await http.get("/api/workflows", headers=headers)).status_code == 200
    assert (await http.post("/api/workflows", headers=headers, json={"name": "a"})).status_code == 403
    assert (await http.get("/api/variables", headers=headers)).status_code == 403
    assert (await http.post("/api/keys", headers=headers, json={"name": "x", "role": "viewer"})).status_code == 403


async def test_a_key_makes_none_that_may_more(http: httpx.AsyncClient, acme: Tenant) -> None:
    scopes = ["organization:read", "organization:write", "workflows:read"]
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    made = await a_key(http, acme.keys["owner"], scopes=scopes, expires_at=soon)
    headers = bearer(made["key"])
    for body, status in (
        ({"role": "owner"}, 403),
        ({"role": "viewer"}, 403),
        ({"role": "owner", "scopes": ["workflows:write"], "expires_at": soon}, 403),
        ({"role": "viewer", "scopes": ["workflows:read"]}, 403),
        ({"role": "viewer", "scopes": ["workflows:read"], "expires_at": later}, 403),
        ({"role": "viewer", "scopes": ["workflows:read"], "expires_at": soon}, 201),
        # A viewer may not do it anyway, whatever the scope says.
        ({"role": "viewer", "scopes": ["workflows:read", "numbers:write"], "expires_at": soon}, 201),
    ):
        answer = await http.post("/api/keys", headers=headers, json={"name": "x"} | body)
        assert answer.status_code == status, (body, answer.text)


@pytest.mark.parametrize(
    "body",
    [
        {"role": "admin"},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2999-01-01T00:00:00"},
        {"expires_at": 7},
        {"name": ""},
        {"key": "pb_mine"},
    ],
)
async def test_what_is_no_key_is_refused(http: httpx.AsyncClient, acme: Tenant, body: dict[str, Any]) -> None:
    answer = await http.post("/api/keys", headers=acme.user("owner"), json={"name": "x", "role": "viewer"} | body)
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("role", ["builder", "viewer", "analyst"])
async def test_only_owners_see_and_make_keys(http: httpx.AsyncClient, acme: Tenant, role: str) -> None:
    place = f"/api/keys/{(await a_key(http, acme.keys['owner']))['id']}"
    for who in (acme.keys[role], acme.user(role)):
        for method, path, body in (
            ("GET", "/api/keys", None),
            ("POST", "/api/keys", {"name": "x", "role": "viewer"}),
            ("GET", place, None),
            ("PATCH", place, {"name": "x"}),
            ("DELETE", place, None),
        ):
            assert (await http.request(method, path, headers=who, json=body)).status_code == 403, (method, path)


async def test_another_tenants_key_is_not_there(http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant) -> None:
    made = await a_key(http, acme.keys["owner"])
    for who in (umbrella.keys["owner"], umbrella.user("owner")):
        for method in ("GET", "PATCH", "DELETE"):
            body = {"name": "x"} if method == "PATCH" else None
            answer = await http.request(method, f"/api/keys/{made['id']}", headers=who, json=body)
            assert answer.status_code == 404
    assert (await http.get("/api/keys", headers=bearer(made["key"]))).status_code == 200
