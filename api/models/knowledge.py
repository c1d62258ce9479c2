"""Knowledge bases, their documents and what a search finds, as the API takes and shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.models.common import Body, Name, Storable, shown

__all__ = [
    "KnowledgeBase",
    "KnowledgeDocument",
    "NewKnowledgeBase",
    "Passage",
    "PutDocument",
    "SearchAnswer",
    "SearchQuestion",
]


class NewKnowledgeBase(Body):
    """A base to be made."""

    model_config = shown({"name": "handbook", "language": "english"})

    name: Name = Field(description="What an agent's `knowledge` lists.")
    language: str = Field(
        "simple",
        pattern=r"^[a-z][a-z0-9_]*$",
        max_length=63,
        description="One of Postgres's: english, german, …; `simple` fits any language and knows no inflections.",
    )


class KnowledgeBase(BaseModel):
    """Documents that agents look things up in."""

    id: UUID
    organization_id: UUID
    name: str
    language: str
    embedding: str | None = Field(description="The model of its vectors; null where it is found by its words alone.")
    dimensions: int | None
    documents: int = Field(description="How many documents it has.")
    chunks: int = Field(description="How many passages they were cut into.")
    created_at: datetime


class KnowledgeDocument(BaseModel):
    """A document of a base."""

    id: UUID
    organization_id: UUID
    knowledge_base_id: UUID
    name: str = Field(description="What tells it from the base's others.")
    title: str
    media_type: str
    sha256: str = Field(description="That of the file's bytes.")
    characters: int
    chunks: int
    added_at: datetime


class PutDocument(KnowledgeDocument):
    """A document, and what came of putting it."""

    status: Literal["added", "replaced", "unchanged"]
    embedded: bool = Field(description="Whether it can be found by meaning, and not by its words alone.")


class SearchQuestion(Body):
    """What is looked for."""

    model_config = shown({"query": "How long may I return a bicycle?"})

    query: Annotated[Storable, Field(min_length=1, max_length=1000, description="The question, as a caller asks it.")]
    limit: int = Field(4, ge=1, le=50, description="Passages at most.")


class Passage(BaseModel):
    """A piece of a document that answers the question."""

    knowledge_base: str
    document: str = Field(description="The document's title.")
    document_id: UUID
    chunk: int = Field(description="Its number in the document, from 1.")
    place: str = Field(description="A page or the headings above it; empty where there is neither.")
    text: str
    score: float = Field(description="0 to 1.")


class SearchAnswer(BaseModel):
    """What was found, best first."""

    items: list[Passage]
    next: str | None = Field(None, description="Always null: a search has one part.")
    notes: list[str] = Field(description="Why it was searched by words alone, where it was.")
