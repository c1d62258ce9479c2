"""How late the event loop is, and where it hangs while it stands still."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

__all__ = ["LoopMonitor", "watched_loop"]

_log = structlog.get_logger("loop")
_FRAMES = 20


class LoopMonitor:
    """A timer on the running loop, and a thread that looks whether the timer still comes.

    `on_lag(seconds)` hears of every beat; `on_blocked(ms)` on the loop, once it runs again after a standstill of over
    `blocked_s`. While it stands still, the stack of its thread is logged once as `loop_blocked`.
    """

    def __init__(
        self,
        on_lag: Callable[[float], None],
        on_blocked: Callable[[int], None],
        *,
        interval_s: float = 0.5,
        blocked_s: float = 1.0,
    ) -> None:
        self._on_lag = on_lag
        self._on_blocked = on_blocked
        self._interval_s = interval_s
        self._blocked_s = blocked_s
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._over = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="loop-watchdog", daemon=True)

    def start(self) -> None:
        """Begin; once."""
        self._next()
        self._watchdog.start()

    def stop(self) -> None:
        """End; idempotent."""
        self._over.set()
        if self._timer is not None:
            self._timer.cancel()
        self._watchdog.join(timeout=1.0)

    def _next(self) -> None:
        self._due = time.monotonic() + self._interval_s
        self._timer = self._loop.call_later(self._interval_s, self._beat)

    def _beat(self) -> None:
        lag = max(0.0, time.monotonic() - self._due)
        self._next()
        self._on_lag(lag)
        if lag > self._blocked_s:
            self._on_blocked(round(lag * 1000))

    def _watch(self) -> None:
        told = 0.0
        while not self._over.wait(self._blocked_s / 4):
            due = self._due
            if due != told and time.monotonic() - due > self._blocked_s:
                told = due
                _log.error("loop_blocked", for_s=round(time.monotonic() - due, 1), where=_stack(self._thread_id))


@contextmanager
def watched_loop(monitor: LoopMonitor) -> Iterator[LoopMonitor]:
    """Run the monitor as long as the block."""
    monitor.start()
    try:
        yield monitor
    finally:
        monitor.stop()


def _stack(thread_id: int) -> list[str]:
    """Return the innermost frames of a thread, outermost first: places only, no values."""
    frame = sys._current_frames().get(thread_id)  # noqa: SLF001 - the documented way to look at another thread
    if frame is None:
        return []
    summary = traceback.extract_stack(frame)[-_FRAMES:]
    return [f"{place.filename}:{place.lineno} in {place.name}" for place in summary]
