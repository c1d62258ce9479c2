"""Texts made into sound beforehand: made once, kept while there is room, spoken without the voice service."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from runtime.voice.spoken import Recording, SpokenCache, as_spoken, prerender
from tests.fakes.voice_providers import RATE, WORD_S, Ears, Mind, Standins, Throat, Throb
from tests.runtime.voice.nodes import agent


def recording(seconds: float) -> Recording:
    return Recording(np.ones(round(1000 * seconds), dtype=np.int16), 1000)


async def test_a_text_is_made_once_for_all_who_ask() -> None:
    cache, throat = SpokenCache(), Throat()
    asked = [cache.prepare(throat, "v", text, 5.0) for text in ("Good day.", " Good  day. ", "Good day.")]
    assert await asyncio.gather(*asked) == [True, True, True]
    assert await cache.prepare(throat, "v", "Good day.", 5.0)
    assert throat.spoken == ["Good day."]
    found = cache.find("v", "Good day.")
    assert found is not None
    assert found.rate == RATE
    assert 2 * WORD_S <= found.seconds < 3 * WORD_S


async def test_a_voice_is_not_taken_for_another() -> None:
    cache, throat = SpokenCache(), Throat()
    await cache.prepare(throat, "v", "Good day.", 5.0)
    assert cache.find("w", "Good day.") is None
    assert cache.may_begin("v", "Good")
    assert not cache.may_begin("w", "Good")
    assert not cache.may_begin("v", "Good night")


@pytest.mark.parametrize("manner", ["fails", "silent"])
async def test_a_voice_that_fails_leaves_nothing(manner: str) -> None:
    cache, throat = SpokenCache(), Throat(lambda _text: manner)  # type: ignore[arg-type,return-value]
    assert not await cache.prepare(throat, "v", "Good day.", 5.0)
    assert cache.frames("v", "Good day.") is None
    throat.manner = lambda _text: "well"
    assert await cache.prepare(throat, "v", "Good day.", 5.0)


async def test_nobody_waits_longer_than_asked() -> None:
    cache = SpokenCache()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert not await cache.prepare(Throat(lambda _text: "stalls"), "v", "Good day.", 0.05)
    assert loop.time() - began < 2.0
    for making in cache._making.values():
        making.cancel()


def test_the_least_recently_used_goes_first() -> None:
    cache = SpokenCache(most_bytes=5000)
    cache.keep("v", "one", recording(1))
    cache.keep("v", "two", recording(1))
    assert cache.find("v", "one") is not None
    cache.keep("v", "three", recording(1))
    assert [text for text in ("one", "two", "three") if cache.find("v", text)] == ["one", "three"]
    cache.keep("v", "one", recording(2))
    assert [text for text in ("one", "two", "three") if cache.find("v", text)] == ["one"]
    cache.keep("v", "huge", recording(9))
    assert cache.find("v", "huge") is None


async def test_frames_hold_the_whole_of_it() -> None:
    cache = SpokenCache()
    cache.keep("v", "one", recording(1.03))
    frames = cache.frames("v", "one")
    assert frames is not None
    durations = [frame.duration async for frame in frames]
    assert sum(durations) == pytest.approx(1.03)
    assert max(durations) <= 0.05


async def test_a_text_is_kept_as_the_voice_is_given_it() -> None:
    node = agent(tts={"pronunciations": {"Acme": "ACK-mee"}})
    assert await as_spoken(node, "**Hello**, this is  Acme 🎉.") == "Hello, this is ACK-mee ."


async def test_a_greeting_is_prepared_with_the_nodes_voice() -> None:
    providers = Standins(Mind(lambda _asked: []), Throat(), Ears(), Throb())
    node = agent()
    assert await prerender(providers.spoken, providers, node, "Hello, this is Acme.", 5.0)
    assert providers.spoken.find(providers.voice_key(node), "Hello, this is Acme.") is not None
    assert not await prerender(providers.spoken, providers, node, " … ", 5.0)
    await providers.aclose()
