"""Texts made into sound beforehand: made once, kept while there is room, spoken without the voice service."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from livekit.agents import tts

from runtime.voice.speech_files import SpeechFiles
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


# ------------------------------------------------------------ on disk


async def test_what_one_process_has_made_another_reads_and_asks_no_voice(tmp_path: Path) -> None:
    first, throat = SpokenCache(files=SpeechFiles(tmp_path, 2**20)), Throat()
    assert await first.prepare(throat, "v", "Good day.", 5.0)
    await first.saved()
    second, silent = SpokenCache(files=SpeechFiles(tmp_path, 2**20)), Throat()
    assert await second.prepare(silent, "v", " Good  day. ", 5.0)
    assert silent.spoken == []
    made, read = first.find("v", "Good day."), second.find("v", "Good day.")
    assert made is not None
    assert read is not None
    assert (read.rate, read.samples.tolist()) == (made.rate, made.samples.tolist())


async def test_what_is_recalled_was_made_once_and_nothing_is_made_for_it(tmp_path: Path) -> None:
    cache = SpokenCache(files=SpeechFiles(tmp_path, 2**20))
    assert not await cache.recall("v", "Good day.")
    await cache.prepare(Throat(), "v", "Good day.", 5.0)
    await cache.saved()
    assert await SpokenCache(files=cache.files).recall("v", "Good day.")
    assert not await SpokenCache().recall("v", "Good day.")


async def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    files, throat = SpeechFiles(tmp_path, 2**20), Throat()
    await _made(files, throat)
    (path,) = tmp_path.glob("*.wav")
    path.write_bytes(path.read_bytes()[:-1])
    await _made(files, throat)
    assert throat.spoken == ["Good day.", "Good day."]
    assert await SpokenCache(files=files).recall("v", "Good day.")


async def test_a_voice_that_is_on_this_machine_needs_no_disk(tmp_path: Path) -> None:
    class Local(Throat):
        provider = "local"

    await _made(SpeechFiles(tmp_path, 2**20), Local())
    assert not list(tmp_path.iterdir())


async def test_the_voice_of_a_fallback_is_not_kept_as_the_one_it_stood_in_for(tmp_path: Path) -> None:
    files, standin = SpeechFiles(tmp_path, 2**20), Throat()
    chain = tts.FallbackAdapter([Throat(lambda _text: "fails"), standin])
    cache = SpokenCache(files=files)
    assert not await cache.prepare(chain, "v", "Good day.", 5.0)
    assert standin.spoken == []
    assert not list(tmp_path.iterdir())
    await chain.aclose()


async def test_a_text_with_this_calls_values_stays_in_memory(tmp_path: Path) -> None:
    providers = Standins(Mind(lambda _asked: []), Throat(), Ears(), Throb())
    providers.spoken = SpokenCache(files=SpeechFiles(tmp_path, 2**20))
    assert providers.own_spoken.files is None
    assert await prerender(providers.own_spoken, providers, agent(), "Hello, Ms. Doe.", 5.0)
    await providers.own_spoken.saved()
    assert not list(tmp_path.iterdir())
    await providers.aclose()


def test_what_has_gone_begins_nothing() -> None:
    cache = SpokenCache(most_bytes=2000)
    cache.keep("v", "one", recording(1))
    cache.keep("v", "two", recording(1))
    assert not cache.may_begin("v", "one")
    assert cache.may_begin("v", "two")


async def _made(files: SpeechFiles, throat: Throat) -> None:
    cache = SpokenCache(files=files)
    assert await cache.prepare(throat, "v", "Good day.", 5.0)
    await cache.saved()
