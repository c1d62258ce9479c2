from uuid import uuid4

import httpx
import pytest

from api.routes import workflows
from api.services import Services
from runtime.store.row_access import SERVICE
from tests.api.configs import config
from tests.api.conftest import Tenant

pytestmark = pytest.mark.server


async def test_a_list_holds_ones_own(
    http: httpx.AsyncClient, services: Services, acme: Tenant, umbrella: Tenant
) -> None:
    await services.store.save_draft(acme.id, "support", {"agents": []})
    for who in (acme.keys["viewer"], acme.user("viewer")):
        answer = await http.get("/api/workflows", headers=who)
        assert answer.status_code == 200, answer.text
        assert [row["name"] for row in answer.json()["items"]] == ["support"]
    assert (await http.get("/api/workflows", headers=umbrella.keys["owner"])).json() == {"items": [], "next": None}
    assert (await http.get("/api/workflows")).status_code == 401


async def test_a_workflow_is_made_read_changed_and_removed(http: httpx.AsyncClient, acme: Tenant) -> None:
    headers = acme.user("builder")
    made = await http.post("/api/workflows", headers=headers, json={"name": " Front desk ", "description": "Calls"})
    assert made.status_code == 201, made.text
    row = made.json()
    assert row["name"] == "Front desk"
    assert row["description"] == "Calls"
    assert row["organization_id"] == acme.id
    assert row["latest_draft_version"] is row["published"] is row["latest_version"] is None
    place = made.headers["location"]
    assert place == f"/api/workflows/{row['id']}"
    assert (await http.get(place, headers=headers)).json() == row
    changed = (await http.patch(place, headers=headers, json={"description": None})).json()
    assert (changed["name"], changed["description"]) == ("Front desk", None)
    assert (await http.patch(place, headers=headers, json={"name": "Desk"})).json()["name"] == "Desk"
    assert (await http.patch(place, headers=headers, json={})).json()["name"] == "Desk"
    assert (await http.delete(place, headers=headers)).status_code == 204
    assert (await http.get(place, headers=headers)).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 201},
        {"name": "a\u0000b"},
        {"name": "a", "nmae": "b"},
        {"name": "a", "config": []},
        {"name": "a", "config": {"agents": ["\u0000"]}},
        {"name": "a", "config": {}, "template": "front_desk"},
        {"name": None},
    ],
)
async def test_what_is_no_workflow_is_refused(http: httpx.AsyncClient, acme: Tenant, body: object) -> None:
    answer = await http.post("/api/workflows", headers=acme.keys["builder"], json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid_request"
    assert (await http.get("/api/workflows", headers=acme.keys["builder"])).json()["items"] == []


@pytest.mark.parametrize(
    "raw",
    [
        b'{"name": "a\\ud800"}',
        b'{"na\\ud800me": "a"}',
        b'{"name": "a", "config": {"x": "\\ud800"}}',
        b'{"name": "a", "config": {"\\ud800": 1}}',
        b'{"name": "a", "config": {"x": NaN}}',
        b'{"name": "a", "config": {"x": 1e999}}',
        b'{"name": "a", "config": ' + b'{"x":' * 100 + b"1" + b"}" * 101,
        b"{",
        b"",
        b"[]",
    ],
)
async def test_what_cannot_be_stored_is_refused(http: httpx.AsyncClient, acme: Tenant, raw: bytes) -> None:
    headers = acme.keys["builder"] | {"Content-Type": "application/json"}
    answer = await http.post("/api/workflows", headers=headers, content=raw)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid_request"


async def test_a_name_is_taken_once(http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant) -> None:
    for tenant, status in ((acme, 201), (acme, 409), (umbrella, 201)):
        answer = await http.post("/api/workflows", headers=tenant.keys["owner"], json={"name": "desk"})
        assert answer.status_code == status
    other = (await http.post("/api/workflows", headers=acme.keys["owner"], json={"name": "other"})).json()
    renamed = await http.patch(f"/api/workflows/{other['id']}", headers=acme.keys["owner"], json={"name": "desk"})
    assert (renamed.status_code, renamed.json()["code"]) == (409, "conflict")


async def test_a_workflow_of_a_template_or_a_config_has_a_draft(http: httpx.AsyncClient, acme: Tenant) -> None:
    headers = acme.keys["builder"]
    for body in ({"name": "a", "template": "front_desk"}, {"name": "b", "config": config()}):
        answer = await http.post("/api/workflows", headers=headers, json=body)
        assert answer.status_code == 201, answer.text
        draft = answer.json()["latest_draft_version"]
        assert (draft["version"], draft["status"], draft["revision"]) == (1, "draft", 1)
        assert draft["config"]["agents"]
    answer = await http.post("/api/workflows", headers=headers, json={"name": "c", "template": "nothing"})
    assert answer.status_code == 404
    assert "front_desk" in answer.json()["remedy"]


async def test_a_list_comes_in_parts_with_the_numbers_of_versions(
    http: httpx.AsyncClient, services: Services, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflows, "_NUMBERS_AT_ONCE", 2)
    for name, versions in (("a", 3), ("b", 2), ("c", 0)):
        made = (await http.post("/api/workflows", headers=acme.keys["owner"], json={"name": name})).json()
        for _ in range(versions):
            await http.post(f"/api/workflows/{made['id']}/versions", headers=acme.keys["owner"])
    (published,) = [row for row in await services.store.versions(acme.id, "a") if row.version == 2]
    await services.store.publish(published.id)
    found, after = [], None
    while True:
        query = {"limit": "2"} | ({"after": after} if after else {})
        part = (await http.get("/api/workflows", headers=acme.keys["viewer"], params=query)).json()
        found += part["items"]
        if (after := part["next"]) is None:
            break
    numbers = [(row["name"], row["latest_version"], row["published_version"]) for row in found]
    assert numbers == [("c", None, None), ("b", 2, None), ("a", 3, 2)]
    named = (await http.get("/api/workflows", headers=acme.keys["viewer"], params={"name": "b"})).json()["items"]
    assert [row["name"] for row in named] == ["b"]


@pytest.mark.parametrize(
    "after", ["nonsense", "WyJ4Il0", "WyJ4IiwieSJd", "WzEsMl0", "WyJcdWQ4MDAiLCJ4Il0", "WyJcdTAwMDAiLCAieCJd"]
)
async def test_a_cursor_that_is_none_is_refused(http: httpx.AsyncClient, acme: Tenant, after: str) -> None:
    answer = await http.get("/api/workflows", headers=acme.keys["viewer"], params={"after": after})
    assert answer.status_code == 422, answer.text


async def test_another_tenants_workflow_is_not_there(http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant) -> None:
    made = (
        await http.post("/api/workflows", headers=acme.keys["owner"], json={"name": "a", "config": config()})
    ).json()
    place = f"/api/workflows/{made['id']}"
    for who in (umbrella.keys["owner"], umbrella.user("owner")):
        for method, path, body in (
            ("GET", place, None),
            ("PATCH", place, {"name": "mine"}),
            ("DELETE", place, None),
            ("GET", f"{place}/versions", None),
            ("POST", f"{place}/versions", {}),
        ):
            answer = await http.request(method, path, headers=who, json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path)
    assert (await http.get(place, headers=acme.keys["viewer"])).json()["name"] == "a"
    assert (await http.get(f"/api/workflows/{uuid4()}", headers=acme.keys["owner"])).status_code == 404
    assert (await http.get("/api/workflows/nonsense", headers=acme.keys["owner"])).status_code == 422


async def test_viewers_and_analysts_change_nothing(http: httpx.AsyncClient, acme: Tenant) -> None:
    made = (await http.post("/api/workflows", headers=acme.keys["owner"], json={"name": "a"})).json()
    place = f"/api/workflows/{made['id']}"
    for who in (acme.keys["viewer"], acme.keys["analyst"], acme.user("viewer"), acme.user("analyst")):
        for method, path, body in (
            ("POST", "/api/workflows", {"name": "b"}),
            ("PATCH", place, {"name": "b"}),
            ("DELETE", place, None),
            ("POST", f"{place}/versions", {}),
        ):
            answer = await http.request(method, path, headers=who, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path)


async def test_a_workflow_that_calls_refer_to_stays(http: httpx.AsyncClient, services: Services, acme: Tenant) -> None:
    headers = acme.keys["owner"]
    made = (await http.post("/api/workflows", headers=headers, json={"name": "a", "config": config()})).json()
    draft = made["latest_draft_version"]["id"]
    row = {"id": str(uuid4()), "organization_id": acme.id, "workflow_version_id": draft}
    await services.access.of(SERVICE).insert("call_session", row)
    for place in (f"/api/workflows/{made['id']}", f"/api/workflow-versions/{draft}"):
        answer = await http.delete(place, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict"), answer.text
        assert answer.json()["remedy"]
        assert "call_session" not in answer.text


async def test_versions_are_listed_newest_first_without_configs(http: httpx.AsyncClient, acme: Tenant) -> None:
    headers = acme.keys["builder"]
    made = (await http.post("/api/workflows", headers=headers, json={"name": "a", "config": config()})).json()
    place = f"/api/workflows/{made['id']}/versions"
    await http.post(place, headers=headers)
    answer = (await http.get(place, headers=headers, params={"limit": 1})).json()
    assert [row["version"] for row in answer["items"]] == [2]
    assert "config" not in answer["items"][0]
    rest = (await http.get(place, headers=headers, params={"after": answer["next"]})).json()
    assert [row["version"] for row in rest["items"]] == [1]


async def test_a_draft_is_made_of_nothing_of_a_config_or_of_a_version(http: httpx.AsyncClient, acme: Tenant) -> None:
    headers = acme.keys["builder"]
    made = (await http.post("/api/workflows", headers=headers, json={"name": "a"})).json()
    place = f"/api/workflows/{made['id']}/versions"
    first = await http.post(place, headers=headers)
    assert first.status_code == 201, first.text
    assert first.json()["version"] == 1
    assert first.json()["status"] == "draft"
    assert [fault["code"] for fault in first.json()["faults"]] == ["no_agents"]
    assert first.headers["etag"] == f'"{first.json()["id"]}.1"'
    assert first.headers["location"] == f"/api/workflow-versions/{first.json()['id']}"
    second = (await http.post(place, headers=headers, json={"config": config("Two")})).json()
    assert (second["version"], second["valid"], second["faults"]) == (2, True, [])
    copied = (await http.post(place, headers=headers)).json()
    assert (copied["version"], copied["config"]) == (3, second["config"])
    again = (await http.post(place, headers=headers, json={"from_version_id": first.json()["id"]})).json()
    assert (again["version"], again["config"]) == (4, first.json()["config"])
    for body, status in (
        ({"from_version_id": str(uuid4())}, 404),
        ({"from_version_id": first.json()["id"], "config": {}}, 422),
        ({"confg": {}}, 422),
    ):
        assert (await http.post(place, headers=headers, json=body)).status_code == status
