"""What a voice says of a text that streams in: no markup, no emoji."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

from livekit.agents.voice.transcription.filters import (
    EMOJI_PATTERN,
    INLINE_SPLIT_TOKENS,
    filter_emoji,
    filter_markdown,
)

__all__ = ["sayable"]

_MARKS: Final = re.compile(r"[*_`~\[\n]")
_LINE_MARK: Final = re.compile(r"\s*[-+#>]")
_BEGUN: Final = "x"
_UNFINISHED: Final = ("#", "-", "+", ">", "!", " ")
"""What may be the beginning of a mark."""


async def sayable(text: AsyncIterable[str]) -> AsyncIterator[str]:
    """Yield the text as LiveKit's `filter_markdown` and `filter_emoji` do, in whole words.

    They take some twenty regular expressions to each piece; most answers have nothing in them to be filtered, and are
    let through up to the first sign of it.
    """
    pieces = aiter(text)
    held, at_start = "", True
    async for piece in pieces:
        held += piece
        if _is_marked(held, at_start=at_start):
            async for filtered in _filtered(held, pieces, at_start=at_start):
                yield filtered
            return
        end = max(map(held.rfind, INLINE_SPLIT_TOKENS))
        if end >= 1 and not held.endswith(_UNFINISHED, 0, end):
            yield held[:end]
            held, at_start = held[end:], False
    if held:
        yield held


def _is_marked(text: str, *, at_start: bool) -> bool:
    """Whether there may be something to filter; `at_start`: the text begins its line."""
    if _MARKS.search(text) or (at_start and _LINE_MARK.match(text)):
        return True
    return not text.isascii() and EMOJI_PATTERN.search(text) is not None


async def _filtered(held: str, rest: AsyncIterator[str], *, at_start: bool) -> AsyncIterator[str]:
    """Filter what is left; a line that has begun is shown to have begun by a letter, which is taken off again."""
    stream = aiter(filter_emoji(filter_markdown(_joined(held if at_start else _BEGUN + held, rest))))
    if not at_start:
        async for first in stream:
            yield first.removeprefix(_BEGUN)
            break
    async for piece in stream:
        yield piece


async def _joined(held: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield held
    async for piece in rest:
        yield piece
