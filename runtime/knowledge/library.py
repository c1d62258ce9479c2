"""An organization's bases and documents: added, listed, removed, embedded."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from runtime.errors import NotFound, UsageFault
from runtime.knowledge import queries
from runtime.knowledge.chunks import chunks_of
from runtime.knowledge.documents import Document
from runtime.knowledge.embedding import Embedder, as_literal
from runtime.knowledge.rows import Added, BaseRow, DocumentRow, base_row, document_row
from runtime.knowledge.vectors import Vectors, find_vectors, no_vectors
from runtime.knowledge.writing import Embedded, put_document, put_vectors
from runtime.store.pool import Connection, Database

__all__ = ["Library"]

Progress = Callable[[int], object]

_BATCH = 32
_EMBEDDING_S = 120.0
_LEXEMES = 5000
_SAMPLE = 1000
"""Words by which a language is guessed."""
_FEWEST_STOP_WORDS = 0.15


class Library:
    """The bases of one organization. `embedder` is the model in force, None where knowledge is found by words alone."""

    def __init__(self, database: Database, organization_id: str, embedder: Embedder | None = None) -> None:
        self._database = database
        self._organization_id = organization_id
        self._embedder = embedder

    async def bases(self) -> list[BaseRow]:
        return [base_row(row) for row in await self._database.fetch(queries.BASES, self._organization_id)]

    async def base(self, name: str) -> BaseRow:
        """Return a base; raises `NotFound`."""
        found = await self._database.fetch(queries.BASE, self._organization_id, name)
        if not found:
            names = ", ".join(base.name for base in await self.bases())
            raise NotFound(
                f"There is no knowledge base '{name}'.",
                remedy=f"Knowledge bases: {names}."
                if names
                else "There is none yet: patchbay knowledge add makes one.",
            )
        return base_row(found[0])

    async def documents(self, base: str) -> list[DocumentRow]:
        """Return a base's documents by name; raises `NotFound`."""
        rows = await self._database.fetch(queries.DOCUMENTS, (await self.base(base)).id)
        return [document_row(row) for row in rows]

    async def check(self, base: str, *, language: str | None = None) -> BaseRow | None:
        """Return the base as it is, None where it is still to be made; raises `UsageFault` where nothing can be added to it so."""
        if language is not None:
            await self._check_language(language)
        rows = await self._database.fetch(queries.BASE, self._organization_id, base)
        if not rows:
            return None
        found = base_row(rows[0])
        if language not in {None, found.language}:
            raise UsageFault(
                f"The language of '{base}' is {found.language}.",
                remedy=f"Leave --language out, or begin anew: patchbay knowledge remove '{base}'",
            )
        model = self._embedder.name if self._embedder else None
        if found.embedding not in {None, model}:
            raise UsageFault(
                f"'{base}' is embedded with {found.embedding}, and PATCHBAY_EMBEDDING names {model or 'no model'}.",
                remedy=f"Name that model again, or change the base to the one in force: patchbay knowledge embed '{base}'",
            )
        return found

    async def add(
        self, base: str, document: Document, *, language: str | None = None, on_chunks: Progress | None = None
    ) -> Added:
        """Add a document, or put it in the place of the one of its name; one of equal content stays as it is.

        The base is made where it is missing; without `language` (one of Postgres's, such as `german`) that is guessed
        from the document. `on_chunks` hears how many chunks more have been embedded.
        """
        while True:
            found = await self._made(base, document, language)
            rows = await self._database.fetch(queries.DOCUMENT, found.id, document.name)
            if rows and rows[0]["sha256"] == document.sha256:
                return Added("unchanged", document_row(rows[0]), embedded=found.embedding is not None)
            embedded = await self._put(found, document, on_chunks)
            if embedded is not None:
                break
        row = (await self._database.fetch(queries.DOCUMENT, found.id, document.name))[0]
        return Added("replaced" if rows else "added", document_row(row), embedded=embedded)

    async def _made(self, base: str, document: Document, language: str | None) -> BaseRow:
        found = await self.check(base, language=language)
        if found is None:
            language = language or await self._guessed(document)
            await self._database.fetch(queries.BASE_MAKE, self._organization_id, base, language)
            found = await self.base(base)
        return found

    async def _put(self, base: BaseRow, document: Document, on_chunks: Progress | None) -> bool | None:
        """Write a document and return whether with vectors; None where the base changed its model meanwhile."""
        chunks = chunks_of(document)
        embedded = await self._embedded(base, [_to_embed(each.heading, each.text) for each in chunks], on_chunks)
        done = await self._database.run(lambda connection: put_document(connection, base, document, chunks, embedded))
        return embedded is not None if done else None

    async def count_words(self, base: str) -> None:
        """Learn anew which words a base has most, where it has changed by a tenth; to be called after adding."""
        row = (await self._database.fetch(queries.BASE, self._organization_id, base) or [None])[0]
        if row is None or abs(row["chunks"] - row["counted"]) <= row["counted"] / 10:
            return

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await connection.fetch(queries.BASE_LOCK, row["id"])
                await connection.execute(queries.LEXEMES_CLEAR, row["id"])
                await connection.execute(queries.LEXEMES_COUNT, row["id"], _LEXEMES)
                await connection.execute(queries.LEXEMES_COUNTED, row["id"])

        await self._database.run(work)

    async def remove(self, base: str, document: str | None = None) -> None:
        """Remove a document (by its name), or the whole base; raises `NotFound`."""
        found = await self.base(base)
        if document is None:
            await self._database.fetch(queries.BASE_REMOVE, found.id)
            return
        rows = await self._database.fetch(queries.DOCUMENT, found.id, document)
        if not rows:
            names = ", ".join(row.name for row in await self.documents(base))
            raise NotFound(f"'{base}' has no document '{document}'.", remedy=f"Documents: {names or 'none'}.")
        await self._database.fetch(queries.DOCUMENT_REMOVE, rows[0]["id"])

    async def embed(self, base: str, *, on_chunks: Progress | None = None) -> BaseRow:
        """Give every chunk of a base a vector of the model in force; without one, take the vectors away.

        Until it is done the base is found by words alone. Raises `NotFound` and `Unreachable`.
        """
        found = await self.base(base)
        vectors = await find_vectors(self._database, make=self._embedder is not None)
        await self._database.fetch(queries.BASE_EMBEDDED, found.id, None, None)
        if vectors is not None:
            await self._database.fetch(queries.VECTORS_CLEAR, found.id)
        if self._embedder is not None:
            if vectors is None:
                raise no_vectors(self._database.place)
            await self._fill(found, vectors, self._embedder, on_chunks)
        return await self.base(base)

    async def _fill(self, base: BaseRow, vectors: Vectors, embedder: Embedder, on_chunks: Progress | None) -> None:
        while True:
            missing = await self._database.fetch(queries.VECTORS_MISSING, base.id, _BATCH)
            if not missing:
                return
            texts = [_to_embed(row["heading"], row["content"]) for row in missing]
            given = await _vectors_of(embedder, texts, vectors, on_chunks)
            ids = [row["id"] for row in missing]

            async def work(connection: Connection, ids: Sequence[int] = ids, given: Embedded = given) -> None:
                async with connection.transaction():
                    await connection.fetch(queries.BASE_LOCK, base.id)
                    await put_vectors(connection, base, ids, given)
                    # What is added while this goes on has no vector yet: the last batch is the one after which none lacks.
                    if not await connection.fetch(queries.VECTORS_MISSING, base.id, 1):
                        await connection.execute(queries.BASE_EMBEDDED, base.id, given.model, given.dimensions)

            await self._database.run(work)

    async def _embedded(self, base: BaseRow, texts: Sequence[str], on_chunks: Progress | None) -> Embedded | None:
        """Return the vectors of a document, None where its base has chunks without any: `embed` gives all of them theirs."""
        if self._embedder is None or (base.chunks and base.embedding is None):
            return None
        vectors = await find_vectors(self._database)
        return await _vectors_of(self._embedder, texts, vectors, on_chunks) if vectors else None

    async def _check_language(self, language: str) -> None:
        known = [row["cfgname"] for row in await self._database.fetch(queries.LANGUAGES)]
        if language not in known:
            raise UsageFault(f"Postgres has no language '{language}'.", remedy=f"Languages: {', '.join(known)}.")

    async def _guessed(self, document: Document) -> str:
        sample = " ".join(part.text for part in document.parts[:50])[: _SAMPLE * 12]
        words = re.findall(r"[^\W\d_]+", sample.lower())[:_SAMPLE]
        rows = await self._database.fetch(queries.STOP_WORDS, words)
        return rows[0]["language"] if rows and rows[0]["words"] >= _FEWEST_STOP_WORDS * len(words) else "simple"


async def _vectors_of(
    embedder: Embedder, texts: Sequence[str], kept_in: Vectors, on_chunks: Progress | None
) -> Embedded:
    literals: list[str] = []
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        literals += [as_literal(vector) for vector in await embedder.embed(batch, timeout_s=_EMBEDDING_S)]
        if on_chunks is not None:
            on_chunks(len(batch))
    return Embedded(embedder.name, literals, kept_in)


def _to_embed(heading: str, text: str) -> str:
    return f"{heading}\n{text}"
