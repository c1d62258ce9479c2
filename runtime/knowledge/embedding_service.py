"""Embeddings over HTTP, as OpenAI has them and many servers after it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import httpx
from pydantic import BaseModel, Field, ValidationError

from runtime.errors import Unreachable

__all__ = ["DEFAULT_BASE_URL", "EmbeddingFailed", "EmbeddingService"]

DEFAULT_BASE_URL = "https://api.openai.com/v1"

# OpenAI takes 2048 texts and 300 000 tokens a request; smaller ones show progress and are cheap to repeat.
_BATCH = 96
_TRIES = 4
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 20.0


class EmbeddingFailed(Unreachable):
    """The embedding provider did not do what it was asked."""


class _Row(BaseModel):
    index: int
    embedding: list[Annotated[float, Field(allow_inf_nan=False)]]


class _Answer(BaseModel):
    data: list[_Row]


class EmbeddingService:
    """The model `model` of an OpenAI-compatible server; what fails in passing is tried again within the caller's time."""

    def __init__(self, model: str, *, key: str | None, base_url: str = DEFAULT_BASE_URL) -> None:
        self.name = f"openai:{model}"
        self._model = model
        self._url = f"{base_url.rstrip('/')}/embeddings"
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx.AsyncClient(headers=headers, timeout=None)  # noqa: S113 - `embed` has its own

    async def aclose(self) -> None:
        await self._http.aclose()

    async def embed(self, texts: Sequence[str], *, timeout_s: float) -> list[Sequence[float]]:
        """Return a vector for each text; raises `EmbeddingFailed`, which names no part of the texts."""
        vectors: list[Sequence[float]] = []
        try:
            async with asyncio.timeout(timeout_s):
                for start in range(0, len(texts), _BATCH):
                    vectors += await self._batch(texts[start : start + _BATCH])
        except TimeoutError as error:
            raise self._failed(f"did not answer within {timeout_s:.1f} s") from error
        if len({len(vector) for vector in vectors}) > 1:
            raise self._failed("returned vectors of different lengths")
        return vectors

    async def _batch(self, texts: Sequence[str]) -> list[Sequence[float]]:
        pause = _FIRST_PAUSE_S
        for attempt in range(1, _TRIES + 1):
            try:
                response = await self._http.post(self._url, json={"model": self._model, "input": list(texts)})
            except httpx.TransportError as error:
                if attempt == _TRIES:
                    raise self._failed(f"cannot be reached ({type(error).__name__})") from error
            else:
                if response.is_success:
                    return self._vectors(response, len(texts))
                if attempt == _TRIES or not _is_passing(response.status_code):
                    raise self._failed(f"answers with status {response.status_code}")
                pause = max(pause, _asked_for(response))
            await asyncio.sleep(min(pause, _LONGEST_PAUSE_S))
            pause *= 2
        raise AssertionError

    def _vectors(self, response: httpx.Response, count: int) -> list[Sequence[float]]:
        try:
            rows = sorted(_Answer.model_validate_json(response.content).data, key=lambda row: row.index)
        except ValidationError as error:
            raise self._failed("answers with something that is no list of embeddings") from error
        if [row.index for row in rows] != list(range(count)):
            raise self._failed("answers with another number of embeddings than it was asked for")
        return [row.embedding for row in rows]

    def _failed(self, what: str) -> EmbeddingFailed:
        return EmbeddingFailed(
            f"The embedding provider ({self._url}, model {self._model}) {what}.",
            remedy="Check PATCHBAY_EMBEDDING, PATCHBAY_EMBEDDING_BASE_URL and OPENAI_API_KEY.",
        )


def _is_passing(status: int) -> bool:
    return status in {408, 409, 429} or status >= 500


def _asked_for(response: httpx.Response) -> float:
    """Return the seconds of `Retry-After`, 0 where there is none or a date."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0
