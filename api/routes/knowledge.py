"""Knowledge: bases, their documents, and what an agent would find there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final, cast
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from api.access import Caller
from api.answers import answers
from api.documents import MEDIA_TYPES, document_of
from api.idempotency import PatchbayRoute
from api.models.common import Listed, Storable
from api.models.knowledge import (
    KnowledgeBase,
    KnowledgeDocument,
    NewKnowledgeBase,
    PutDocument,
    SearchAnswer,
    SearchQuestion,
)
from api.problems import Problem, found
from api.requests import CallerDep, PageDep, ServicesDep, listed, page_of
from api.routes.sessions import no_cursor
from api.services import Services
from runtime.knowledge.embedding import Embedder, LocalEmbedder, open_embedder
from runtime.knowledge.library import Library
from runtime.knowledge.searching import Searcher
from runtime.store.row_access import Row
from runtime.store.user_database import UserDatabase

__all__ = ["router"]

Json = Any

_SEARCH_S = 20.0
# Who asks here is no caller on the telephone.
_EMBEDDING_S = 10.0
_ADDED: Final[dict[int | str, dict[str, Any]]] = {
    201: {"model": PutDocument, "description": "A document that was not there before."}
}
_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "The file as it is, 10 MiB at most.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES},
    }
}

router = APIRouter(tags=["knowledge"], route_class=PatchbayRoute)

DocumentName = Annotated[Storable, Path(min_length=1, max_length=500, description="The document's name.")]


@dataclass(frozen=True, slots=True)
class _Shelf:
    """One organization's library under the caller's role, and what searches it."""

    organization_id: str
    database: UserDatabase
    library: Library
    embedder: Embedder | None

    async def base(self, name: str) -> Row:
        return asdict(await self.library.base(name))


@router.get("/knowledge-bases", response_model=Listed[KnowledgeBase], responses=answers())
async def list_bases(caller: CallerDep, services: ServicesDep, page: PageDep) -> dict[str, Json]:
    """List the organization's bases, by name."""
    organization = caller.need("knowledge:read")
    after = ""
    if page.after is not None:
        if len(page.after) != 1 or not isinstance(page.after[0], str):
            raise no_cursor()
        after = page.after[0]
    bases = await Library(_database(caller, services), organization).bases()
    rows = sorted((asdict(base) for base in bases), key=lambda row: str(row["name"]))
    return page_of([row for row in rows if row["name"] > after][: page.limit + 1], page, ("name",))


@router.post(
    "/knowledge-bases",
    status_code=201,
    response_model=KnowledgeBase,
    responses=answers(409),
)
async def make_base(caller: CallerDep, services: ServicesDep, body: NewKnowledgeBase) -> dict[str, Json]:
    """Make a base without documents."""
    organization = caller.need("knowledge:write")
    library = Library(_database(caller, services), organization)
    if await library.check(body.name, language=body.language) is None:
        await caller.rows.insert(
            "knowledge_base",
            {"organization_id": organization, "name": body.name, "language": body.language},
            returning=["id"],
        )
        return asdict(await library.base(body.name))
    raise Problem(409, "conflict", f"There is a knowledge base '{body.name}' already.", remedy="Choose another name.")


@router.get("/knowledge-bases/{base_id}", response_model=KnowledgeBase, responses=answers(404))
async def read_base(caller: CallerDep, services: ServicesDep, base_id: UUID) -> dict[str, Json]:
    """Read one base."""
    base = await _base(caller, base_id, "read")
    return asdict(await Library(_database(caller, services), base["organization_id"]).base(base["name"]))


@router.delete("/knowledge-bases/{base_id}", status_code=204, responses=answers(404))
async def remove_base(caller: CallerDep, services: ServicesDep, base_id: UUID) -> None:
    """Remove a base with all its documents."""
    base = await _base(caller, base_id, "write")
    await Library(_database(caller, services), base["organization_id"]).remove(base["name"])


