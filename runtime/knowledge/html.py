"""HTML as parts: what a reader sees below each heading, without menus and scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from runtime.knowledge.outline import Outline

__all__ = ["read_html"]

_UNSEEN = "head, script, style, noscript, template, nav, footer, aside, svg, iframe, button, select, [hidden]"
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# `tr` gets a line and no paragraph, so that a table stays together.
_PARAGRAPHS = frozenset(
    {"p", "div", "section", "article", "main", "header", "ul", "ol", "dl", "table", "blockquote", "pre", "figure"}
    | {"form", "fieldset", "address", "details", "hr"}
)
_LINES = frozenset({"li", "tr", "br", "dt", "dd", "caption", "summary", "figcaption", "option"})
_SPACES = re.compile(r"\s+")


def read_html(text: str) -> Outline:
    """Return the outline of a page; its title is the first `h1`, else the page's own."""
    page = LexborHTMLParser(text)
    title = page.css_first("title")
    own_title = " ".join(title.text().split()) if title is not None else ""
    for node in page.css(_UNSEEN):
        node.decompose()
    outline = Outline()
    if page.body is not None:
        _Reader(outline).read(page.body)
    outline.title = outline.title or own_title
    return outline


class _Reader:
    """Turns nodes in their order into headings and lines of text."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._written: list[str] = []
        self._heading = 0
        self._preformatted = 0

    def read(self, body: LexborNode) -> None:
        for node, leaving in _walk(body):
            tag = node.tag or ""
            if node.is_text_node:
                self._text(node.text_content or "")
            elif tag in _HEADINGS:
                self._at_heading(_HEADINGS[tag], leaving=leaving)
            else:
                self._at(tag, leaving=leaving)
        self._flush()

    def _text(self, text: str) -> None:
        self._written.append(text if self._preformatted else _SPACES.sub(" ", text))

    def _at_heading(self, level: int, *, leaving: bool) -> None:
        if not leaving:
            self._flush()
        elif text := self._taken().strip():
            self._outline.heading(level, text)

    def _at(self, tag: str, *, leaving: bool) -> None:
        self._preformatted += (tag == "pre") * (-1 if leaving else 1)
        if tag in {"td", "th"} and not leaving:
            self._written.append(" | " if self._written and not self._written[-1].endswith("\n") else "")
        elif tag in _PARAGRAPHS:
            self._written.append("\n\n")
        elif tag in _LINES:
            self._written.append("" if leaving else "\n- " if tag == "li" else "\n")

    def _flush(self) -> None:
        self._outline.text(self._taken())

    def _taken(self) -> str:
        text = "".join(self._written)
        self._written.clear()
        return re.sub(r"(?m)^ (?=\S)| +$", "", text)


def _walk(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Yield each node on entering it, and on leaving it with True; without recursion, for pages nest without bound."""
    stack = [(root, False)]
    while stack:
        node, leaving = stack.pop()
        yield node, leaving
        if leaving or node.is_text_node:
            continue
        stack.append((node, True))
        stack.extend((child, False) for child in reversed(list(node.iter(include_text=True))))
