from __future__ import annotations

import json
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.session.dead_logs import read_chunk
from runtime.session.payloads import Payload, with_json
from runtime.session.ports import CallRow, EventRow
from runtime.session.records import Closed, Opened, Record, decode, encode, name_of

AT = datetime(2026, 5, 3, 10, 0, 0, 123456, tzinfo=UTC)
CALL = CallRow("s1", "org", None, "phone", "inbound", is_test=False, started_at=AT, ended_at=AT, variables={"a": "•••"})
EVENT = EventRow("s1", "org", 3, "user_turn", {"text": "grüß Gott\n\x00", "n": [1, 2.5, None]}, "a1", AT, "gAAA")

texts = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
times = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))]))
events = st.builds(
    EventRow,
    texts,
    texts,
    st.integers(1, 10**9),
    texts,
    st.dictionaries(texts, values, max_size=5),
    st.none() | texts,
    times,
    st.none() | texts,
)


@given(events)
def test_an_event_comes_back_as_it_was(event: EventRow) -> None:
    line = encode(event)
    assert line.count(b"\n") == 1
    assert decode(line[:-1]) == event


@pytest.mark.parametrize("record", [Opened(CALL), Closed(CALL), EVENT])
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert decode(encode(record)[:-1]) == record


@pytest.mark.parametrize("record", [Opened(replace(CALL, epoch=3)), replace(EVENT, epoch=3)], ids=["call", "event"])
def test_a_line_of_the_release_before_is_of_the_first_owner(record: Opened | EventRow) -> None:
    line = encode(record)
    assert decode(line[:-1]) == record
    body = line[: line.rindex(b',"crc"')].replace(b',"epoch":3', b"").replace(b'"epoch":3,', b"")
    assert b"epoch" not in body
    found = decode(b'%b,"crc":"%08x"}' % (body, zlib.crc32(body)))
    assert found in (Opened(CALL), EVENT)


def test_notes_ride_along() -> None:
    line = encode(EVENT, refused="why")
    assert b'"refused":"why"' in line
    assert decode(line[:-1]) == EVENT


@given(events)
def test_the_payload_of_a_line_is_not_encoded_again(event: EventRow) -> None:
    line = encode(replace(event, payload=with_json(event.payload)))
    found = decode(line[:-1])
    assert line == encode(event)
    assert isinstance(found, EventRow)
    assert isinstance(found.payload, Payload)
    assert found.payload.json in line
    assert json.loads(found.payload.json) == event.payload == found.payload
    assert encode(found) == line


def as_line(**content: object) -> bytes:
    body = json.dumps(content, separators=(",", ":")).encode()[:-1]
    return b'%b,"crc":"%08x"}' % (body, zlib.crc32(body))


def test_a_line_whose_payload_does_not_stand_last_is_read_all_the_same() -> None:
    head = {"kind": "event", "session_id": "s1", "organization_id": "org", "seq": 3, "event_type": "user_turn"}
    rest = {"agent_id": "a1", "occurred_at": AT.isoformat(), "secret": "gAAA", "epoch": 1}
    for line in (
        as_line(**head, **rest, payload=EVENT.payload, refused="the release before put the reason last"),
        as_line(**head, payload=EVENT.payload, **rest),
        as_line(**head, later={"a": 1, "payload": {"b": 2}}, **rest, payload=EVENT.payload),
    ):
        assert decode(line) == EVENT


@given(st.data())
def test_a_changed_or_torn_line_is_no_record(data: st.DataObject) -> None:
    line = bytearray(encode(EVENT)[:-1])
    at = data.draw(st.integers(0, len(line) - 1))
    assert decode(bytes(line[:at])) is None
    line[at] ^= data.draw(st.integers(1, 255))
    assert decode(bytes(line)) is None


@pytest.mark.parametrize("kind", ["unheard_of", "open"])
def test_a_line_of_a_later_release_is_no_record(kind: str) -> None:
    assert decode(encode(EVENT, kind=kind)[:-1]) is None


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (Opened(CALL), "the opening of session s1"),
        (Closed(CALL), "the closing of session s1"),
        (EVENT, "event 3 (user_turn) of session s1"),
    ],
)
def test_a_record_has_a_name_that_gives_nothing_away(record: Record, name: str) -> None:
    assert name_of(record) == name


def test_reading_stops_at_a_torn_end_and_counts_damage_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    good = encode(EVENT)
    path.write_bytes(good + b"rubbish\n" + good + good[:40])
    chunk = read_chunk(path, 0, 10)
    assert (len(chunk.records), chunk.damaged, chunk.next) == (2, 1, 2 * len(good) + 8)
    assert read_chunk(path, chunk.next, 10).next == chunk.next


def test_reading_goes_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    path.write_bytes(encode(EVENT) * 5)
    first = read_chunk(path, 0, 3)
    assert (len(first.records), len(read_chunk(path, first.next, 3).records)) == (3, 2)
