"""Events out of bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.voice.chat_completions import events
from runtime.voice.chat_completions.events import Events

DATA = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12).map(str.encode)


def read(stream: bytes, cuts: list[int]) -> list[bytes]:
    reader = Events()
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    found = [data for start, end in pairwise(edges) for data in reader.feed(stream[start:end])]
    return found + reader.close()


@settings(deadline=None)
@given(
    st.lists(st.lists(DATA, min_size=1, max_size=3), max_size=4),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sampled_from([b"data: ", b": hm\ndata: ", b"event: e\ndata: ", b"id\ndata: "]),
    st.lists(st.integers(min_value=0), max_size=12),
    st.booleans(),
)
def test_however_it_is_cut(written: list[list[bytes]], end: bytes, field: bytes, cuts: list[int], ended: bool) -> None:
    lines = [[field.replace(b"\n", end) + part for part in event] for event in written]
    stream = b"".join(end.join([*event, b"", b""]) for event in lines)
    if not ended and stream:
        stream = stream.removesuffix(end)
    assert read(stream, cuts) == [data for event in written if (data := b"\n".join(event))]


@settings(deadline=None)
@given(st.binary(max_size=80), st.lists(st.integers(min_value=0), max_size=8))
def test_anything_is_read_the_same_in_one_piece(stream: bytes, cuts: list[int]) -> None:
    assert read(stream, cuts) == read(stream, [])


def test_one_space_belongs_to_the_field() -> None:
    assert read(b"data:a\n\ndata: a\n\ndata:  a\n\n", []) == [b"a", b"a", b" a"]


def test_an_event_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_BYTES", 10)
    reader = Events()
    assert reader.feed(b"data: a\n\ndata: b") == [b"a"]
    with pytest.raises(ValueError, match="longer than 10 bytes"):
        reader.feed(b"xxxxxxxx")
