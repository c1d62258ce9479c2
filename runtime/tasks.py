"""Tasks with a name and an owner; none dies in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

__all__ = ["cancel_and_wait", "spawn"]

T = TypeVar("T")

_log = structlog.get_logger("tasks")
_running: set[asyncio.Task[Any]] = set()


def spawn(
    coroutine: Coroutine[Any, Any, T], *, name: str, on_error: Callable[[BaseException], None] | None = None
) -> asyncio.Task[T]:
    """Start `coroutine` as a task called `name`, keep the reference, and report what it raises.

    `on_error` is called with the exception instead of logging it; a cancelled task is no error.
    """
    task = asyncio.create_task(coroutine, name=name)  # noqa: TID251 - the one place that may
    _running.add(task)

    def finished(done: asyncio.Task[T]) -> None:
        _running.discard(done)
        if done.cancelled() or (error := done.exception()) is None:
            return
        if on_error is not None:
            on_error(error)
        else:
            _log.error("task_died", task=name, exc_info=error)

    task.add_done_callback(finished)
    return task


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel `tasks` and wait until they have ended; what they raise was reported by `spawn`."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
