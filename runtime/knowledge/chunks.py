"""Documents cut into chunks: at headings, paragraphs and sentences, with an overlap, never inside a word that fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from runtime.knowledge.documents import Document
from runtime.knowledge.outline import Format

__all__ = ["LONGEST", "Chunk", "chunks_of"]

LONGEST = 1200
"""Characters of a chunk: small enough for four of them in a prompt, large enough for a paragraph with its context."""
_ENOUGH = 800
_OVERLAP = 150


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document; `seq` counts from 1, `heading` (title and place) helps to find it and is not read out."""

    seq: int
    heading: str
    place: str
    text: str


def chunks_of(document: Document) -> tuple[Chunk, ...]:
    """Return the document's chunks in its order, each of one part."""
    return tuple(
        Chunk(number, _heading(document.title, place), place, text)
        for number, (place, text) in enumerate(_pieces(document), start=1)
    )


def _pieces(document: Document) -> Iterator[tuple[str, str]]:
    for part in document.parts:
        for text in _splitter(part.format).chunks(part.text):
            if text:
                yield part.place, text


def _heading(title: str, place: str) -> str:
    return place if place.startswith(title) else f"{title} › {place}" if place else title


@cache
def _splitter(text_format: Format) -> MarkdownSplitter | TextSplitter:
    if text_format == "markdown":
        return MarkdownSplitter((_ENOUGH, LONGEST), overlap=_OVERLAP)
    return TextSplitter((_ENOUGH, LONGEST), overlap=_OVERLAP)
