from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

import api.routes.knowledge
from api.services import Services
from runtime.knowledge.library import Library
from tests.api.conftest import ROLES, Tenant
from tests.fakes.embedding import TopicModel
from tests.fakes.papers import pdf

pytestmark = pytest.mark.server

Json = Any
REFUNDS = b"# Refunds\n\nYou may send a parcel back within thirty days.\n\n# Opening hours\n\nWe are open on Saturday."


async def a_base(http: httpx.AsyncClient, tenant: Tenant, name: str = "handbook", **fields: Json) -> str:
    made = await http.post("/api/knowledge-bases", json={"name": name, **fields}, headers=tenant.keys["builder"])
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def put(
    http: httpx.AsyncClient,
    base: str,
    headers: dict[str, str],
    name: str = "refunds.md",
    content: bytes = REFUNDS,
    kind: str = "text/markdown",
) -> httpx.Response:
    path = f"/api/knowledge-bases/{base}/documents/{name}"
    return await http.put(path, content=content, headers=headers | {"Content-Type": kind})


@pytest.mark.parametrize("who", ["key", "user"])
async def test_a_builder_fills_a_base_and_every_member_searches_it(
    http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant, who: str
) -> None:
    builder = acme.keys["builder"] if who == "key" else acme.user("builder")
    base = await a_base(http, acme, language="english")
    added = await put(http, base, builder)
    assert (added.status_code, added.json()["status"], added.json()["embedded"]) == (201, "added", False), added.text
    assert (await put(http, base, builder)).json()["status"] == "unchanged"
    replaced = await put(http, base, builder, content=REFUNDS + b"\n\nAnd on Sunday.")
    assert (replaced.status_code, replaced.json()["status"], replaced.json()["id"]) == (
        200,
        "replaced",
        added.json()["id"],
    )
    for role in ROLES:
        found = await http.post(
            f"/api/knowledge-bases/{base}/search", json={"query": "When are you open?"}, headers=acme.keys[role]
        )
        assert found.status_code == 200, found.text
        assert "Saturday" in found.json()["items"][0]["text"]
    row = (await http.get(f"/api/knowledge-bases/{base}", headers=acme.keys["viewer"])).json()
    assert (row["name"], row["language"], row["documents"]) == ("handbook", "english", 1)
    listed = (await http.get(f"/api/knowledge-bases/{base}/documents", headers=acme.keys["viewer"])).json()
    assert [(row["name"], row["title"]) for row in listed["items"]] == [("refunds.md", "Refunds")]
    assert (await http.get("/api/knowledge-bases", headers=umbrella.keys["owner"])).json()["items"] == []


async def test_a_base_of_another_tenant_is_not_there(http: httpx.AsyncClient, acme: Tenant, umbrella: Tenant) -> None:
    base = await a_base(http, acme)
    await put(http, base, acme.keys["owner"])
    stranger = umbrella.keys["owner"]
    at = f"/api/knowledge-bases/{base}"
    for answer in (
        await http.get(at, headers=stranger),
        await http.delete(at, headers=stranger),
        await http.get(f"{at}/documents", headers=stranger),
        await put(http, base, stranger),
        await http.delete(f"{at}/documents/refunds.md", headers=stranger),
        await http.post(f"{at}/search", json={"query": "open"}, headers=stranger),
        await http.get(f"/api/knowledge-bases/{uuid4()}", headers=acme.keys["owner"]),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await http.get(f"{at}/documents", headers=acme.keys["owner"])).json()["items"]
    await a_base(http, umbrella)  # a name is taken in its own organization alone


