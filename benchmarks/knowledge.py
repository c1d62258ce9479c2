"""`python -m benchmarks.knowledge`: how long a search takes among 100 000 chunks, by words alone and with meaning fused.

The chunks are made up: words as frequent as in a language (Zipf), a topic each, and a vector near its topic's. A tenth of them
belongs to another base, which no answer may come from. Questions are of a topic's words and frequent ones; the local model
embeds each for its time's sake, where it is installed, and the topic's vector is what is searched for. `--quick` is 20 000 chunks.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import ProviderMissing
from runtime.knowledge import queries
from runtime.knowledge.embedding import Embedder, LocalEmbedder, Vector, as_literal
from runtime.knowledge.library import Library
from runtime.knowledge.searching import OrganizationKnowledge, Searcher
from runtime.knowledge.vectors import find_vectors
from runtime.logging import configure_logging
from runtime.store.opening import open_store
from runtime.store.pool import Database

_TOPICS = 500
_DIMENSIONS = 512
_WORDS = 30_000
_WORDS_A_CHUNK = 130
_BATCH = 2000
_SYLLABLES = [first + rest for first in "bdfgklmnprstvz" for rest in ("a", "e", "i", "o", "u", "ei", "au", "or")]

Numbers = np.ndarray[Any, Any]


class World:
    """Chunks and questions of made-up topics, the same for one seed."""

    def __init__(self, seed: int = 7) -> None:
        self.random = np.random.default_rng(seed)
        self.words = np.array([_word(number) for number in range(_WORDS)])
        frequencies = 1 / (np.arange(_WORDS) + 2.7)
        self.cumulated = np.cumsum(frequencies / frequencies.sum())
        self.topics = self.random.integers(2000, _WORDS, (_TOPICS, 40))
        self.centres = self.random.normal(size=(_TOPICS, _DIMENSIONS))

    def common(self, count: int) -> Numbers:
        found: Numbers = np.searchsorted(self.cumulated, self.random.random(count)).clip(max=_WORDS - 1)
        return found

    def text(self, topic: int) -> str:
        common = self.common(_WORDS_A_CHUNK * 2 // 3)
        own = self.random.choice(self.topics[topic], _WORDS_A_CHUNK // 3)
        numbers = self.random.permutation(np.concatenate([common, own]))
        return " ".join(self.words[numbers])

    def vector(self, topic: int) -> list[float]:
        found: list[float] = (self.centres[topic] + self.random.normal(size=_DIMENSIONS)).tolist()
        return found

    def question(self, topic: int) -> str:
        own = self.random.choice(self.topics[topic], 3, replace=False)
        common = self.common(4)
        return " ".join(self.words[np.concatenate([own, common])])


def _word(number: int) -> str:
    parts = []
    number += len(_SYLLABLES)
    while number:
        number, part = divmod(number, len(_SYLLABLES))
        parts.append(_SYLLABLES[part])
    return "".join(parts)


class TopicEmbedder:
    """Takes the local model's time, and returns a vector of the question's topic."""

    name = "benchmark"

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: dict[str, int] = {}
        try:
            self._local: LocalEmbedder | None = LocalEmbedder()
        except ProviderMissing:
            self._local = None

    async def embed(self, texts: Sequence[str], *, timeout_s: float) -> list[Vector]:
        if self._local is not None:
            await self._local.embed(texts, timeout_s=timeout_s)
        return [self.world.vector(self.asked[text]) for text in texts]


async def fill(database: Database, organization_id: str, world: World, embedder: TopicEmbedder, chunks: int) -> None:
    """Write the chunks as one document of each base, with the vector index built once at the end."""
    for base, share in (("benchmark", 0.9), ("other", 0.1)):
        await database.fetch(queries.BASE_MAKE, organization_id, base, "english")
        row = await Library(database, organization_id).base(base)
        document = (
            await database.fetch(
                queries.DOCUMENT_SET,
                organization_id,
                row.id,
                base,
                base,
                "text/plain",
                "0" * 64,
                0,
                int(chunks * share),
            )
        )[0]["id"]
        await database.fetch("drop index if exists public.knowledge_vector_512")
        for start in range(0, int(chunks * share), _BATCH):
            await _write(database, (organization_id, row.id, document), world, range(start, start + _BATCH))
            print(f"\r{base}: {start + _BATCH:,} chunks", end="", file=sys.stderr)
        await database.fetch(queries.BASE_EMBEDDED, row.id, embedder.name, _DIMENSIONS)
        await Library(database, organization_id, embedder).count_words(base)
    await _index(database)


async def _write(database: Database, ids: tuple[str, str, str], world: World, numbers: range) -> None:
    vectors = await find_vectors(database)
    assert vectors is not None, "the embedded Postgres has pgvector"
    organization_id, base_id, document_id = ids
    topics = [number % _TOPICS for number in numbers]
    texts = [world.text(topic) for topic in topics]
    headings = ["benchmark"] * len(topics)
    rows = await database.fetch(
        queries.CHUNKS_ADD,
        organization_id,
        base_id,
        document_id,
        "english",
        [number + 1 for number in numbers],
        headings,
        [str(topic) for topic in topics],
        texts,
    )
    literals = [as_literal(world.vector(topic)) for topic in topics]
    chunk_ids = [row["id"] for row in rows]
    await database.fetch(vectors.sql(queries.VECTORS_ADD), organization_id, base_id, _DIMENSIONS, chunk_ids, literals)


async def _index(database: Database) -> None:
    started = time.perf_counter()
    async with database.connection() as connection:
        await connection.execute("set maintenance_work_mem = '512MB'; set statement_timeout = 0", timeout=1800)
        await connection.execute(
            "create index knowledge_vector_512 on public.knowledge_vector "
            "using hnsw ((embedding::halfvec(512)) halfvec_cosine_ops) where dimensions = 512",
            timeout=1800,
        )
        await connection.execute("vacuum analyze", timeout=600)
    print(f"\rvector index built in {time.perf_counter() - started:.0f} s", file=sys.stderr)


async def measure(knowledge: OrganizationKnowledge, world: World, embedder: TopicEmbedder, searches: int) -> Numbers:
    """Return for each search its milliseconds, and the share of its answers that are of the question's topic."""
    found = []
    for number in range(searches + 20):
        topic = (number * 37) % _TOPICS
        question = world.question(topic)
        embedder.asked[question] = topic
        started = time.perf_counter()
        passages = await knowledge.search(["benchmark"], question, limit=4)
        took = 1e3 * (time.perf_counter() - started)
        assert all(passage.knowledge_base == "benchmark" for passage in passages)
        found.append((took, statistics.fmean(passage.place == str(topic) for passage in passages) if passages else 0))
    return np.array(found[20:])


