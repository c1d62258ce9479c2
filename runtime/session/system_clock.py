"""The machine's clocks as a call's, and its timers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runtime.session.ports import TimerHandle

__all__ = ["SystemClock"]


class SystemClock:
    """The machine's clocks, and timers on the running event loop. `skip` moves the call's time forward (tests by chat).

    Where it is `scripted`, timers know no time but what is skipped: who types for a minute has not been silent.
    """

    def __init__(self, *, scripted: bool = False) -> None:
        self._scripted = scripted
        self._skipped = 0.0
        self._timers: list[_Timer] = []

    def wall(self) -> datetime:
        now = datetime.now(UTC)
        return now + timedelta(seconds=self._skipped) if self._skipped else now

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self._skipped

    def call_later(self, seconds: float, callback: Callable[[], None]) -> TimerHandle:
        timer = _Timer(self._time_of_timers() + seconds, callback)
        if not self._scripted:
            timer.handle = asyncio.get_running_loop().call_later(seconds, timer.fire)
        self._timers = [*(other for other in self._timers if not other.over), timer]
        return timer

    def next_due(self, within: float) -> float | None:
        """Return how many seconds from now the next timer is due, if that is within `within`."""
        due = [timer.due - self._time_of_timers() for timer in self._timers if not timer.over]
        return min((max(0.0, seconds) for seconds in due if seconds <= within), default=None)

    def skip(self, seconds: float) -> None:
        """Let `seconds` pass at once and fire the timers that are due then, in order."""
        self._skipped += seconds
        for timer in sorted(self._timers, key=lambda timer: timer.due):
            if not timer.over and timer.due <= self._time_of_timers() + 1e-6:
                timer.fire()

    def _time_of_timers(self) -> float:
        return self._skipped if self._scripted else self.monotonic()


@dataclass(slots=True)
class _Timer:
    due: float
    callback: Callable[[], None]
    over: bool = False
    handle: asyncio.TimerHandle | None = None

    def fire(self) -> None:
        if not self.over:
            self.cancel()
            self.callback()

    def cancel(self) -> None:
        self.over = True
        if self.handle is not None:
            self.handle.cancel()
