"""Where a database keeps vectors, if it can: pgvector's schema, and what its version offers."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.errors import Unreachable
from runtime.knowledge import queries
from runtime.store.pool import Database

__all__ = ["Vectors", "find_vectors", "no_vectors"]


@dataclass(frozen=True, slots=True)
class Vectors:
    """pgvector as it is installed; `iterates` where a filtered index scan goes on until it has enough (from 0.8 on)."""

    place: str
    iterates: bool

    def sql(self, query: str, *, dimensions: int = 0) -> str:
        """Return one of the queries with pgvector's schema and the dimensions in it."""
        quoted = '"' + self.place.replace('"', '""') + '"'
        return query.replace("{vector}", quoted).replace("{dimensions}", str(int(dimensions)))


async def find_vectors(database: Database, *, make: bool = False) -> Vectors | None:
    """Return where vectors are kept, None where the server cannot; `make` makes the table if pgvector came later."""
    found = await database.fetch(queries.VECTORS_ARE)
    if not found and make:
        await database.fetch(queries.VECTORS_MAKE)
        found = await database.fetch(queries.VECTORS_ARE)
    return Vectors(found[0]["place"], found[0]["iterates"]) if found else None


def no_vectors(place: str) -> Unreachable:
    return Unreachable(
        f"The database {place} has no pgvector (0.7 or later), so nothing can be embedded.",
        remedy="Install pgvector on the server, or unset PATCHBAY_EMBEDDING: knowledge is then found by its words.",
    )
