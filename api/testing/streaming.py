"""A chat test's request answered as server-sent events: what happens as it happens, and the answer at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from pydantic_core import to_json
from starlette.responses import StreamingResponse

from api.problems import Problem
from api.testing.chat import Played, event_of
from runtime.session.ports import EventRow

__all__ = ["EVENT_STREAM", "EventQueue", "stream"]

Json = Any
EVENT_STREAM: Final = "text/event-stream"
KEEP_ALIVE_S: Final = 15.0


class EventQueue:
    """The events of a call that wait to be sent; never keeps the call waiting."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[EventRow | None] = asyncio.Queue()

    def put(self, event: EventRow) -> None:
        self._queue.put_nowait(event)

    def end(self) -> None:
        """Say that nothing more comes."""
        self._queue.put_nowait(None)

    async def next(self, timeout_s: float) -> EventRow | None:
        """Return the next event, None after the last; raises TimeoutError where none comes in time."""
        async with asyncio.timeout(timeout_s):
            return await self._queue.get()


def stream(
    played: Played, queue: EventQueue, request_id: str, problem_of: Callable[[BaseException], Problem]
) -> StreamingResponse:
    """Return the answer: `session_event` an event, then `result` or `problem`; comments keep the line open."""
    played.task.add_done_callback(lambda _: queue.end())
    return StreamingResponse(
        _lines(played, queue, request_id, problem_of),
        media_type=EVENT_STREAM,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _lines(
    played: Played, queue: EventQueue, request_id: str, problem_of: Callable[[BaseException], Problem]
) -> AsyncIterator[bytes]:
    while True:
        try:
            event = await queue.next(KEEP_ALIVE_S)
        except TimeoutError:
            yield b": still there\n\n"
            continue
        if event is None:
            break
        yield _message("session_event", to_json(event_of(event)), str(event.seq))
    error = played.task.exception() if not played.task.cancelled() else asyncio.CancelledError()
    if error is None:
        yield _message("result", to_json(played.task.result()))
    else:
        yield _message("problem", to_json(problem_of(error).body(request_id)))


def _message(kind: str, data: bytes, number: str = "") -> bytes:
    named = f"id: {number}\n" if number else ""
    return b"".join((f"event: {kind}\n{named}data: ".encode(), data, b"\n\n"))
