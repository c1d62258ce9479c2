"""Documents cut into chunks."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from runtime.knowledge.chunks import LONGEST, chunks_of
from runtime.knowledge.documents import Document
from runtime.knowledge.outline import Part


def document(*parts: Part) -> Document:
    return Document("a.md", "Guide", "text/markdown", "0" * 64, parts)


def test_a_short_part_is_one_chunk_with_its_headings() -> None:
    chunks = chunks_of(document(Part("", "Intro"), Part("Guide › Refunds", "A week."), Part("page 3", "Hours")))
    assert [(chunk.seq, chunk.heading, chunk.place, chunk.text) for chunk in chunks] == [
        (1, "Guide", "", "Intro"),
        (2, "Guide › Refunds", "Guide › Refunds", "A week."),
        (3, "Guide › page 3", "page 3", "Hours"),
    ]


def test_a_long_part_is_cut_between_sentences_and_overlaps() -> None:
    sentences = [f"This is sentence number {number} of a long story about nothing." for number in range(100)]
    chunks = chunks_of(document(Part("", " ".join(sentences))))
    assert all(700 <= len(chunk.text) <= LONGEST for chunk in chunks[:-1])
    assert all(chunk.text.endswith("nothing.") for chunk in chunks)
    assert all(chunk.text.startswith("This is") for chunk in chunks)
    for one, next_one in pairwise(chunks):
        assert one.text.split(". ")[-1] in next_one.text
    assert all(any(sentence in chunk.text for chunk in chunks) for sentence in sentences)


def test_a_table_that_fits_stays_together() -> None:
    table = "| a | b |\n|---|---|\n" + "".join(f"| {number} | value |\n" for number in range(30))
    prose = "Words and more words. " * 40
    chunks = chunks_of(document(Part("Guide", f"{prose}\n\n{table}\n\n{prose}", "markdown")))
    assert any(table.strip() in chunk.text for chunk in chunks)


@given(st.text(min_size=1, max_size=5000))
def test_nothing_is_lost_and_nothing_is_too_long(text: str) -> None:
    chunks = chunks_of(document(Part("", text)))
    assert all(0 < len(chunk.text) <= LONGEST for chunk in chunks)
    assert set("".join(text.split())) == set("".join("".join(chunk.text for chunk in chunks).split()))
