"""What a search finds, and the text it is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Passage", "cleaned"]

_CONTROL = re.compile(r"[\x01-\x08\x0b\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that answers a query.

    `place` is a page (`page 3`) or the headings above it, empty where there is neither. `score` is 0 to 1: how much of the
    question's weight its words cover, or how near it is in meaning, whichever is more.
    """

    knowledge_base: str
    document: str
    document_id: str
    chunk: int
    place: str
    text: str
    score: float


def cleaned(text: str) -> str:
    """Return text that Postgres and JSON can hold: no NUL, no lone surrogate, no control characters, one kind of line end."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n"))
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
