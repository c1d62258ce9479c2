from __future__ import annotations

import asyncio
from uuid import uuid4

import httpx
import pytest

from api.services import Services
from tests.api.chats import Builder, lines
from tests.api.conftest import ROLES, Tenant

pytestmark = pytest.mark.server


async def test_figures_of_a_versions_calls(
    http: httpx.AsyncClient, services: Services, acme: Tenant, umbrella: Tenant
) -> None:
    builder = Builder(http, services, acme)
    version = await builder.version()
    other = await builder.version("order_status")
    await builder.chat(version, messages=lines("front_desk", "billing"), offline=True)
    at = f"/api/workflow-versions/{version.id}/analytics"
    async with asyncio.timeout(20):  # the call is closed behind its answer
        while not (await builder.get(at.removeprefix("/api"), tests=True))["calls"]["calls"]:  # noqa: ASYNC110 - the database is another process
            await asyncio.sleep(0.05)
    for role in ROLES:
        for who in (acme.keys[role], acme.user(role)):
            answer = await http.get(at, params={"tests": True, "compare": other.id}, headers=who)
            assert answer.status_code == 200, answer.text
            figures = answer.json()
            assert (figures["version"], figures["include_tests"], figures["calls"]["calls"]) == (1, True, 1)
            assert figures["agents"][0]["entered"] >= 1
            assert [each["workflow_version_id"] for each in figures["comparison"]] == [version.id, other.id]
    without = (await http.get(at, headers=acme.keys["viewer"])).json()
    assert (without["calls"]["calls"], without["comparison"]) == (0, None)
    past = (await http.get(at, params={"tests": True, "to": "2020-01-01"}, headers=acme.keys["viewer"])).json()
    assert (past["to"], past["calls"]["calls"]) == ("2020-01-01", 0)
    assert (await http.get(at, headers=umbrella.keys["owner"])).status_code == 404


async def test_unknown_versions_and_ranges_are_refused(
    http: httpx.AsyncClient, services: Services, acme: Tenant, umbrella: Tenant
) -> None:
    mine = await Builder(http, services, acme).version()
    theirs = await Builder(http, services, umbrella).version()
    at = f"/api/workflow-versions/{mine.id}/analytics"
    for path, status in (
        (f"/api/workflow-versions/{uuid4()}/analytics", 404),
        (f"{at}?compare={uuid4()}", 404),
        (f"{at}?compare={theirs.id}", 404),
        (f"{at}?from=2026-05-02&to=2026-05-01", 422),
        (f"{at}?from=x", 422),
        (f"{at}?channel=%00", 422),
    ):
        assert (await http.get(path, headers=acme.keys["owner"])).status_code == status, path
