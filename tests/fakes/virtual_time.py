"""An event loop whose time passes only while nobody has anything to do: a minute takes no time, and is a minute to the bit."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

import pytest
from livekit.agents import llm

__all__ = ["VirtualLoop", "in_virtual_time"]

T = TypeVar("T")
START = 1_800_000_000.0


def in_virtual_time(scenario: Coroutine[Any, Any, T], monkeypatch: pytest.MonkeyPatch) -> T:
    """Run the scenario on a `VirtualLoop`, whose time all of Python's clocks tell meanwhile."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, monkeypatch.context() as patch:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        for clock in ("monotonic", "perf_counter"):
            patch.setattr(time, clock, loop.time)
        patch.setattr(time, "time", lambda: START + loop.time())
        for item in (llm.ChatMessage, llm.FunctionCall, llm.FunctionCallOutput):
            patch.setattr(item, "__init__", _dated(item.__init__))
        return runner.run(scenario)


def _dated(make: Callable[..., None]) -> Callable[..., None]:
    """An item of the history has its date from the clock that was there when its class was made."""

    def made(self: llm.ChatItem, **fields: Any) -> None:
        make(self, **{"created_at": time.time(), **fields})

    return made


class VirtualLoop(asyncio.SelectorEventLoop):
    """Goes to its next timer at once, unless a thread or a socket has something for it."""

    def __init__(self) -> None:
        self.threads = 0
        """Pieces of work that threads have in hand: they take real time, in which none passes here."""
        self._now = 1000.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self._now

    def pass_to(self, moment: float) -> None:
        """Let it be that late."""
        self._now = max(self._now, moment)

    def run_in_executor(  # type: ignore[override]  # whatever it is, it is handed on
        self, executor: Executor | None, func: Any, *args: Any
    ) -> asyncio.Future[Any]:
        self.threads += 1
        work = super().run_in_executor(executor, func, *args)
        work.add_done_callback(self._worked)
        return work

    def _worked(self, _work: asyncio.Future[Any]) -> None:
        self.threads -= 1


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0 or self._loop.threads:
            return super().select(None if self._loop.threads and timeout != 0 else timeout)
        if not (ready := super().select(0)):
            self._loop.pass_to(self._loop.time() + timeout)
        return ready
