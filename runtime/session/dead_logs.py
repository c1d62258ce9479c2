"""Reading log files: those of dead processes whole, and a piece of one's own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.session.local_log import take_lock
from runtime.session.records import Record, decode

__all__ = ["Chunk", "DeadLog", "dead_logs", "files_of", "held", "read_chunk"]

_SEGMENT = re.compile(r"^(?P<name>.+)\.\d{6}\.ndjson$")
_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records in order; `next` is the offset behind them, `damaged` how many whole lines could not be read."""

    records: list[Record]
    next: int
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class DeadLog:
    """The files that one dead process left, oldest first."""

    name: str
    paths: tuple[Path, ...]


def read_chunk(path: Path, start: int, limit: int) -> Chunk:
    """Read whole lines from the offset `start` until there are `limit` records or about 256 kB; none at the end.

    A last line without its end was torn by a crash before anybody was told that it is there: it is left out. Raises
    `OSError`.
    """
    with path.open("rb") as file:
        file.seek(start)
        lines = file.readlines(_PIECE)
    records: list[Record] = []
    at, damaged = start, 0
    for line in lines:
        if len(records) == limit or not line.endswith(b"\n"):
            break
        at += len(line)
        if line.isspace():  # its session was erased
            continue
        record = decode(line[:-1])
        if record is None:
            damaged += 1
        else:
            records.append(record)
    return Chunk(records, at, damaged)


def dead_logs(folder: Path) -> list[DeadLog]:
    """Return the logs in `folder`, the oldest first; whether their process is dead, `held` tells.

    What is found of one that still lived then is not all it wrote: `files_of` tells that once its lock is held.
    """
    for path in folder.glob("*.new"):
        _forget_stillborn(path)
    # A process may die between its lock and its first record: such a log has no files.
    found: dict[str, list[Path]] = {path.stem: [] for path in sorted(folder.glob("*.lock"))}
    for path in sorted(folder.glob("*.ndjson")):
        if match := _SEGMENT.match(path.name):
            found.setdefault(match["name"], []).append(path)
    return [DeadLog(name, tuple(found[name])) for name in sorted(found)]


def files_of(folder: Path, name: str) -> list[Path]:
    """Return the files of the log of this name, oldest first."""
    return [path for path in sorted(folder.glob(f"{name}.*.ndjson")) if _SEGMENT.match(path.name)]


def _forget_stillborn(path: Path) -> None:
    """Remove the lock of a process that died before the lock had its name; the process's number is in the file's."""
    number = path.name.split("-")[1] if path.name.count("-") >= 2 else ""
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        path.unlink(missing_ok=True)
    except (ValueError, OSError):  # not ours, or another user's living process
        return


@contextmanager
def held(folder: Path, log: DeadLog) -> Iterator[bool]:
    """Hold the log's lock, so that nobody else drains it; False while its process lives or another drains it."""
    path = folder / f"{log.name}.lock"
    try:
        fd = take_lock(path)
    except (BlockingIOError, FileNotFoundError):  # the latter: another has just finished with it
        yield False
        return
    try:
        yield True
        if not files_of(folder, log.name):
            path.unlink(missing_ok=True)
    finally:
        os.close(fd)
