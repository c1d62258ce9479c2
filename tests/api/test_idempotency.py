import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import StreamingResponse

from api import idempotency
from api.idempotency import PatchbayRoute
from api.problems import Problem
from api.requests import CallerDep
from api.services import Services
from runtime.store.row_access import SERVICE
from tests.api.conftest import Tenant

pytestmark = pytest.mark.server


def keyed(headers: dict[str, str], key: str = "key-1") -> dict[str, str]:
    return headers | {"Idempotency-Key": key}


async def rows_of(services: Services) -> list[dict[str, Any]]:
    return await services.access.of(SERVICE).select("idempotency_key", order=[("key", "asc")])


class Slow:
    """A route that waits to be let go, and counts."""

    def __init__(self, app: FastAPI) -> None:
        self.begun = 0
        self.started = asyncio.Event()
        self.go = asyncio.Event()
        self.statuses = [201]
        router = APIRouter(route_class=PatchbayRoute)
        router.post("/slow", status_code=201)(self.slow)
        router.post("/broken")(self.broken)
        router.post("/stream")(self.stream)
        app.include_router(router, prefix="/api")

    async def slow(self, caller: CallerDep) -> dict[str, int]:
        self.begun += 1
        self.started.set()
        await self.go.wait()
        if (status := self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]) != 201:
            raise Problem(status, "unavailable" if status >= 500 else "conflict", "no")
        return {"begun": self.begun}

    async def broken(self, caller: CallerDep) -> None:
        self.begun += 1
        raise ZeroDivisionError

    async def stream(self, caller: CallerDep) -> StreamingResponse:
        self.begun += 1

        async def parts() -> Any:
            yield b"one"
            yield b"two"

        return StreamingResponse(parts())


@pytest.fixture
def slow(app: FastAPI) -> Slow:
    return Slow(app)


async def test_the_same_request_is_done_once(http: httpx.AsyncClient, services: Services, acme: Tenant) -> None:
    headers = keyed(acme.keys["owner"])
    first = await http.post("/api/keys", headers=headers, json={"name": "ci", "role": "viewer"})
    again = await http.post("/api/keys", headers=headers, json={"name": "ci", "role": "viewer"})
    assert first.status_code == again.status_code == 201, first.text
    assert first.content == again.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["content-type"] == first.headers["content-type"]
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    (row,) = await rows_of(services)
    assert first.json()["key"] not in json.dumps(row)
    assert len((await http.get("/api/keys", headers=acme.keys["owner"])).json()["items"]) == 5


async def test_a_draft_comes_again_with_its_etag(http: httpx.AsyncClient, acme: Tenant) -> None:
    made = (await http.post("/api/workflows", headers=acme.keys["owner"], json={"name": "a"})).json()
    place, headers = f"/api/workflows/{made['id']}/versions", keyed(acme.keys["owner"])
    first, again = await http.post(place, headers=headers), await http.post(place, headers=headers)
    assert first.json()["version"] == again.json()["version"] == 1
    assert first.headers["etag"] == again.headers["etag"]


async def test_another_request_with_the_key_is_refused(http: httpx.AsyncClient, acme: Tenant) -> None:
    headers = keyed(acme.keys["owner"])
    assert (await http.post("/api/workflows", headers=headers, json={"name": "a"})).status_code == 201
    for path, body in (("/api/workflows", {"name": "b"}), ("/api/validate", {"name": "a"})):
        answer = await http.post(path, headers=headers, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_key_is_its_senders_own(http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant) -> None:
    for who in (acme.keys["owner"], umbrella.keys["owner"], acme.user("owner")):
        answer = await http.post("/api/workflows", headers=keyed(who), json={"name": "a"})
        assert "idempotent-replayed" not in answer.headers
    assert (await http.post("/api/workflows", headers={"Idempotency-Key": "x"}, json={})).status_code == 401


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_that_is_none_is_refused(http: httpx.AsyncClient, acme: Tenant, key: str) -> None:
    answer = await http.post("/api/workflows", headers=keyed(acme.keys["owner"], key), json={"name": "a"})
    assert answer.status_code == 422


async def test_refusals_come_again_too(http: httpx.AsyncClient, services: Services, acme: Tenant) -> None:
    for body, status in (({"name": ""}, 422), ({"name": "a", "template": "none"}, 404)):
        headers = keyed(acme.keys["owner"], str(status))
        first = await http.post("/api/workflows", headers=headers, json=body)
        again = await http.post("/api/workflows", headers=headers, json=body)
        assert first.status_code == again.status_code == status
        assert first.json() == again.json()
        assert again.headers["content-type"] == "application/problem+json"
        assert again.headers["idempotent-replayed"] == "true"


async def test_at_once_it_is_done_by_one(http: httpx.AsyncClient, slow: Slow, acme: Tenant) -> None:
    headers = keyed(acme.keys["owner"])
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(http.post("/api/slow", headers=headers)) for _ in range(8)]
        await slow.started.wait()
        while sum(task.done() for task in tasks) < 7:  # noqa: ASYNC110 - it waits for answers, and nobody sets an event
            await asyncio.sleep(0.01)
        slow.go.set()
    answers = sorted((task.result() for task in tasks), key=lambda answer: answer.status_code)
    assert [answer.status_code for answer in answers] == [201, *[409] * 7]
    assert {answer.json()["code"] for answer in answers[1:]} == {"idempotency_key_in_use"}
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in answers[1:])
    assert slow.begun == 1
    assert (await http.post("/api/slow", headers=headers)).headers["idempotent-replayed"] == "true"


