"""What waits to be sent: the oldest audio is dropped, a message never."""

from __future__ import annotations

import asyncio

from runtime.harness.outbox import Outbox


async def drained(box: Outbox) -> list[str | bytes]:
    box.close()
    found = []
    while (message := await box.next()) is not None:
        found.append(message)
    return found


async def test_the_oldest_audio_makes_room_and_the_order_stays() -> None:
    box = Outbox(4)
    for message in (b"aa", "one", b"bb", "two", b"cc", "three"):
        box.put(message)
    assert await drained(box) == ["one", b"bb", "two", b"cc", "three"]
    assert box.dropped == 2


async def test_an_interruption_drops_all_audio_and_counts_as_no_loss() -> None:
    box = Outbox(100)
    for message in (b"aa", "one", b"bb"):
        box.put(message)
    box.clear_audio()
    box.put(b"cc")
    assert await drained(box) == ["one", b"cc"]
    assert box.dropped == 0


async def test_whoever_waits_gets_what_comes_and_none_at_the_end() -> None:
    box = Outbox(100)
    async with asyncio.timeout(5):
        waiting = asyncio.gather(box.next(), return_exceptions=True)
        await asyncio.sleep(0)
        box.put("late")
        assert await waiting == ["late"]
        waiting = asyncio.gather(box.next())
        await asyncio.sleep(0)
        box.close()
        assert await waiting == [None]
    box.put("too late")
    assert await box.next() is None
