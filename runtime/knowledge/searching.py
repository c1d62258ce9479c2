"""Searches an organization's bases by words and by meaning at once, and answers by words alone where meaning is late."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from runtime.errors import NotFound, StoreUnreachable, Unreachable
from runtime.knowledge import queries
from runtime.knowledge.embedding import Embedder, as_literal
from runtime.knowledge.passages import Passage, cleaned
from runtime.knowledge.ranking import Hit, Terms, choose_terms, fuse
from runtime.knowledge.vectors import Vectors, find_vectors
from runtime.store.pool import Connection, Database
from runtime.tasks import cancel_and_wait, spawn

__all__ = ["EMBEDDING_S", "Answer", "OrganizationKnowledge", "Searcher"]

_RANKED = 30
"""Hits of each ranking that are fused."""
_EXACT_UP_TO = 4000
"""Vectors that are compared one by one: it takes no longer than an index would, and misses nothing."""
_LONGEST_QUERY = 1000
_CACHED_QUERIES = 512
EMBEDDING_S = 1.5
"""What a caller waits for a question's meaning at most."""
_PREPARING_S = 60.0

_log = structlog.get_logger("knowledge")


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found, best first, and in `notes` why it was found by words alone, where it was."""

    passages: tuple[Passage, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Base:
    id: Any
    name: str
    language: str
    embedding: str | None
    dimensions: int | None
    chunks: int
    counted: int


class Searcher:
    """The knowledge of every organization of a database; one for a process. It owns neither of what it is given.

    A question is embedded within `embedding_s` seconds, or it is answered by words alone.
    """

    def __init__(
        self, database: Database, embedder: Embedder | None = None, *, embedding_s: float = EMBEDDING_S
    ) -> None:
        self.database = database
        self.embedder = embedder
        self.embedding_s = embedding_s
        self._vectors: Vectors | None = None
        self._embedded: OrderedDict[str, str] = OrderedDict()

    def of(self, organization_id: str) -> OrganizationKnowledge:
        """Return the knowledge of one organization."""
        return OrganizationKnowledge(self, organization_id)

    async def prepare(self) -> None:
        """Load what the first search would wait for (a second for the local model); raises `Unreachable`."""
        await self.vectors()
        if self.embedder is not None:
            await self.embedder.embed(["How may I help you?"], timeout_s=_PREPARING_S)

    async def vectors(self) -> Vectors | None:
        """Return where the database keeps vectors; asked for until there is an answer, for pgvector may come later."""
        if self._vectors is None:
            self._vectors = await find_vectors(self.database)
        return self._vectors

    async def embedded(self, query: str, timeout_s: float) -> str:
        """Return the query's vector as pgvector reads it, those of the last queries from memory; raises `EmbeddingFailed`."""
        assert self.embedder is not None
        literal = self._embedded.pop(query, None)
        if literal is None:
            literal = as_literal((await self.embedder.embed([query], timeout_s=timeout_s))[0])
        self._embedded[query] = literal
        if len(self._embedded) > _CACHED_QUERIES:
            self._embedded.popitem(last=False)
        return literal