async def test_workflows_made_at_once_are_one(http: httpx.AsyncClient, acme: Tenant) -> None:
    headers = keyed(acme.keys["owner"])

    async def until_answered() -> httpx.Response:
        while True:
            answer = await http.post("/api/workflows", headers=headers, json={"name": "a"})
            if answer.status_code != 409:
                return answer
            await asyncio.sleep(0.01)

    answers = await asyncio.gather(*(until_answered() for _ in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_what_fails_here_may_be_tried_again(
    http: httpx.AsyncClient, services: Services, slow: Slow, acme: Tenant
) -> None:
    slow.go.set()
    slow.statuses = [503, 429, 201]
    headers = keyed(acme.keys["owner"])
    found = [(await http.post("/api/slow", headers=headers)).status_code for _ in range(4)]
    assert found == [503, 429, 201, 201]
    assert slow.begun == 3
    assert (await http.post("/api/broken", headers=keyed(acme.keys["owner"], "2"))).status_code == 500
    assert (await http.post("/api/broken", headers=keyed(acme.keys["owner"], "2"))).status_code == 500
    assert slow.begun == 5
    assert [row["key"] for row in await rows_of(services)] == ["key-1"]


async def test_a_run_that_dies_leaves_its_lease(
    http: httpx.AsyncClient, services: Services, slow: Slow, acme: Tenant
) -> None:
    headers = keyed(acme.keys["owner"])
    task = asyncio.ensure_future(http.post("/api/slow", headers=headers))  # noqa: TID251 - a request that is torn away
    await slow.started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    slow.go.set()
    assert (await http.post("/api/slow", headers=headers)).json()["code"] == "idempotency_key_in_use"
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    await services.access.of(SERVICE).update("idempotency_key", [("key", "eq", "key-1")], {"leased_until": past})
    answers = await asyncio.gather(*(http.post("/api/slow", headers=headers) for _ in range(5)))
    statuses = {answer.status_code for answer in answers}
    assert 201 in statuses
    assert statuses <= {201, 409}
    assert slow.begun == 2


async def test_a_long_run_keeps_its_lease(
    http: httpx.AsyncClient, services: Services, slow: Slow, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_RENEWAL_S", 0.01)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(http.post("/api/slow", headers=keyed(acme.keys["owner"])))
        await slow.started.wait()
        (first,) = await rows_of(services)
        while (await rows_of(services))[0]["leased_until"] == first["leased_until"]:  # noqa: ASYNC110 - a row's change
            await asyncio.sleep(0.01)
        slow.go.set()
    assert task.result().status_code == 201
    assert (await rows_of(services))[0]["answer"] is not None


async def test_a_day_later_it_is_forgotten(
    http: httpx.AsyncClient, services: Services, slow: Slow, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_FORGOTTEN_AT_ONCE", 2)
    slow.go.set()
    for key in "abcd":
        await http.post("/api/slow", headers=keyed(acme.keys["owner"], key))
    for index, key in enumerate("abcd"):
        age = datetime.now(UTC) - timedelta(hours=25, seconds=-index)
        await services.access.of(SERVICE).update(
            "idempotency_key", [("key", "eq", key)], {"created_at": age.isoformat()}
        )
    again = await http.post("/api/slow", headers=keyed(acme.keys["owner"], "d"))
    assert again.json() == {"begun": 5}
    assert "idempotent-replayed" not in again.headers
    assert [row["key"] for row in await rows_of(services)] == ["c", "d"]


async def test_what_streams_is_not_kept(http: httpx.AsyncClient, services: Services, slow: Slow, acme: Tenant) -> None:
    for _ in range(2):
        answer = await http.post("/api/stream", headers=keyed(acme.keys["owner"]))
        assert answer.content == b"onetwo"
    assert slow.begun == 2
    assert await rows_of(services) == []


def test_posts_say_so_in_the_description(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    operation = paths["/api/workflows"]["post"]
    assert [each["name"] for each in operation["parameters"]].count("Idempotency-Key") == 1
    assert "409" in operation["responses"]
    assert "Idempotency-Key" not in json.dumps(paths["/api/workflows"]["get"])