def _line(name: str, found: Numbers) -> str:
    took = sorted(found[:, 0])
    p95 = took[math.ceil(0.95 * len(took)) - 1]
    return f"{name:24}{statistics.median(took):10.1f}{p95:10.1f}{took[-1]:10.1f}{found[:, 1].mean():12.2f}"


async def run(chunks: int, searches: int, home: Path | None) -> None:
    world = World()
    embedder = TopicEmbedder(world)
    async with AsyncExitStack() as stack:
        home = home or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = await stack.enter_async_context(open_store(None, home))
        organization_id = (await database.ensure_organization("benchmark")).id
        if not await Library(database, organization_id).bases():
            await fill(database, organization_id, world, embedder, chunks)
        print(f"{chunks:,} chunks{'median ms':>23}{'p95 ms':>10}{'most ms':>10}{'on topic':>12}")
        ways: dict[str, Embedder | None] = {"words": None, "words and meaning": embedder}
        for name, used in ways.items():
            knowledge = Searcher(database, used).of(organization_id)
            print(_line(name, await measure(knowledge, world, embedder, searches)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.knowledge", description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--searches", type=int, default=300)
    parser.add_argument(
        "--home", type=Path, help="where to make the database; one that is filled already is used as it is"
    )
    parser.add_argument("--quick", action="store_true", help="20 000 chunks")
    options = parser.parse_args()
    configure_logging("error", "console")
    asyncio.run(run(20_000 if options.quick else options.chunks, options.searches, options.home))


if __name__ == "__main__":
    main()
