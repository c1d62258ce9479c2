import asyncio
from typing import Any

import httpx
import pytest

import api.routes.versions
from api.services import Services
from tests.api.configs import an_id, config
from tests.api.conftest import Tenant

pytestmark = pytest.mark.server


@pytest.fixture
async def draft(http: httpx.AsyncClient, acme: Tenant) -> dict[str, Any]:
    """Return a valid draft of Acme's."""
    body = {"name": "desk", "config": config()}
    answer = await http.post("/api/workflows", headers=acme.keys["builder"], json=body)
    assert answer.status_code == 201, answer.text
    version: dict[str, Any] = answer.json()["latest_draft_version"]
    return version


@pytest.fixture
def place(draft: dict[str, Any]) -> str:
    return f"/api/workflow-versions/{draft['id']}"


async def test_a_version_comes_whole(http: httpx.AsyncClient, acme: Tenant, draft: dict[str, Any], place: str) -> None:
    answer = await http.get(place, headers=acme.keys["viewer"])
    assert answer.status_code == 200, answer.text
    row = answer.json()
    assert row["config"] == config()
    assert (row["valid"], row["faults"], row["revision"], row["status"]) == (True, [], 1, "draft")
    assert {**draft, "valid": True, "faults": []} == row
    tag = answer.headers["etag"]
    assert tag == f'"{draft["id"]}.1"'
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        same = await http.get(place, headers=acme.keys["viewer"] | {"If-None-Match": known})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    other = await http.get(place, headers=acme.keys["viewer"] | {"If-None-Match": '"x"'})
    assert other.status_code == 200


async def test_a_faulty_draft_is_kept_and_answered_with_its_faults(
    http: httpx.AsyncClient, acme: Tenant, place: str
) -> None:
    faulty = {"agents": [{"id": an_id(1), "name": "", "instrctions": 3}], "nonsense": 1.5}
    answer = await http.patch(place, headers=acme.keys["builder"], json={"config": faulty})
    assert answer.status_code == 200, answer.text
    row = answer.json()
    assert row["config"] == faulty
    assert row["revision"] == 2
    assert row["valid"] is False
    assert {"unknown_key", "empty_name"} <= {fault["code"] for fault in row["faults"]}
    assert set(row["faults"][0]) == {"path", "code", "severity", "message", "remedy"}
    assert answer.headers["etag"].endswith('.2"')
    refused = await http.post(f"{place}/publish", headers=acme.keys["builder"])
    assert (refused.status_code, refused.json()["code"]) == (422, "config_has_faults")
    assert refused.json()["faults"] == row["faults"]


async def test_the_second_of_two_builders_is_told(
    http: httpx.AsyncClient, acme: Tenant, draft: dict[str, Any], place: str
) -> None:
    tag = (await http.get(place, headers=acme.keys["builder"])).headers["etag"]
    first = await http.patch(place, headers=acme.user("builder") | {"If-Match": tag}, json={"config": config("First")})
    assert first.status_code == 200
    second = await http.patch(
        place, headers=acme.keys["builder"] | {"If-Match": tag}, json={"config": config("Second")}
    )
    assert (second.status_code, second.json()["code"]) == (412, "draft_changed")
    told = second.json()
    assert told["yours"] == {"version_id": draft["id"], "revision": 1, "etag": tag}
    current = told["current"]
    assert (current["version_id"], current["revision"], current["version"]) == (draft["id"], 2, 1)
    assert current["etag"] == first.headers["etag"]
    assert current["changed_by"]["actor_kind"] == "user"
    assert current["changed_by"]["actor_id"] == acme.users["builder"]
    assert (await http.get(place, headers=acme.keys["builder"])).json()["config"] == config("First")


async def test_if_match_is_read_in_all_its_forms(
    http: httpx.AsyncClient, acme: Tenant, draft: dict[str, Any], place: str
) -> None:
    known, old = f'"{draft["id"]}.1"', f'"{draft["id"]}.7"'
    for given, status in (
        (known, 200),
        (f"W/{known}", 200),
        (f"{old}, {known}", 200),
        (f'W/"a,b" ,{known}', 200),
        ("*", 200),
        (old, 412),
        ('""', 412),
        ("nonsense", 422),
        (f"{known},", 422),
        (f"{known} {old}", 422),
        ("", 422),
    ):
        answer = await http.patch(place, headers=acme.keys["builder"] | {"If-Match": given}, json={"config": config()})
        assert answer.status_code == status, given


async def test_without_if_match_the_last_writer_wins(http: httpx.AsyncClient, acme: Tenant, place: str) -> None:
    for text in ("First", "Second"):
        answer = await http.patch(place, headers=acme.keys["builder"], json={"config": config(text)})
        assert answer.status_code == 200
    assert (await http.get(place, headers=acme.keys["builder"])).json()["config"] == config("Second")


