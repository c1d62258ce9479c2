"""A document as parts, each below its headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from runtime.knowledge.passages import cleaned

__all__ = ["Format", "Outline", "Part"]

Format = Literal["text", "markdown"]

_MAX_HEADING = 200
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a document with one place: a page, or what stands below one heading."""

    place: str
    text: str
    format: Format = "text"


class Outline:
    """Gathers the parts of a document as it is read from its beginning."""

    def __init__(self, text_format: Format = "text") -> None:
        self.title = ""
        self._format: Format = text_format
        self._headings: list[tuple[int, str]] = []
        self._parts: list[Part] = []

    def heading(self, level: int, text: str) -> None:
        """Begin what stands below a heading of this level (1 to 6); the first of level 1 is the title."""
        name = " ".join(cleaned(text).split())[:_MAX_HEADING]
        if level == 1 and not self.title:
            self.title = name
        self._headings = [*(above for above in self._headings if above[0] < level), (level, name)]

    def text(self, text: str) -> None:
        """Add what stands below the last heading; nothing where it is blank."""
        if kept := _BLANK_LINES.sub("\n\n", cleaned(text)).strip():
            place = " › ".join(name for _level, name in self._headings if name)
            self._parts.append(Part(place, kept, self._format))

    def parts(self) -> tuple[Part, ...]:
        """Return what was gathered; where a document is nothing but headings, these."""
        if not self._parts and (names := "\n".join(name for _level, name in self._headings if name)):
            return (Part("", names, self._format),)
        return tuple(self._parts)
