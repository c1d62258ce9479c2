"""The detector hears what LiveKit's hears, in whatever pieces the sound comes, and costs no task."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.agents import inference, vad

from runtime.voice.vad import RATE, WINDOW, WINDOW_S, InlineVad
from runtime.voice.wav import Samples, frame_of
from tests.examples import examples
from tests.fakes.speech import take

Kind = vad.VADEventType
PAUSE_S = 0.6


def conversation(rate: int = RATE) -> Samples:
    """Return two phrases with pauses around them."""
    pause = np.zeros(round(PAUSE_S * rate), dtype=np.int16)
    phrases = ("hello i have a question about my invoice", "yes please")
    return np.concatenate([pause, *(part for text in phrases for part in (take(text, rate), pause))])


async def told(detector: vad.VAD, samples: Samples, rate: int = RATE, size: int = 320) -> list[vad.VADEvent]:
    """Return what the detector tells of a sound that comes in frames of `size` samples."""
    stream = detector.stream()
    for start in range(0, samples.size, size):
        stream.push_frame(frame_of(samples[start : start + size], rate))
    stream.end_input()
    events = [event async for event in stream]
    await stream.aclose()
    return events


def turns(events: list[vad.VADEvent]) -> list[tuple[Kind, int]]:
    return [(event.type, event.samples_index) for event in events if event.type is not Kind.INFERENCE_DONE]


async def test_it_hears_what_livekits_hears() -> None:
    sound = conversation()
    ours, theirs = await told(InlineVad(), sound), await told(inference.VAD(), sound)
    assert turns(ours) == turns(theirs)
    assert [event.type for event in ours if event.type is not Kind.INFERENCE_DONE] == 2 * [
        Kind.START_OF_SPEECH,
        Kind.END_OF_SPEECH,
    ]
    for mine, its in zip(
        (event for event in ours if event.type is not Kind.INFERENCE_DONE),
        (event for event in theirs if event.type is not Kind.INFERENCE_DONE),
        strict=True,
    ):
        assert (mine.speech_duration, mine.silence_duration) == pytest.approx(
            (its.speech_duration, its.silence_duration)
        )


async def test_windows_are_told_of_while_they_mean_something() -> None:
    sound = conversation()
    ours, theirs = (
        {event.samples_index: event for event in events if event.type is Kind.INFERENCE_DONE}
        for events in (await told(InlineVad(), sound), await told(inference.VAD(), sound))
    )
    for at, its in theirs.items():
        if its.speaking or its.raw_accumulated_speech > 0:
            assert ours[at].speaking == its.speaking
            assert ours[at].probability == pytest.approx(its.probability, abs=1e-6)
            assert ours[at].raw_accumulated_silence == pytest.approx(its.raw_accumulated_silence)
            assert ours[at].raw_accumulated_speech == pytest.approx(its.raw_accumulated_speech)
    quiet = [event for event in ours.values() if not event.speaking and not event.raw_accumulated_speech]
    assert 1 <= len(quiet) <= 6 < sum(not event.speaking for event in theirs.values())


@settings(max_examples=examples(20), deadline=None)
@given(size=st.integers(1, 3 * WINDOW))
def test_it_hears_the_same_in_whatever_pieces(size: int) -> None:
    sound = conversation()[: 2 * RATE]

    async def heard(pieces: int) -> list[tuple[Kind, int]]:
        return turns(await told(InlineVad(), sound, size=pieces))

    assert asyncio.run(heard(size)) == asyncio.run(heard(WINDOW))


@pytest.mark.parametrize("rate", [8000, 24000, 48000])
async def test_other_rates_are_heard_as_well(rate: int) -> None:
    found = turns(await told(InlineVad(), conversation(rate), rate, rate // 50))
    wanted = turns(await told(InlineVad(), conversation()))
    assert [kind for kind, _ in found] == [kind for kind, _ in wanted]
    assert all(abs(at - should) <= 3 * WINDOW for (_, at), (_, should) in zip(found, wanted, strict=True)), (
        "more than 0.1 s from what is heard at 16 kHz"
    )


async def test_the_speech_comes_in_one_piece() -> None:
    sound, frame = conversation(), 320
    events = await told(InlineVad(prefix_padding_duration=0.3), sound, size=frame)
    spoken = [event for event in events if event.type is not Kind.INFERENCE_DONE]
    for start, end in zip(spoken[::2], spoken[1::2], strict=True):
        pushed = -(-end.samples_index // frame) * frame
        said = np.frombuffer(end.frames[0].data, dtype=np.int16)
        assert np.array_equal(said, sound[pushed - said.size : pushed])
        before = start.frames[0]
        assert np.array_equal(np.frombuffer(before.data, dtype=np.int16), said[: before.samples_per_channel])
        assert 0.3 <= before.duration <= 0.3 + start.speech_duration + 2 * WINDOW_S


async def test_speech_without_end_is_kept_so_far_and_no_further() -> None:
    talk = np.tile(take("hello i have a question about my invoice", RATE), 3)
    events = await told(InlineVad(max_buffered_speech=1.0, min_silence_duration=0.5), np.pad(talk, (0, RATE)))
    (end,) = (event.frames[0] for event in events if event.type is Kind.END_OF_SPEECH)
    assert 1.0 <= end.duration <= 1.0 + 0.5 + 2 * WINDOW_S


async def test_no_task_is_started() -> None:
    before = asyncio.all_tasks()
    stream = InlineVad().stream()
    stream.push_frame(frame_of(conversation(), RATE))
    assert asyncio.all_tasks() == before
    await stream.aclose()
    await stream.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        stream.push_frame(frame_of(conversation(), RATE))


async def test_a_flush_begins_anew() -> None:
    speech = take("hello i have a question about my invoice", RATE)
    stream = InlineVad().stream()
    for _ in range(2):
        stream.push_frame(frame_of(speech[:RATE], RATE))
        stream.flush()
    stream.end_input()
    found = turns([event async for event in stream])
    assert [kind for kind, _ in found] == [Kind.START_OF_SPEECH] * 2
    assert found[0] == found[1]


async def test_options_change_while_it_listens() -> None:
    detector = InlineVad()
    stream = detector.stream()
    detector.update_options(activation_threshold=1.1)
    stream.push_frame(frame_of(conversation(), RATE))
    stream.end_input()
    assert turns([event async for event in stream]) == []