async def test_of_changes_at_once_one_is_made(http: httpx.AsyncClient, acme: Tenant, place: str) -> None:
    tag = (await http.get(place, headers=acme.keys["builder"])).headers["etag"]
    headers = acme.keys["builder"] | {"If-Match": tag}
    answers = await asyncio.gather(
        *(http.patch(place, headers=headers, json={"config": config(str(number))}) for number in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 5]
    (won,) = [answer.json() for answer in answers if answer.status_code == 200]
    row = (await http.get(place, headers=acme.keys["builder"])).json()
    assert (row["config"], row["revision"]) == (won["config"], 2)
    assert all(answer.json()["current"]["revision"] == 2 for answer in answers if answer.status_code == 412)


@pytest.mark.parametrize("body", [{}, {"config": None}, {"config": []}, {"config": "x"}, {"config": {}, "x": 1}, []])
async def test_what_is_no_config_is_refused(http: httpx.AsyncClient, acme: Tenant, place: str, body: object) -> None:
    answer = await http.patch(place, headers=acme.keys["builder"], json=body)
    assert answer.status_code == 422


async def test_what_cannot_be_stored_is_named(http: httpx.AsyncClient, acme: Tenant, place: str) -> None:
    answer = await http.patch(place, headers=acme.keys["builder"], json={"config": {"agents": [{"name": "a\x00"}]}})
    assert answer.status_code == 422
    assert [fault["path"] for fault in answer.json()["faults"]] == ["$.agents[0].name"]


async def test_publishing_is_once_and_final(
    http: httpx.AsyncClient, acme: Tenant, draft: dict[str, Any], place: str
) -> None:
    headers = acme.keys["builder"]
    published = await http.post(f"{place}/publish", headers=headers)
    assert published.status_code == 200, published.text
    assert (published.json()["status"], published.json()["valid"]) == ("published", True)
    again = await http.post(f"{place}/publish", headers=headers)
    assert again.json()["published_at"] == published.json()["published_at"]
    for method, path, body in (("PATCH", place, {"config": config("New")}), ("DELETE", place, None)):
        answer = await http.request(method, path, headers=headers, json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "not_a_draft")
    details = (await http.get(f"/api/workflows/{draft['workflow_id']}", headers=headers)).json()
    assert details["published"] == {"id": draft["id"], "version": 1}
    assert (details["published_version"], details["latest_draft_version"]) == (1, None)


async def test_what_was_changed_while_it_was_checked_is_not_published(
    http: httpx.AsyncClient, acme: Tenant, draft: dict[str, Any], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = acme.keys["builder"]
    checked = api.routes.versions.checked

    async def slowly(content: Any) -> Any:
        monkeypatch.setattr("api.routes.versions.checked", checked)
        assert (await http.patch(place, headers=headers, json={"config": {"agents": []}})).status_code == 200
        return await checked(content)

    monkeypatch.setattr("api.routes.versions.checked", slowly)
    answer = await http.post(f"{place}/publish", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (412, "draft_changed"), answer.text
    assert (await http.get(place, headers=headers)).json()["status"] == "draft"


async def test_a_query_key_that_is_misspelt_is_named(http: httpx.AsyncClient, acme: Tenant, place: str) -> None:
    answer = await http.get(f"{place}/diff", params={"with": "x"}, headers=acme.keys["viewer"])
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "query.with" in answer.json()["detail"]
    assert "against" in answer.json()["remedy"]


async def test_the_next_one_archives_and_the_old_one_is_restored(
    http: httpx.AsyncClient, acme: Tenant, draft: dict[str, Any], place: str
) -> None:
    headers = acme.keys["builder"]
    await http.post(f"{place}/publish", headers=headers)
    body = {"config": config("Second")}
    second = (await http.post(f"/api/workflows/{draft['workflow_id']}/versions", headers=headers, json=body)).json()
    assert (await http.post(f"/api/workflow-versions/{second['id']}/publish", headers=headers)).status_code == 200
    first = (await http.get(place, headers=headers)).json()
    assert first["status"] == "archived"
    assert (await http.patch(place, headers=headers, json=body)).json()["code"] == "not_a_draft"
    restored = await http.post(f"{place}/restore", headers=headers)
    assert restored.status_code == 201, restored.text
    row = restored.json()
    assert (row["version"], row["status"], row["config"]) == (3, "draft", config())
    assert restored.headers["location"] == f"/api/workflow-versions/{row['id']}"
    back = await http.post(f"{place}/publish", headers=headers)
    assert (back.status_code, back.json()["status"]) == (200, "published")


async def test_publishing_honours_if_match(http: httpx.AsyncClient, acme: Tenant, place: str) -> None:
    tag = (await http.get(place, headers=acme.keys["builder"])).headers["etag"]
    await http.patch(place, headers=acme.keys["builder"], json={"config": config("New")})
    headers = acme.keys["builder"] | {"If-Match": tag}
    assert (await http.post(f"{place}/publish", headers=headers)).status_code == 412
    assert (await http.delete(place, headers=headers)).status_code == 412


async def test_a_draft_is_removed(http: httpx.AsyncClient, acme: Tenant, place: str) -> None:
    assert (await http.delete(place, headers=acme.keys["builder"])).status_code == 204
    assert (await http.get(place, headers=acme.keys["builder"])).status_code == 404
    assert (await http.delete(place, headers=acme.keys["builder"])).status_code == 404


async def test_validation_answers_as_the_command_does(
    http: httpx.AsyncClient, services: Services, acme: Tenant, place: str
) -> None:
    answer = await http.post(f"{place}/validate", headers=acme.keys["viewer"])
    assert answer.json() == {"schema_version": 1, "valid": True, "faults": []}
    options: dict[str, Any] = {"defaults": {"llm": {"provider": "openai", "model": "x", "options": {"temprature": 1}}}}
    answers = await asyncio.gather(
        *(http.post("/api/validate", headers=acme.keys["viewer"], json={"config": config(**options)}) for _ in range(4))
    )
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json()["valid"] is False
        assert [fault["code"] for fault in answer.json()["faults"]] == ["unknown_option"]
    nul = await http.post("/api/validate", headers=acme.keys["viewer"], json={"config": {"agents": "\x00"}})
    assert (nul.status_code, nul.json()["valid"]) == (200, False)


async def test_another_tenants_version_is_not_there(http: httpx.AsyncClient, umbrella: Tenant, place: str) -> None:
    for who in (umbrella.keys["owner"], umbrella.user("owner")):
        for method, path, body in (
            ("GET", place, None),
            ("PATCH", place, {"config": {}}),
            ("DELETE", place, None),
            ("POST", f"{place}/publish", None),
            ("POST", f"{place}/restore", None),
            ("POST", f"{place}/validate", None),
            ("GET", f"{place}/diff", None),
        ):
            answer = await http.request(method, path, headers=who, json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path)


@pytest.mark.parametrize("role", ["viewer", "analyst"])
async def test_who_only_reads_changes_nothing(http: httpx.AsyncClient, acme: Tenant, place: str, role: str) -> None:
    for who in (acme.keys[role], acme.user(role)):
        for method, path, body in (
            ("PATCH", place, {"config": {}}),
            ("DELETE", place, None),
            ("POST", f"{place}/publish", None),
            ("POST", f"{place}/restore", None),
        ):
            answer = await http.request(method, path, headers=who, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path)
        assert (await http.get(f"{place}/diff", headers=who)).status_code == 200


async def test_a_diff_is_with_the_published_version_unless_another_is_named(
    http: httpx.AsyncClient, acme: Tenant, draft: dict[str, Any], place: str
) -> None:
    headers, versions = acme.keys["builder"], f"/api/workflows/{draft['workflow_id']}/versions"
    first = (await http.get(f"{place}/diff", headers=headers)).json()
    assert first["before"] is None
    assert [part["id"] for part in first["agents"]["added"]] == [an_id(1)]
    second = (await http.post(versions, headers=headers, json={"config": config("Second")})).json()
    third = (await http.post(versions, headers=headers, json={"config": config("Third")})).json()
    path = f"/api/workflow-versions/{third['id']}/diff"
    before = (await http.get(path, headers=headers)).json()
    assert (before["before"]["id"], before["after"]["id"]) == (second["id"], third["id"])
    await http.post(f"{place}/publish", headers=headers)
    usual = (await http.get(path, headers=headers)).json()
    assert usual["before"] == {
        "id": draft["id"],
        "workflow_id": draft["workflow_id"],
        "version": 1,
        "status": "published",
    }
    change = {"op": "changed", "path": "$.agents[0].greeting.text", "before": "Hello.", "after": "Third"}
    assert usual["changes"] == [change]
    (agent,) = usual["agents"]["changed"]
    assert (agent["id"], agent["name"], agent["path"]) == (an_id(1), "Desk", "$.agents[0]")
    assert agent["changes"] == [change]
    named = (await http.get(path, headers=headers, params={"against": third["id"]})).json()
    assert named["changes"] == []
    missing = await http.get(path, headers=headers, params={"against": an_id(9)})
    assert missing.status_code == 404
