import httpx
import pytest

from tests.api.configs import config
from tests.api.conftest import Tenant

pytestmark = pytest.mark.server


async def test_every_change_is_told_with_who_made_it(http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant) -> None:
    made = await http.post("/api/workflows", headers=acme.user("builder"), json={"name": "a", "config": config()})
    workflow = made.json()["id"]
    changed = await http.patch(f"/api/workflows/{workflow}", headers=acme.keys["owner"], json={"name": "b"})
    await http.post("/api/workflows", headers=umbrella.keys["owner"], json={"name": "theirs"})
    told = (await http.get("/api/audit-log", headers=acme.keys["builder"], params={"row_id": workflow})).json()
    newest, oldest = told["items"]
    assert (newest["action"], newest["before"]["name"], newest["after"]["name"]) == ("update", "a", "b")
    assert newest["actor_kind"] == "api_key"
    assert newest["request_id"] == changed.headers["x-request-id"]
    assert (oldest["action"], oldest["actor_kind"], oldest["actor_id"]) == ("insert", "user", acme.users["builder"])
    whole = await http.get("/api/audit-log", headers=acme.keys["owner"])
    assert "theirs" not in whole.text
    assert [row["id"] for row in whole.json()["items"]] == sorted(
        (row["id"] for row in whole.json()["items"]), reverse=True
    )


async def test_the_log_is_filtered_and_comes_in_parts(http: httpx.AsyncClient, acme: Tenant) -> None:
    for name in ("a", "b", "c"):
        await http.post("/api/workflows", headers=acme.user("builder"), json={"name": name})
    query = {"table": "workflow", "actor": acme.users["builder"], "limit": "2"}
    first = (await http.get("/api/audit-log", headers=acme.keys["owner"], params=query)).json()
    rest = (
        await http.get("/api/audit-log", headers=acme.keys["owner"], params=query | {"after": first["next"]})
    ).json()
    names = [row["after"]["name"] for row in first["items"] + rest["items"]]
    assert (names, rest["next"]) == (["c", "b", "a"], None)
    none = await http.get("/api/audit-log", headers=acme.keys["owner"], params={"actor": acme.id})
    assert none.json()["items"] == []
    assert (await http.get("/api/audit-log", headers=acme.keys["owner"], params={"actor": "x"})).status_code == 422
    nul = await http.get("/api/audit-log?table=%00", headers=acme.keys["owner"])
    assert nul.status_code == 422


@pytest.mark.parametrize("role", ["viewer", "analyst"])
async def test_owners_and_builders_read_it(http: httpx.AsyncClient, acme: Tenant, role: str) -> None:
    for who in (acme.keys[role], acme.user(role)):
        assert (await http.get("/api/audit-log", headers=who)).status_code == 403
