"""How much of the disk the event log may take, and how near to that it is."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

__all__ = ["FILLING", "FULL", "MAX_BYTES", "DiskBound"]

MAX_BYTES = 4096 * 1024 * 1024
FILLING = 0.7
FULL = 0.9
_CALM = 0.6
_LEAST_SHARE = 64 * 1024


class _Found(NamedTuple):
    """Bytes: of other processes' files in the folder, and free on its disk."""

    others: int
    free: int


class DiskBound:
    """What the files in `folder` take together, whosever they are, against `max_bytes` and half of what was free at first.

    What this process's files take is told with `take` and `give`; the others' are looked at now and then. `share` is how
    large one file may become, in bytes: what is stored is given back a file at a time.
    `report(code, message)` hears `log_filling` at 70 % and `log_full` at 90 %, once each time.
    """

    def __init__(self, folder: Path, name: str, max_bytes: int, report: Callable[[str, str], None]) -> None:
        self._folder = folder
        self._name = name
        self._report = report
        self._others = 0
        self._free: int | None = None
        self._told = 0.0
        self._own = 0
        self.share = 0
        self._set_limit(max_bytes)

    @property
    def fill(self) -> float:
        """From 0 to 1, where nothing more is written; a disk that others fill counts as well."""
        used = self._own + self._others
        room = self._limit if self._free is None else min(self._limit, used + self._free)
        return min(1.0, used / room) if room > 0 else 1.0

    def take(self, size: int) -> None:
        """Count so many bytes more of this process's. Raises `OSError` where they are too many."""
        if self._own + self._others + size > self._limit:
            raise OSError(
                errno.EDQUOT, f"it has taken the {self._limit / 1024**2:.0f} MB that PATCHBAY_LOG_MAX_MB allows"
            )
        self._own += size

    def give(self, size: int) -> None:
        """Count so many bytes less: they were not written, or their file is gone."""
        self._own -= size

    async def look(self) -> None:
        """See, in a thread, what the others' files take and what is free, and sound the alarm where it is due."""
        found = await asyncio.to_thread(_find, self._folder, self._name)
        if found is not None:
            if self._free is None:
                self._set_limit(min(self._limit, (found.others + found.free) // 2))
            self._others, self._free = found
        self._alarm(self.fill)

    def _set_limit(self, limit: int) -> None:
        self._limit = limit
        self.share = max(limit // 16, _LEAST_SHARE)

    def _alarm(self, fill: float) -> None:
        if fill < _CALM:
            self._told = 0.0
        for level, code, what in (
            (FILLING, "log_filling", "The store is away or too slow."),
            (FULL, "log_full", "No new calls are taken; running ones go on."),
        ):
            if fill >= level > self._told:
                self._told = level
                self._report(
                    code,
                    f"The event log in {self._folder} has taken {fill:.0%} of {self._limit / 1024**2:.0f} MB. {what} "
                    "Bring the store back, free space there, or raise PATCHBAY_LOG_MAX_MB.",
                )


def _find(folder: Path, name: str) -> _Found | None:
    """None where the disk does not say."""
    try:
        others = _others(folder, name)
        free = _free(folder)
    except OSError:
        return None
    return _Found(others, free)


def _others(folder: Path, name: str) -> int:
    if not folder.exists():
        return 0
    with os.scandir(folder) as found:
        return sum(_size(entry) for entry in found if not entry.name.startswith(name))


def _free(folder: Path) -> int:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
