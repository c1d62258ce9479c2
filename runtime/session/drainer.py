"""Looks again and again for logs that processes left by dying, and has them drained."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from runtime.errors import StoreUnreachable
from runtime.session.drain import DrainReport
from runtime.session.writer import Backoff

__all__ = ["Drainer"]

_log = structlog.get_logger("event_log")


class Drainer:
    """Drains every `look_s` seconds; `first` is set after the first try. `report(code, message)` hears `log_unreadable`."""

    def __init__(
        self,
        drain: Callable[[], Awaitable[DrainReport]],
        *,
        look_s: float,
        backoff: Backoff,
        report: Callable[[str, str], None],
    ) -> None:
        self._drain = drain
        self._look_s = look_s
        self._backoff = backoff
        self._report = report
        self._looking = asyncio.Lock()
        self._unreadable = False
        self.first = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            away = await self._tried()
            self.first.set()
            if away:
                await self._backoff.wait()
            else:
                self._backoff.reset()
                await asyncio.sleep(self._look_s)

    async def look(self) -> DrainReport:
        """Drain now; waits for a look that is under way. Raises `StoreUnreachable`, `OSError`."""
        async with self._looking:
            found = await self._drain()
        if found.files:
            _log.info("drained", files=found.files, events=found.events, lost=found.closed_as_lost, left=found.left)
        return found

    async def _tried(self) -> bool:
        """Return whether the store is away."""
        try:
            await self.look()
        except StoreUnreachable:
            return True
        except OSError as error:
            if not self._unreadable:
                self._report(
                    "log_unreadable", f"The logs of dead processes cannot be read: {error}. Mend or move them."
                )
            self._unreadable = True
        else:
            self._unreadable = False
        return False
