"""Which words of a question are worth looking for, and how two rankings become one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["CANDIDATES", "MOST_TERMS", "Hit", "Terms", "choose_terms", "fuse"]

CANDIDATES = 800
"""Chunks that are ranked by their words at most: what is in more of them than this tells little, and costs."""
MOST_TERMS = 12

# Of Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods" (2009).
_RRF_K = 60


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk and how well it fits, 0 to 1."""

    chunk_id: int
    score: float


@dataclass(frozen=True, slots=True)
class Terms:
    """A question's lexemes, the rarest first, with weights that sum to 1.

    Those of `rare` select what is ranked, any of them; where there is none, all lexemes have to be in a chunk.
    """

    lexemes: tuple[str, ...]
    weights: tuple[float, ...]
    rare: tuple[str, ...]


def choose_terms(chunks_with: Mapping[str, int], total: int) -> Terms:
    """Weigh lexemes by how few of the `total` chunks have them (inverse document frequency)."""
    chosen = sorted(chunks_with, key=lambda lexeme: (chunks_with[lexeme], lexeme))[:MOST_TERMS]
    weights = [math.log1p(max(total, 1) / max(chunks_with[lexeme], 1)) for lexeme in chosen]
    rare, room = [], CANDIDATES
    for lexeme in chosen:
        room -= chunks_with[lexeme]
        if room < 0:
            break
        rare.append(lexeme)
    whole = sum(weights)
    return Terms(tuple(chosen), tuple(weight / whole for weight in weights), tuple(rare))


def fuse(*rankings: Sequence[Hit], limit: int) -> list[Hit]:
    """Return the best of several rankings by reciprocal rank; each hit keeps its best score."""
    ranks: dict[int, float] = {}
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, hit in enumerate(ranking, start=1):
            ranks[hit.chunk_id] = ranks.get(hit.chunk_id, 0.0) + 1 / (_RRF_K + place)
            scores[hit.chunk_id] = max(scores.get(hit.chunk_id, 0.0), hit.score)
    best = sorted(ranks, key=lambda chunk: (-ranks[chunk], -scores[chunk], chunk))[:limit]
    return [Hit(chunk, scores[chunk]) for chunk in best]
