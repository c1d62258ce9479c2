"""Runs a command's coroutine on an event loop that every ordinary signal ends in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer

__all__ = ["run"]

T = TypeVar("T")

_ENDING = (signal.SIGTERM, signal.SIGHUP)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns. Raises KeyboardInterrupt after Ctrl-C, and typer.Exit (128 + n) after SIGTERM or SIGHUP.

    By default these two end Python on the spot, and the embedded Postgres, which has a session of its own, would stay.
    """
    caught: list[int] = []
    try:
        return asyncio.run(_watched(work, caught))
    except asyncio.CancelledError:
        if not caught:
            raise
        raise typer.Exit(128 + caught[0]) from None


async def _watched(work: Coroutine[Any, Any, T], caught: list[int]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def end(number: int) -> None:
        caught.append(number)
        task.cancel()

    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:  # `nohup` has SIGHUP ignored, and so shall it stay
            loop.add_signal_handler(number, end, number)
    return await work
