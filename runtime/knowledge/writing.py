"""Writes a document with its chunks and their vectors, all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.errors import NotFound
from runtime.knowledge import queries
from runtime.knowledge.chunks import Chunk
from runtime.knowledge.documents import Document
from runtime.knowledge.rows import BaseRow
from runtime.knowledge.vectors import Vectors
from runtime.store.pool import Connection

__all__ = ["Embedded", "put_document", "put_vectors"]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector for each of some chunks, as pgvector reads it, and the model they are of."""

    model: str
    vectors: Sequence[str]
    kept_in: Vectors

    @property
    def dimensions(self) -> int:
        return self.vectors[0].count(",") + 1


async def put_document(
    connection: Connection, base: BaseRow, document: Document, chunks: Sequence[Chunk], embedded: Embedded | None
) -> bool:
    """Write a document in one transaction. Returns False, with nothing written, where the base has changed its model since it was read."""
    async with connection.transaction():
        if await connection.fetchrow(queries.BASE_LOCK, base.id) is None:
            raise NotFound(f"The knowledge base '{base.name}' was removed meanwhile.", remedy="Add the file again.")
        if embedded is not None:
            await connection.execute(queries.BASE_ADOPT, base.id, embedded.model, embedded.dimensions)
        found = tuple(await connection.fetchrow(queries.BASE_LOCK, base.id))
        if found != ((embedded.model, embedded.dimensions) if embedded else (None, None)):
            return False
        ids = await _put_chunks(connection, base, document, chunks)
        if embedded is not None:
            await put_vectors(connection, base, ids, embedded)
        return True


async def _put_chunks(connection: Connection, base: BaseRow, document: Document, chunks: Sequence[Chunk]) -> list[int]:
    document_id = await connection.fetchval(
        queries.DOCUMENT_SET,
        base.organization_id,
        base.id,
        document.name,
        document.title,
        document.media_type,
        document.sha256,
        document.characters,
        len(chunks),
    )
    await connection.execute(queries.CHUNKS_CLEAR, document_id)
    rows = await connection.fetch(
        queries.CHUNKS_ADD,
        base.organization_id,
        base.id,
        document_id,
        base.language,
        [chunk.seq for chunk in chunks],
        [chunk.heading for chunk in chunks],
        [chunk.place for chunk in chunks],
        [chunk.text for chunk in chunks],
    )
    return [row["id"] for row in rows]


async def put_vectors(connection: Connection, base: BaseRow, ids: Sequence[int], given: Embedded) -> None:
    """Write the vectors of these chunks; of one that is gone meanwhile, none."""
    sql = given.kept_in.sql(queries.VECTORS_ADD)
    await connection.execute(sql, base.organization_id, base.id, given.dimensions, list(ids), list(given.vectors))
