"""What a voice says of a text that streams in: the same as with LiveKit's own filters."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.agents.voice.transcription.filters import filter_emoji, filter_markdown

from runtime.voice.sayable import sayable

PLAIN = (" ", ", ", ".", "\n", "word", "a", "It is", " 5 ", "!", "ß", "你好", "，", "x")
MARKED = ("*", "**", "_", "~~", "`", "```", "# ", "- ", "-", "+", ">", "[", "](", ")", "[a](b)", "😀", "❤️")


async def _stream(pieces: Sequence[str]) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece


async def _all(text: AsyncIterable[str]) -> str:
    return "".join([piece async for piece in text])


@given(st.lists(st.sampled_from(PLAIN + MARKED), max_size=14))
async def test_the_same_comes_of_it_as_with_livekits_filters(pieces: list[str]) -> None:
    expected = await _all(filter_emoji(filter_markdown(_stream(pieces))))
    assert await _all(sayable(_stream(pieces))) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Of course, let me have a look.", "Of course, let me have a look."),
        ("It is **really** good", "It is really good"),
        ("Good - bad", "Good - bad"),
        ("- first\n- second", "first\nsecond"),
        ("Fine 😀, then", "Fine , then"),
        ("", ""),
    ],
)
async def test_markup_and_emoji_are_left_out_word_by_word(text: str, said: str) -> None:
    assert await _all(sayable(_stream(list(text)))) == said


async def test_words_are_let_through_as_soon_as_they_are_whole() -> None:
    pieces = sayable(_stream(["Of cour", "se, let ", "me"]))
    assert await anext(pieces) == "Of"
    assert await anext(pieces) == " course, let"
    assert await anext(pieces) == " me"