class OrganizationKnowledge:
    """The knowledge bases of one organization, to be searched."""

    def __init__(self, searcher: Searcher, organization_id: str) -> None:
        self._searcher = searcher
        self._database = searcher.database
        self._organization_id = organization_id

    async def search(
        self, bases: Sequence[str], query: str, *, limit: int = 5, timeout_s: float = 5.0
    ) -> Sequence[Passage]:
        """Return the best passages of these bases, best first.

        Raises `NotFound` for a base that the organization does not have, `StoreUnreachable` where the database is away
        or slower than `timeout_s`.
        """
        return (await self.answer(bases, query, limit=limit, timeout_s=timeout_s)).passages

    async def answer(self, bases: Sequence[str], query: str, *, limit: int = 5, timeout_s: float = 5.0) -> Answer:
        """Search as `search` does, and say what kept it from searching by meaning."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._answer(bases, cleaned(query)[:_LONGEST_QUERY], limit, timeout_s)
        except TimeoutError as error:
            raise StoreUnreachable(f"The knowledge was not searched within {timeout_s:.1f} s.") from error

    async def _answer(self, names: Sequence[str], query: str, limit: int, timeout_s: float) -> Answer:
        bases = await self._scope(names)
        if not query.strip() or not bases:
            return Answer(())
        comparable, notes = self._comparable(bases)
        meaning = spawn(
            self._by_meaning(comparable, query, timeout_s), name="knowledge by meaning", on_error=lambda _error: None
        )
        try:
            words = await self._by_words(bases, query)
            near, note = await meaning
        finally:
            await cancel_and_wait(meaning)
        passages = await self._passages(fuse(words, near, limit=limit))
        return Answer(passages, tuple(filter(None, (*notes, note))))

    async def _scope(self, names: Sequence[str]) -> list[_Base]:
        rows = await self._database.fetch(queries.SCOPE, self._organization_id, list(names), _EXACT_UP_TO + 1)
        found = [_Base(**row) for row in rows]
        if missing := sorted(set(names) - {base.name for base in found}):
            raise NotFound(
                f"There is no knowledge base '{missing[0]}'.",
                remedy=f"Add to it: patchbay knowledge add '{missing[0]}' FILE…; see: patchbay knowledge list",
            )
        return found

    def _comparable(self, bases: Sequence[_Base]) -> tuple[list[_Base], list[str]]:
        """Return the bases whose vectors the model in force can search, and a sentence for each other that has vectors."""
        model = self._searcher.embedder.name if self._searcher.embedder else None
        notes = [
            f"'{base.name}' is embedded with {base.embedding}, and {model or 'no model'} is in force (PATCHBAY_EMBEDDING): "
            f"it was searched by words alone. To embed it anew: patchbay knowledge embed '{base.name}'"
            for base in bases
            if base.embedding not in {None, model}
        ]
        return [base for base in bases if base.embedding is not None and base.embedding == model], notes

    async def _by_words(self, bases: Sequence[_Base], query: str) -> list[Hit]:
        ids = [base.id for base in bases]
        rows = await self._database.fetch(queries.LEXEMES, query, sorted({base.language for base in bases}), ids)
        if not rows:
            return []
        terms = choose_terms(
            {row["lexeme"]: row["chunks"] for row in rows}, sum(max(base.counted, base.chunks) for base in bases)
        )
        found = await self._ranked(terms, terms.rare, ids) if terms.rare else []
        found = found or await self._ranked(terms, terms.lexemes, ids, every=True)
        return found or await self._ranked(terms, terms.lexemes[:1], ids)

    async def _ranked(
        self, terms: Terms, wanted: Sequence[str], ids: Sequence[Any], *, every: bool = False
    ) -> list[Hit]:
        own = " | ".join(_quoted(f"kb:{base_id}") for base_id in ids)
        condition = f"({own}) & ({(' & ' if every else ' | ').join(map(_quoted, wanted))})"
        asked = [_quoted(lexeme) for lexeme in terms.lexemes]
        rows = await self._database.fetch(
            queries.BY_WORDS, condition, list(ids), asked, list(terms.weights), " | ".join(asked), _RANKED
        )
        return [Hit(row["id"], min(row["coverage"], 1.0)) for row in rows]

    async def _by_meaning(self, bases: Sequence[_Base], query: str, timeout_s: float) -> tuple[list[Hit], str]:
        """Return the nearest chunks, or none and a sentence why; never fails, for the words are there as well."""
        if not bases:
            return [], ""
        try:
            vectors = await self._searcher.vectors()
            if vectors is None:
                return [], "The database has no pgvector any more: it was searched by words alone."
            literal = await self._searcher.embedded(query, min(self._searcher.embedding_s, timeout_s / 2))
            return await self._nearest(vectors, bases, literal), ""
        except Unreachable as error:
            _log.warning("knowledge_by_words_alone", reason=error.message)
            return [], f"It was searched by words alone. {error.message}"

    async def _nearest(self, vectors: Vectors, bases: Sequence[_Base], literal: str) -> list[Hit]:
        dimensions = literal.count(",") + 1
        ids = [base.id for base in bases if base.dimensions == dimensions]
        is_small = sum(base.chunks for base in bases) <= _EXACT_UP_TO
        query = vectors.sql(queries.BY_MEANING_EXACT if is_small else queries.BY_MEANING, dimensions=dimensions)

        async def work(connection: Connection) -> list[Any]:
            async with connection.transaction():
                if not is_small:
                    iterates = vectors.iterates
                    await connection.fetch(queries.BY_MEANING_ITERATES if iterates else queries.BY_MEANING_SETTINGS)
                rows: list[Any] = await connection.fetch(query, literal, ids, _RANKED)
                return rows

        rows = await self._database.run(work)
        return [Hit(row["id"], min(max(row["similarity"], 0.0), 1.0)) for row in rows]

    async def _passages(self, hits: Sequence[Hit]) -> tuple[Passage, ...]:
        rows = {row["id"]: row for row in await self._database.fetch(queries.PASSAGES, [hit.chunk_id for hit in hits])}
        return tuple(_passage(rows[hit.chunk_id], hit.score) for hit in hits if hit.chunk_id in rows)


def _passage(row: Any, score: float) -> Passage:
    return Passage(
        knowledge_base=row["knowledge_base"],
        document=row["document"],
        document_id=row["document_id"],
        chunk=row["seq"],
        place=row["place"],
        text=row["content"],
        score=round(score, 3),
    )


def _quoted(lexeme: str) -> str:
    """Return a lexeme as `tsquery` reads it."""
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"
