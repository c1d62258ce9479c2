"""What is done to the files of a home when a person is removed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.aftercall.erased_files import cover_files, erase_from_logs, logged_sessions
from runtime.aftercall.number_forms import NumberForms
from runtime.session.dead_logs import read_chunk
from runtime.session.local_log import take_lock
from runtime.session.records import Closed, Opened, Record, encode
from tests.contract.rows import a_call, some_events

FORMS = NumberForms("+491701234567")
ORG = "0b6e0a1c-0000-4000-8000-000000000001"


@pytest.fixture
def events(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "events"
    folder.mkdir(parents=True)
    return folder


def a_log(folder: Path, name: str = "20261122T120000-1-abcdef01") -> tuple[Path, str, str]:
    """Write the log of a person's call and of another that mentions them; return the file and the two sessions."""
    theirs = a_call(ORG, from_number="+491701234567")
    other = a_call(ORG, from_number="+4930999999")
    mention = replace(some_events(other, 1)[0], payload={"text": "ring 0170 1234567", "n": 491701234567, "f": 1.25})
    records: list[Record] = [
        Opened(theirs),
        *some_events(theirs, 1, 2),
        Opened(other),
        mention,
        *some_events(other, 2),
        Closed(theirs),
    ]
    path = folder / f"{name}.000001.ndjson"
    path.write_bytes(b"".join(encode(each) for each in records))
    return path, theirs.id, other.id


def test_a_session_is_found_by_how_it_began(events: Path) -> None:
    path, theirs, _ = a_log(events)
    found = logged_sessions(events.parent, ORG, FORMS)
    assert found.all == {theirs}
    assert not found.living
    assert not logged_sessions(events.parent, "another organization", FORMS).all
    lock = take_lock(path.with_name("20261122T120000-1-abcdef01.lock"))
    assert logged_sessions(events.parent, ORG, FORMS).living == {theirs}
    os.close(lock)


def test_lines_go_and_the_others_keep_their_places(events: Path) -> None:
    path, theirs, other = a_log(events)
    before = path.read_bytes()
    report = erase_from_logs(events.parent, ORG, [theirs], FORMS)
    after = path.read_bytes()
    assert (report.lines, report.covered) == (4, 1)
    assert [len(line) for line in after.splitlines()] == [len(line) for line in before.splitlines()]
    chunk = read_chunk(path, 0, 100)
    assert chunk.damaged == 0
    assert [type(record).__name__ for record in chunk.records] == ["Opened", "EventRow", "EventRow"]
    assert {getattr(record, "session_id", other) for record in chunk.records} == {other}
    assert chunk.records[1].payload == {"text": "ring •••", "n": "•••", "f": 1.25}  # type: ignore[union-attr]
    assert erase_from_logs(events.parent, ORG, [theirs], FORMS).lines == 0


def test_a_dry_run_only_counts(events: Path) -> None:
    path, theirs, _ = a_log(events)
    before = path.read_bytes()
    assert erase_from_logs(events.parent, ORG, [theirs], FORMS, dry_run=True).lines == 4
    assert path.read_bytes() == before


def test_other_organizations_lines_stay(events: Path) -> None:
    path, _, _ = a_log(events)
    before = path.read_bytes()
    assert erase_from_logs(events.parent, "another organization", [], FORMS).covered == 0
    assert path.read_bytes() == before


def test_refused_and_damaged_lines_are_seen_to_as_well(events: Path) -> None:
    theirs = a_call(ORG, from_number="+491701234567")
    refused = events / "refused.ndjson"
    refused.write_bytes(
        encode(Opened(theirs), refused="DataError: x") + b'{"kind":"event","session_id":"%b",' % theirs.id.encode()
    )
    damaged = events / "old.000001.damaged"
    damaged.write_bytes(b"garbage 0170 1234567 garbage\n")
    found = logged_sessions(events.parent, ORG, FORMS)
    erase_from_logs(events.parent, ORG, found.all, FORMS)
    assert not refused.read_bytes().strip()
    assert b"1234567" not in damaged.read_bytes()


def test_other_files_are_covered_and_named_ones_removed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "postgres" / "data").mkdir(parents=True)
    (home / "postgres" / "data" / "PG_VERSION").write_text("18")
    (home / "postgres" / "data" / "x").write_text("+491701234567")
    (home / "recordings").mkdir()
    session = "7f3a0000-0000-4000-8000-000000000001"
    recording = home / "recordings" / f"{session}.wav"
    recording.write_bytes(b"\0\1" * 100)
    named = home / "recordings" / "call +491701234567.wav"
    named.write_bytes(b"\0\1" * 100)
    log = home / "livekit.log"
    log.write_bytes(b"x" * (1024 * 1024 - 5) + b" +49 170 1234567 end\n" + b"second\n")
    packed = home / "livekit.log.1.gz"
    packed.write_bytes(b"\x1f\x8b")
    size = log.stat().st_size
    report = cover_files(home, [session], FORMS)
    assert sorted(report.removed) == sorted([recording, named])
    assert not recording.exists()
    assert b"1234567" not in log.read_bytes()
    assert log.stat().st_size == size
    assert log.read_bytes().endswith(b" end\nsecond\n")
    assert report.unread == [packed]
    assert (home / "postgres" / "data" / "x").read_text() == "+491701234567"
