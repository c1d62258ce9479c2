"""How many sockets that listen for events are open at once: of one caller, and in the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from api.problems import Problem

__all__ = ["OpenSockets"]

_OF_CALLER: Final = 20
_OF_PROCESS: Final = 500


class OpenSockets:
    """Counts the sockets of this process: each looks into the database every two seconds for as long as it is open."""

    def __init__(self, of_caller: int = _OF_CALLER, of_process: int = _OF_PROCESS) -> None:
        self._of_caller = of_caller
        self._of_process = of_process
        self._open: Counter[str] = Counter()

    @contextmanager
    def held(self, actor: str) -> Iterator[None]:
        """Hold one for this caller. Raises the problem 429 where they, or all together, have too many."""
        if self._open[actor] >= self._of_caller or self._open.total() >= self._of_process:
            raise Problem(
                429,
                "too_many_requests",
                f"At most {self._of_caller} of your sockets are open at once, and {self._of_process} of all callers.",
                remedy="Close one: GET /api/live tells of all of an organization's sessions on one socket.",
            )
        self._open[actor] += 1
        try:
            yield
        finally:
            self._open[actor] -= 1
            if not self._open[actor]:
                del self._open[actor]
