"""A voice that takes whole texts speaks sentence by sentence, as LiveKit's adapter has it do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing

import pytest
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, tokenize, tts

from runtime.voice.sentences import sentences
from tests.fakes.voice_providers import Throat

OPTIONS = APIConnectOptions(max_retry=0, timeout=1.0)
LONG = "Your order was sent on Monday morning. It will be with you by Wednesday at noon. Is there anything else?"


async def pieces(text: str) -> AsyncIterator[str]:
    for piece in text.split(" "):
        yield piece + " "
        await asyncio.sleep(0)


async def adapted(throat: Throat, text: AsyncIterable[str]) -> AsyncIterator[rtc.AudioFrame]:
    adapter = tts.StreamAdapter(tts=throat, sentence_tokenizer=tokenize.blingfire.SentenceTokenizer(retain_format=True))
    async with adapter.stream(conn_options=OPTIONS) as stream:
        async for piece in text:
            stream.push_text(piece)
        stream.end_input()
        async for sound in stream:
            yield sound.frame
    await adapter.aclose()


async def heard(frames: AsyncIterable[rtc.AudioFrame]) -> bytes:
    return b"".join([frame.data.tobytes() async for frame in frames])


@pytest.mark.parametrize("text", [LONG, "Yes.", "One moment, please", " … ", "", "Hello. " * 20])
async def test_it_asks_for_and_says_what_the_adapter_does(text: str) -> None:
    ours, theirs = Throat(), Throat()
    sound = await heard(sentences(ours, pieces(text), OPTIONS))
    await heard(adapted(theirs, pieces(text)))
    assert ours.spoken == theirs.spoken
    assert bool(sound) == bool(text.strip())


async def test_the_first_sentence_is_heard_while_the_text_goes_on() -> None:
    throat, more = Throat(), asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield "Your order was sent on Monday morning. It will be with you by "
        await more.wait()
        yield "Wednesday at noon."

    async with aclosing(sentences(throat, text(), OPTIONS)) as frames:  # type: ignore[type-var]
        await anext(frames)
        assert throat.spoken == ["Your order was sent on Monday morning."]
        more.set()
        rest = [frame async for frame in frames]
    assert rest
    assert throat.spoken[1:] == ["It will be with you by Wednesday at noon."]


async def test_a_voice_that_fails_and_a_text_that_breaks_off_are_told() -> None:
    with pytest.raises(APIConnectionError):
        await heard(sentences(Throat(lambda _text: "fails"), pieces(LONG), OPTIONS))

    async def broken() -> AsyncIterator[str]:
        yield "Hello there, my friend."
        raise ValueError("the model is gone")

    with pytest.raises(ValueError, match="gone"):
        await heard(sentences(Throat(), broken(), OPTIONS))


async def test_who_stops_listening_leaves_nothing_running() -> None:
    before = asyncio.all_tasks()
    async with aclosing(sentences(Throat(), pieces(LONG), OPTIONS)) as frames:  # type: ignore[type-var]
        await anext(frames)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
