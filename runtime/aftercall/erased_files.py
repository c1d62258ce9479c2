"""One person removed from the files of PATCHBAY_HOME: event logs of the living and the dead, other logs, recordings."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic_core import from_json, to_json

from runtime.aftercall.number_forms import NumberForms
from runtime.session.dead_logs import dead_logs, held
from runtime.session.fleet_ports import CheckpointRow
from runtime.session.ports import EventRow
from runtime.session.records import Opened, Record, decode

__all__ = ["ErasedFiles", "LoggedSessions", "cover_files", "erase_from_logs", "logged_sessions"]

_LOGS = {".ndjson", ".damaged"}
_PACKED = {".gz", ".bz2", ".xz", ".zst", ".zip"}
# A longer line is looked at in pieces, which overlap by more than the longest form of a number.
_PIECE = 1024 * 1024
_OVERLAP = 256
_HEAD = 8192
_TAIL = len(b',"crc":"00000000"}\n')
_SHORTEST_MASK = "***"


@dataclass(frozen=True, slots=True)
class LoggedSessions:
    """A person's sessions in event logs: in files that living processes write, and in any."""

    living: frozenset[str]
    all: frozenset[str]


@dataclass(slots=True)
class ErasedFiles:
    """What was done to files, or would be: lines taken out, lines with the number covered, files removed, files not read."""

    lines: int = 0
    covered: int = 0
    removed: list[Path] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)


def logged_sessions(home: Path, organization_id: str, forms: NumberForms) -> LoggedSessions:
    """Return the organization's sessions that began with the number, by the event logs below `home`. Raises `OSError`."""
    living: set[str] = set()
    every: set[str] = set()
    for path in _files(home):
        if path.suffix not in _LOGS:
            continue
        records = (decode(line[:-1]) for _, line in _lines(path) if forms.within(line.decode("utf-8", "replace")))
        found = {
            session_of(record) for record in records if record is not None and _begins(record, organization_id, forms)
        }
        every |= found
        if found and _is_written(path):
            living |= found
    return LoggedSessions(frozenset(living), frozenset(every))


def session_of(record: Record) -> str:
    return record.session_id if isinstance(record, EventRow | CheckpointRow) else record.row.id


def erase_from_logs(
    home: Path, organization_id: str, sessions: Collection[str], forms: NumberForms, *, dry_run: bool = False
) -> ErasedFiles:
    """Take the sessions' lines out of all event logs below `home`, and cover the number in the organization's other lines.

    Every line keeps its length and its place, so that a process that writes the file, and knows where its own records lie,
    goes on; what is taken out are blanks. The sessions have ended and are stored.
    """
    report = ErasedFiles()

    def rewritten(line: bytes) -> bytes:
        return _log_line(line, organization_id, sessions, forms)

    for path in _files(home):
        if path.suffix in _LOGS:
            _rewrite(path, rewritten, report, dry_run=dry_run)
    return report


def cover_files(home: Path, sessions: Collection[str], forms: NumberForms, *, dry_run: bool = False) -> ErasedFiles:
    """Cover the number in the other text files below `home`, and remove files that are named after a session or the number."""
    report = ErasedFiles()
    for path in _files(home):
        if any(session in path.name for session in sessions) or forms.within(path.name):
            report.removed.append(path)
            if not dry_run:
                path.unlink(missing_ok=True)
        elif path.suffix in _PACKED:
            report.unread.append(path)
        elif path.suffix not in _LOGS:
            _rewrite(path, forms.covered, report, dry_run=dry_run)
    return report


def _files(home: Path) -> Iterator[Path]:
    """Yield the ordinary files below `home`, without those of a database and of locks."""
    for folder, folders, names in os.walk(home):
        at = Path(folder)
        folders[:] = [name for name in folders if not (at / name / "PG_VERSION").exists() and name != "run"]
        for name in sorted(names):
            path = at / name
            if path.is_file() and not path.is_symlink() and path.suffix not in {".lock", ".key"}:
                yield path


def _is_written(path: Path) -> bool:
    """Whether a living process writes the event log: it holds the log's lock."""
    for log in dead_logs(path.parent):
        if path in log.paths:
            with held(path.parent, log) as ours:
                return not ours
    return False


def _begins(record: Record, organization_id: str, forms: NumberForms) -> bool:
    """Whether the record opens a session of the person's."""
    if isinstance(record, CheckpointRow):
        return False
    if isinstance(record, EventRow):
        if record.organization_id != organization_id or record.event_type != "call_started":
            return False
        return _any_within(forms, record.payload.get("caller"), record.payload.get("dialled"))
    row = record.row
    if row.organization_id != organization_id or not isinstance(record, Opened):
        return False
    return _any_within(forms, row.from_number, row.to_number, row.room, row.external_session_id)


def _any_within(forms: NumberForms, *texts: object) -> bool:
    return any(isinstance(text, str) and forms.within(text) for text in texts)


def _rewrite(path: Path, change: Callable[[bytes], bytes], report: ErasedFiles, *, dry_run: bool) -> None:
    """Put changed lines in the place of the old ones, which are as long."""
    try:
        changed = [(at, line, new) for at, line in _lines(path) if (new := change(line)) != line]
        report.lines += sum(new.isspace() for _, _, new in changed)
        report.covered += sum(not new.isspace() for _, _, new in changed)
        if dry_run or not changed:
            return
        with path.open("r+b", buffering=0) as file:
            for at, _, new in changed:
                os.pwrite(file.fileno(), new, at)
            os.fsync(file.fileno())
    except FileNotFoundError:  # a writer has finished with it in between
        return
    except OSError:
        report.unread.append(path)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a text file, or overlapping pieces of very long ones, each with its offset; none of a binary one."""
    with path.open("rb") as file:
        if b"\0" in file.read(_HEAD):
            return
        file.seek(0)
        at = 0
        while line := file.readline(_PIECE):
            yield at, line
            at += len(line)
            if len(line) == _PIECE and not line.endswith(b"\n"):
                at -= _OVERLAP
                file.seek(at)


def _log_line(line: bytes, organization_id: str, sessions: Collection[str], forms: NumberForms) -> bytes:
    record = decode(line[:-1]) if line.endswith(b"\n") else None
    if record is None:
        if any(session.encode() in line for session in sessions):
            return _blank(line)
        return forms.covered(line)
    if session_of(record) in sessions:
        return _blank(line)
    if isinstance(record, CheckpointRow):
        return line
    owner = record.organization_id if isinstance(record, EventRow) else record.row.organization_id
    if owner != organization_id or not forms.within(line.decode("utf-8", "replace")):
        return line
    return _masked(line, forms)


def _blank(line: bytes) -> bytes:
    return b" " * (len(line) - 1) + b"\n" if line.endswith(b"\n") else b" " * len(line)


def _masked(line: bytes, forms: NumberForms) -> bytes:
    """Return the record with the number covered, filled up with blanks to the length it had, under a checksum of its own."""
    known = from_json(line)
    del known["crc"]
    room = len(line) - _TAIL
    body = to_json(forms.masked(known))[:-1]
    if len(body) > room:
        body = to_json(forms.masked(known, mask=_SHORTEST_MASK))[:-1]
    body = body.ljust(room)
    return b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body))
