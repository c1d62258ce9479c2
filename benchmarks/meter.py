"""What a process has used of the processor, thread by thread."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["Meter", "threads"]

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_NUMBERS: Final = re.compile(r"[-_#:]?\d+(/\d+)?$")


def threads(pid: int | None = None) -> int:
    """Return how many threads a process has, by default this one."""
    return len(list(_tasks(pid or os.getpid()).iterdir()))


def _tasks(pid: int) -> Path:
    return Path(f"/proc/{pid}/task")


def _by_thread(pid: int) -> dict[str, tuple[str, int]]:
    """Return by thread its name and its nanoseconds."""
    found = {}
    for task in _tasks(pid).iterdir():
        try:
            name = _NUMBERS.sub("", (task / "comm").read_text().strip())
            used = int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        found[task.name] = ("main" if task.name == str(pid) else name, used)
    return found


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass
class Meter:
    """Percent of a core that a process (by default this one) uses from the moment this is made (Linux)."""

    pid: int = field(default_factory=os.getpid)

    def __post_init__(self) -> None:
        self._since, self._cpu, self._before = time.monotonic(), _seconds(self.pid), _by_thread(self.pid)

    def percent(self) -> dict[str, float]:
        """Return `all` and each name of a thread (`main` the first); threads that have ended count in `all` alone."""
        seconds = time.monotonic() - self._since
        found = {"all": 100 * (_seconds(self.pid) - self._cpu) / seconds}
        for thread, (name, used) in _by_thread(self.pid).items():
            spent = used - self._before.get(thread, (name, 0))[1]
            found[name] = found.get(name, 0.0) + spent / 1e7 / seconds
        return found
