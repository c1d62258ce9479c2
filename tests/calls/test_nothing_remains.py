"""Of a call that has ended nothing stays in memory."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.harness.script import Say
from runtime.voice.live_call import LiveCall
from tests.calls.runs import Place, chatting, opened, read, script

CALLS = 4


@pytest.fixture(autouse=True)
def only_ours() -> Iterator[None]:
    """Have the collector look at what the test makes, and not again and again at all that other tests have imported."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def parts(live: LiveCall) -> Iterator[object]:
    """Yield the objects that are one for each call."""
    assert live.plan.providers is not None
    yield from (live.call, live.agent, live.session, live.line, live.bridge, live.plan.providers, live.plan.log)


async def all_gone(kept: list[weakref.ref[object]]) -> list[object]:
    """Return what is still there after everything that was about to go has gone."""
    left: list[object] = []
    for _ in range(50):
        gc.collect()
        left = [part for ref in kept if (part := ref()) is not None]
        if not left:
            break
        left.clear()
        await asyncio.sleep(0.02)  # tasks of the library's end on their own
    return [type(part).__name__ for ref in kept if (part := ref()) is not None]


async def test_nothing_of_a_chat_remains(tmp_path: Path) -> None:
    kept: list[weakref.ref[object]] = []
    for _ in range(CALLS):
        async with chatting(read("front_desk"), Place(tmp_path)) as (call, caller):
            kept += map(weakref.ref, parts(call.live))
            await caller.play(script("front_desk", "billing"))
        del call, caller
    assert await all_gone(kept) == []


async def test_nothing_of_a_chat_that_is_closed_in_the_middle_remains(tmp_path: Path) -> None:
    kept: list[weakref.ref[object]] = []
    for _ in range(CALLS):
        async with chatting(read("front_desk"), Place(tmp_path)) as (call, caller):
            kept += map(weakref.ref, parts(call.live))
            await caller.take(Say("I have a question about my invoice"))
        del call, caller
    assert await all_gone(kept) == []


async def test_nothing_of_a_call_that_never_began_remains(tmp_path: Path) -> None:
    kept: list[weakref.ref[object]] = []
    for channel in ("chat_test", "voice_test"):
        async with opened(read("front_desk"), Place(tmp_path), channel) as call:
            kept += map(weakref.ref, parts(call.live))
        del call
    assert await all_gone(kept) == []
