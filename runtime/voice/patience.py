"""One deadline after the other for what a task waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

__all__ = ["Patience"]

T = TypeVar("T")


class Patience:
    """As an `asyncio.timeout_at` around each wait, at a fraction of the cost: one timer stays set and moves itself on.

    Belongs to the task that made it; `close` when all is over.
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._until: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._expired = False

    async def next_of(self, stream: AsyncIterator[T], until: float) -> T:
        """Return the stream's next, which has to come until then (the loop's time). Raises TimeoutError."""
        self._until = until
        if self._timer is None or self._timer.when() > until:
            self._set(until)
        cancelling = self._task.cancelling()
        try:
            return await anext(stream)
        except asyncio.CancelledError:
            if self._expired and self._task.uncancel() <= cancelling:
                raise TimeoutError from None
            raise
        finally:
            self._until = None

    def close(self) -> None:
        """Watch no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, at: float) -> None:
        self.close()
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._until is None:
            return  # nobody waits; who waits next sets it anew
        if self._loop.time() < self._until:
            self._set(self._until)
        else:
            self._expired = True
            self._task.cancel()