@router.get(
    "/knowledge-bases/{base_id}/documents",
    response_model=Listed[KnowledgeDocument],
    responses=answers(404),
)
async def list_documents(caller: CallerDep, services: ServicesDep, base_id: UUID, page: PageDep) -> dict[str, Json]:
    """List a base's documents, by name."""
    _database(caller, services)
    await _base(caller, base_id, "read")
    if page.after is not None and len(page.after) != 1:
        raise no_cursor()
    return await listed(
        caller.rows,
        page,
        "knowledge_document",
        where=[("knowledge_base_id", "eq", str(base_id))],
        order=[("name", "asc")],
    )


@router.put(
    "/knowledge-bases/{base_id}/documents/{name:path}",
    response_model=PutDocument,
    responses=_ADDED | answers(404, 413, 415),
    openapi_extra=_BODY,
)
async def put_document(
    caller: CallerDep, services: ServicesDep, request: Request, response: Response, base_id: UUID, name: DocumentName
) -> dict[str, Json]:
    """Add a document, or put it in the place of the one of its name: text, Markdown, HTML or PDF, as Content-Type says."""
    base = await _base(caller, base_id, "write")
    document = await asyncio.to_thread(document_of, name, request.headers.get("content-type", ""), await request.body())
    async with _shelf(caller, services, base) as shelf:
        added = await shelf.library.add(base["name"], document)
        await shelf.library.count_words(base["name"])
    row = found(
        await caller.rows.select("knowledge_document", where=[("id", "eq", added.document.id)], limit=1),
        "document",
        name,
    )
    response.status_code = 201 if added.status == "added" else 200
    return row | {"status": added.status, "embedded": added.embedded}


@router.delete(
    "/knowledge-bases/{base_id}/documents/{name:path}",
    status_code=204,
    responses=answers(404),
)
async def remove_document(caller: CallerDep, services: ServicesDep, base_id: UUID, name: DocumentName) -> None:
    """Remove a document."""
    _database(caller, services)
    await _base(caller, base_id, "write")
    removed = await caller.rows.delete(
        "knowledge_document", [("knowledge_base_id", "eq", str(base_id)), ("name", "eq", name)], returning=["id"]
    )
    found(removed, "document", name)


@router.post(
    "/knowledge-bases/{base_id}/search",
    response_model=SearchAnswer,
    responses=answers(404),
)
async def search(caller: CallerDep, services: ServicesDep, base_id: UUID, body: SearchQuestion) -> dict[str, Json]:
    """Search a base as an agent does: by its words, and by meaning where it has vectors."""
    base = await _base(caller, base_id, "read")
    async with _shelf(caller, services, base) as shelf:
        searcher = Searcher(shelf.database, shelf.embedder, embedding_s=_EMBEDDING_S)
        answer = await searcher.of(shelf.organization_id).answer(
            [base["name"]], body.query, limit=body.limit, timeout_s=_SEARCH_S
        )
    return {"items": [asdict(each) for each in answer.passages], "notes": list(answer.notes)}


async def _base(caller: Caller, base_id: UUID, to: str) -> Row:
    rows = await caller.rows.select("knowledge_base", where=[("id", "eq", str(base_id))], limit=1)
    base = found(rows, "knowledge base", str(base_id))
    caller.need("knowledge:write" if to == "write" else "knowledge:read", base["organization_id"])
    return base


def _database(caller: Caller, services: Services) -> UserDatabase:
    if services.database is None:
        raise Problem(
            503,
            "unavailable",
            "Knowledge needs the database itself, and only Supabase's API is configured.",
            remedy="Set DATABASE_URL to the project's connection string.",
        )
    return UserDatabase(services.database, caller.principal.claims(caller.request_id))


@asynccontextmanager
async def _shelf(caller: Caller, services: Services, base: Row) -> AsyncIterator[_Shelf]:
    database = _database(caller, services)
    if services.settings.embedding == "local":
        # The first time it loads a model, a second in which nobody else would be answered.
        (await asyncio.to_thread(LocalEmbedder)).close()
    async with open_embedder(services.settings) as embedder:
        organization = cast("str", base["organization_id"])
        yield _Shelf(organization, database, Library(database, organization, embedder), embedder)
