"""The local log of one process: append-only files that survive the process, and the lock that tells whether it lives."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from runtime.session.log_bounds import MAX_BYTES, DiskBound

__all__ = ["LocalLog", "Segment", "private_folder", "process_name", "take_lock"]

SEGMENT_BYTES = 16 * 1024 * 1024
_RETRY_S = 0.25
# A disk that stands still lets a few seconds' writes into its cache and then holds whoever writes: its syncs tell it earlier.
_STALLED_S = 2.0
_MODE = 0o600
# A disk that lies about its space, a limit of ours, a read-only mount: all are answered in the same way.
_SHORT_WRITE = errno.ENOSPC


@dataclass(slots=True, eq=False)
class Segment:
    """One file of the log, `size` bytes long; `pending` counts its records that are not stored yet."""

    path: Path
    fd: int
    size: int = 0
    pending: int = 0
    keep: bool = False
    finished: bool = False

    def append(self, line: bytes) -> None:
        """Write the line whole or not at all, in one call. Raises `OSError`."""
        written = os.write(self.fd, line)
        if written < len(line):
            self.finished = True  # unless the torn piece can be taken back, nothing may follow it
            os.ftruncate(self.fd, self.size)
            self.finished = False
            raise OSError(_SHORT_WRITE, os.strerror(_SHORT_WRITE), str(self.path))
        self.size += written


@dataclass(slots=True)
class _Chores:
    """What the housekeeper does in its thread: open descriptors of its own to sync, and files to delete."""

    sync: list[int] = field(default_factory=list)
    delete: list[Path] = field(default_factory=list)

    def do(self) -> None:
        for path in self.delete:
            path.unlink(missing_ok=True)
        try:
            for fd in self.sync:
                os.fsync(fd)
        finally:
            for fd in self.sync:
                os.close(fd)


class LocalLog:
    """The files of this process in `folder`. Made and used on one event loop; nothing here waits for a sync.

    `heads` gives the lines that each new file begins with, so that no file needs an earlier one. `report(code,
    message)` is called once when the disk refuses (`log_unwritable`, `log_unsynced`). A disk whose sync has not returned for
    two seconds is as one that refuses. `bound` says how full the folder is.
    """

    def __init__(
        self,
        folder: Path,
        *,
        heads: Callable[[], Iterable[bytes]],
        report: Callable[[str, str], None],
        segment_bytes: int = SEGMENT_BYTES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._folder = folder
        self._heads = heads
        self._report = report
        self._segment_bytes = segment_bytes
        self._name = process_name()
        self.bound = DiskBound(folder, self._name, max_bytes, report)
        self._syncing: float | None = None
        self._index = 0
        self._lock: int | None = None
        self._current: Segment | None = None
        self._segments: set[Segment] = set()
        self._dirty: set[Segment] = set()
        self._trash: list[Path] = []
        self._begun = False
        self._refused = False
        self._retry_at = 0.0

    def append(self, line: bytes) -> Segment | None:
        """Return the file that now ends with the line, or None when the disk refuses it: tried again four times a second."""
        if self._refused and time.monotonic() < self._retry_at:
            return None
        try:
            if self._syncing is not None:
                self._check_that_it_answers(self._syncing)
            segment = self._current
            if (
                segment is None
                or segment.size >= self._segment_bytes
                or segment.size >= self.bound.share
                or segment.finished
            ):
                segment = self._writable()
            self._write(segment, line)
        except OSError as error:
            self._failed(error)
            return None
        self._refused = False
        self._dirty.add(segment)
        segment.pending += 1
        return segment

    def _write(self, segment: Segment, line: bytes) -> None:
        self.bound.take(len(line))
        try:
            segment.append(line)
        except OSError:
            self.bound.give(len(line))
            raise

    def settle(self, segment: Segment, count: int, *, stored: bool) -> None:
        """So many records of the segment are stored; or they are not and never will be, and their file stays."""
        segment.keep |= not stored
        segment.pending -= count
        self._drop_if_done(segment)

    async def housekeep(self) -> None:
        """Bring what was written to the disk and delete finished files, in a thread; what was begun is finished."""
        if not self._dirty and not self._trash:
            return
        try:
            await self._sync()
        except OSError as error:
            self._report("log_unsynced", f"The event log in {self._folder} could not be brought to the disk: {error}.")

    async def _sync(self) -> None:
        work = asyncio.get_running_loop().run_in_executor(None, self._chores().do)
        self._syncing = time.monotonic()
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait({work})
            work.exception()  # told or not, it has been looked at
            raise
        finally:
            self._syncing = None

    async def close(self, *, discard: bool) -> None:
        """Let go of the files; `discard` deletes those that hold nothing unstored, the others wait for the next start."""
        for segment in tuple(self._segments):
            segment.finished |= discard
            self._drop_if_done(segment)
        if not self._segments and self._lock is not None:
            self._trash.append(self._lock_path)
        await self.housekeep()
        for segment in self._segments:
            os.close(segment.fd)
        self._segments.clear()
        self._current = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def has_finished(self) -> bool:
        """Whether there are files to delete."""
        return bool(self._trash)

    @property
    def _lock_path(self) -> Path:
        return self._folder / f"{self._name}.lock"

    def _chores(self) -> _Chores:
        chores = _Chores([os.dup(segment.fd) for segment in self._dirty], self._trash)
        if self._begun:
            chores.sync.append(os.open(self._folder, os.O_RDONLY))
        self._begun = False
        self._dirty.clear()
        self._trash = []
        return chores

    def _check_that_it_answers(self, since: float) -> None:
        if time.monotonic() - since > _STALLED_S:
            raise TimeoutError(errno.ETIMEDOUT, f"the disk has not answered for {_STALLED_S:.0f} s")

    def _writable(self) -> Segment:
        current = self._current
        if current is None or current.finished:
            return self._begin()
        if current.size >= min(self._segment_bytes, self.bound.share):
            return self._rotated(current)
        return current

    def _rotated(self, current: Segment) -> Segment:
        try:
            fresh = self._begin()
        except OSError:
            return current  # it grows until a new file can be made
        current.finished = True
        self._drop_if_done(current)
        return fresh

    def _begin(self) -> Segment:
        if self._lock is None:
            private_folder(self._folder)
            self._lock = take_lock(self._lock_path)
        self._index += 1
        path = self._folder / f"{self._name}.{self._index:06d}.ndjson"
        segment = Segment(path, os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, _MODE))
        try:
            for line in self._heads():
                self._write(segment, line)
        except OSError:
            self.bound.give(segment.size)
            os.close(segment.fd)
            path.unlink()
            raise
        self._segments.add(segment)
        self._current = segment
        self._begun = True
        return segment

    def _drop_if_done(self, segment: Segment) -> None:
        if not segment.finished or segment.pending or segment.keep:
            return
        self._segments.discard(segment)
        self._dirty.discard(segment)
        self.bound.give(segment.size)
        os.close(segment.fd)
        self._trash.append(segment.path)

    def _failed(self, error: OSError) -> None:
        self._retry_at = time.monotonic() + _RETRY_S
        if not self._refused:
            self._refused = True
            self._report(
                "log_unwritable",
                f"The event log in {self._folder} cannot be written ({error.strerror or error}); calls go on from memory. "
                "Free space there, raise PATCHBAY_LOG_MAX_MB, or point PATCHBAY_HOME to another disk.",
            )


def process_name() -> str:
    """A name for this process's files that no other has; names sort by the time of their start."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{uuid4().hex[:8]}"


def private_folder(folder: Path) -> None:
    """Make the folder, readable by its owner alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def take_lock(path: Path) -> int:
    """Return a descriptor that holds the lock at `path` until it is closed or its process dies.

    Raises `BlockingIOError` while a living process holds it. The file appears under its name only once it is locked:
    in between, another process would take it for the lock of a dead one.
    """
    fresh = path.with_suffix(f".{uuid4().hex[:8]}.new")
    # To read is enough to lock, and asks nothing of the disk.
    fd = os.open(path, os.O_RDONLY) if path.exists() else os.open(fresh, os.O_CREAT | os.O_RDWR, _MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if fresh.exists():
            fresh.rename(path)
    except OSError:
        os.close(fd)
        raise
    return fd
