"""One deadline after the other: what comes in time comes, and what does not is a TimeoutError, not a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from runtime.tasks import spawn
from runtime.voice.patience import Patience


class Stream:
    """Yields each number once it is let go."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[int] = asyncio.Queue()

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        return await self.queue.get()


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_what_comes_in_time_comes_each_within_its_own_deadline() -> None:
    stream, patience = Stream(), Patience()
    for number in range(3):
        asyncio.get_running_loop().call_later(0.02, stream.queue.put_nowait, number)
        assert await patience.next_of(stream, soon(30)) == number
    patience.close()


async def test_what_does_not_come_is_a_timeout_and_the_task_goes_on() -> None:
    stream, patience = Stream(), Patience()
    with pytest.raises(TimeoutError):
        await patience.next_of(stream, soon(0.02))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_later_deadline_takes_the_place_of_an_earlier_one_and_the_other_way_about() -> None:
    stream, patience = Stream(), Patience()
    stream.queue.put_nowait(1)
    assert await patience.next_of(stream, soon(0.02)) == 1
    asyncio.get_running_loop().call_later(0.1, stream.queue.put_nowait, 2)
    assert await patience.next_of(stream, soon(30)) == 2
    with pytest.raises(TimeoutError):
        await patience.next_of(stream, soon(0.02))


async def test_nobody_is_cancelled_while_nobody_waits() -> None:
    stream, patience = Stream(), Patience()
    stream.queue.put_nowait(1)
    await patience.next_of(stream, soon(0.02))
    await asyncio.sleep(0.06)  # past the deadline of what has come
    stream.queue.put_nowait(2)
    assert await patience.next_of(stream, soon(30)) == 2


async def test_somebody_elses_cancellation_stays_one() -> None:
    stream = Stream()

    async def wait() -> None:
        await Patience().next_of(stream, soon(30))

    task = spawn(wait(), name="waits")
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_end_of_the_stream_is_its_end() -> None:
    async def nothing() -> AsyncIterator[int]:
        for number in range(0):
            yield number

    with pytest.raises(StopAsyncIteration):
        await Patience().next_of(nothing(), soon(30))