@pytest.mark.parametrize("role", ["viewer", "analyst"])
async def test_who_may_not_change_is_refused(http: httpx.AsyncClient, acme: Tenant, role: str) -> None:
    base = await a_base(http, acme)
    await put(http, base, acme.keys["owner"])
    for who in (acme.keys[role], acme.user(role)):
        for answer in (
            await http.post("/api/knowledge-bases", json={"name": "more"}, headers=who),
            await put(http, base, who),
            await http.delete(f"/api/knowledge-bases/{base}/documents/refunds.md", headers=who),
            await http.delete(f"/api/knowledge-bases/{base}", headers=who),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_bases_and_documents_are_listed_in_parts_and_removed(http: httpx.AsyncClient, acme: Tenant) -> None:
    owner = acme.keys["owner"]
    bases = [await a_base(http, acme, name) for name in ("c", "a", "b")]
    first = (await http.get("/api/knowledge-bases?limit=2", headers=owner)).json()
    rest = (await http.get("/api/knowledge-bases", params={"after": first["next"]}, headers=owner)).json()
    assert [[row["name"] for row in page["items"]] for page in (first, rest)] == [["a", "b"], ["c"]]
    for name in ("site/faq.html", "b.txt", "ü und mehr.txt"):
        kind = "text/html" if name.endswith("html") else "text/plain; charset=utf-8"
        assert (await put(http, bases[0], owner, name, b"<p>Open on Saturday.</p>", kind)).status_code == 201
    at = f"/api/knowledge-bases/{bases[0]}/documents"
    first = (await http.get(f"{at}?limit=2", headers=owner)).json()
    rest = (await http.get(at, params={"after": first["next"]}, headers=owner)).json()
    assert [row["name"] for row in first["items"] + rest["items"]] == ["b.txt", "site/faq.html", "ü und mehr.txt"]
    assert (await http.delete(f"{at}/site/faq.html", headers=owner)).status_code == 204
    assert (await http.delete(f"{at}/site/faq.html", headers=owner)).status_code == 404
    assert (await http.delete(f"/api/knowledge-bases/{bases[0]}", headers=owner)).status_code == 204
    assert (await http.get(at, headers=owner)).status_code == 404


@pytest.mark.parametrize(
    ("content", "kind", "status", "word"),
    [
        (b"", "text/plain", 422, "h.x is empty"),
        (b"\x00\x01", "text/plain", 422, "binary"),
        (b"no PDF", "application/pdf", 422, "h.x is no PDF"),
        (b"{}", "application/json", 415, "application/json"),
        (b"a", "", 415, "none"),
    ],
)
async def test_what_is_no_document_is_refused(
    http: httpx.AsyncClient, acme: Tenant, content: bytes, kind: str, status: int, word: str
) -> None:
    base = await a_base(http, acme)
    answer = await put(http, base, acme.keys["owner"], "h.x", content, kind)
    assert answer.status_code == status, answer.text
    assert word in answer.json()["detail"]
    assert "/tmp" not in answer.text


async def test_a_pdf_is_read_and_has_its_name_for_a_title(http: httpx.AsyncClient, acme: Tenant) -> None:
    base = await a_base(http, acme)
    content = pdf(["We are open on Saturday."])
    answer = await put(http, base, acme.keys["owner"], "hours.pdf", content, "application/pdf")
    assert (answer.status_code, answer.json()["title"]) == (201, "hours"), answer.text


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "a\0"}, {"name": "a", "more": 1}, {"name": "a", "language": "klingon"}]
)
async def test_what_is_no_base_is_refused(http: httpx.AsyncClient, acme: Tenant, body: Json) -> None:
    answer = await http.post("/api/knowledge-bases", json=body, headers=acme.keys["owner"])
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text


async def test_a_name_is_taken_once(http: httpx.AsyncClient, acme: Tenant) -> None:
    await a_base(http, acme)
    answer = await http.post("/api/knowledge-bases", json={"name": "handbook"}, headers=acme.keys["owner"])
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_meaning_is_searched_where_there_is_a_model(
    http: httpx.AsyncClient, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TopicModel()

    @asynccontextmanager
    async def open_model(_settings: object) -> AsyncIterator[TopicModel]:
        yield model

    monkeypatch.setattr(api.routes.knowledge, "open_embedder", open_model)
    base = await a_base(http, acme)
    assert (await put(http, base, acme.keys["builder"])).json()["embedded"] is True
    for who in (acme.keys["viewer"], acme.user("viewer")):
        found = await http.post(f"/api/knowledge-bases/{base}/search", json={"query": "hours to come"}, headers=who)
        assert (found.json()["notes"], "Saturday" in found.json()["items"][0]["text"]) == ([], True)
    row = (await http.get(f"/api/knowledge-bases/{base}", headers=acme.keys["viewer"])).json()
    assert (row["embedding"], row["dimensions"]) == (model.name, 256)


async def test_without_the_database_itself_the_remedy_is_named(
    http: httpx.AsyncClient, app: FastAPI, services: Services, acme: Tenant
) -> None:
    app.state.services = replace(services, database=None)
    answer = await http.get("/api/knowledge-bases", headers=acme.keys["owner"])
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "DATABASE_URL" in answer.json()["remedy"]


async def test_adding_is_written_down(http: httpx.AsyncClient, services: Services, acme: Tenant) -> None:
    base = await a_base(http, acme)
    await put(http, base, acme.user("builder"))
    assert services.database is not None
    rows = await services.database.fetch(
        "select actor_kind, actor_id::text, action, table_name from audit_log where organization_id = $1 "
        "and table_name = 'knowledge_document'",
        acme.id,
    )
    assert [tuple(row) for row in rows] == [("user", acme.users["builder"], "insert", "knowledge_document")]
    assert (await Library(services.database, acme.id).base("handbook")).documents == 1
