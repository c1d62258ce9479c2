"""A model whose meaning of a text is which of a few topics its words are of."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.knowledge.embedding_service import EmbeddingFailed

__all__ = ["TopicModel"]

TOPICS = (("refund", "money", "back", "pay"), ("open", "hours", "come", "saturday"), ("parcel", "delivery", "ship"))


class TopicModel:
    """Counts what it was asked, and fails while it is `away`."""

    def __init__(self, name: str = "fake:topics", *, dimensions: int = 256) -> None:
        self.name = name
        self.dimensions = dimensions
        self.asked: list[str] = []
        self.away = False

    async def embed(self, texts: Sequence[str], *, timeout_s: float) -> list[Sequence[float]]:
        if self.away:
            raise EmbeddingFailed("The provider is away.")
        self.asked += texts
        return [self._vector(text.lower()) for text in texts]

    def _vector(self, text: str) -> list[float]:
        counts = [float(sum(word in text for word in topic)) for topic in TOPICS]
        return [*counts, 0.1, *([0.0] * (self.dimensions - len(counts) - 1))]
