"""Bases and documents as they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

__all__ = ["Added", "BaseRow", "DocumentRow", "Status", "base_row", "document_row"]

Status = Literal["added", "replaced", "unchanged"]


@dataclass(frozen=True, slots=True)
class BaseRow:
    """A base. `embedding` is the model of its vectors, `dimensions` their length; both None without vectors."""

    id: str
    organization_id: str
    name: str
    language: str
    embedding: str | None
    dimensions: int | None
    documents: int
    chunks: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document. `sha256` is that of the file it was read from, `characters` and `chunks` are what was read."""

    id: str
    name: str
    title: str
    media_type: str
    sha256: str
    characters: int
    chunks: int
    added_at: datetime


@dataclass(frozen=True, slots=True)
class Added:
    """What came of a document; `embedded` whether it can be found by meaning."""

    status: Status
    document: DocumentRow
    embedded: bool


def base_row(row: Any) -> BaseRow:
    kept = {name: row[name] for name in BaseRow.__slots__}
    return BaseRow(**kept | {"id": str(row["id"]), "organization_id": str(row["organization_id"])})


def document_row(row: Any) -> DocumentRow:
    return DocumentRow(**{name: row[name] for name in DocumentRow.__slots__} | {"id": str(row["id"])})
