"""Markdown as parts: what stands below each heading, as it was written."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt

from runtime.knowledge.outline import Outline

__all__ = ["read_markdown"]

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)


def read_markdown(text: str) -> Outline:
    """Return the outline of a Markdown text; front matter is left out, and a `#` inside a code block is no heading."""
    text = _FRONT_MATTER.sub("", text, count=1)
    lines = text.splitlines(keepends=True)
    outline, start = Outline("markdown"), 0
    tokens = MarkdownIt("commonmark").parse(text)
    for number, token in enumerate(tokens):
        if token.type != "heading_open" or token.level != 0 or token.map is None:
            continue
        outline.text("".join(lines[start : token.map[0]]))
        outline.heading(int(token.tag[1]), tokens[number + 1].content)
        start = token.map[1]
    outline.text("".join(lines[start:]))
    return outline
