"""How often something may happen on a socket, so that a flood costs the flooder more than us."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Pace"]


class Pace:
    """Lets `most` through in each span of `seconds`."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float]) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._began = clock()
        self._count = 0

    def allows(self) -> bool:
        """Count one more, and tell whether it is still within the pace."""
        now = self._clock()
        if now - self._began >= self._seconds:
            self._began, self._count = now, 0
        self._count += 1
        return self._count <= self._most
