"""The caller's ear and the agent's mouth in a room, on a room that is told what happens and in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.voice.io import PlaybackFinishedEvent

from runtime.tasks import spawn
from runtime.voice.audio import frame_of, samples_of
from tests.runtime.voice.test_audio import Clock, settle
from tests.worker.rooms.told_room import Publication, Somebody, ToldRoom
from worker.rooms import ffi, sound
from worker.rooms.sound import LEAD_S, RATE, VOICE_FRAME_MS, VOICE_RATE, Ears, Mouth

FRAME = VOICE_RATE * VOICE_FRAME_MS // 1000
QUEUED = round(LEAD_S * 1000 / VOICE_FRAME_MS) + 1  # frames that are handed on before the first has been heard


@dataclass
class Source:
    """What a track would play: the frames' samples since it was last cleared."""

    queued: list[np.ndarray[Any, Any]] = field(default_factory=list)
    cleared: int = 0
    closed: bool = False

    def clear_queue(self) -> None:
        self.queued.clear()
        self.cleared += 1

    async def aclose(self) -> None:
        self.closed = True


class Speaking:
    """A mouth in a room, and what became of it."""

    def __init__(self, room: ToldRoom, source: Source) -> None:
        self.room = room
        self.source = source
        self.clock = Clock()
        self.finished: list[PlaybackFinishedEvent] = []
        self.mouth = Mouth(room.real, clock=self.clock, sleep=self.clock.sleep)
        self.mouth.on("playback_finished", self.finished.append)

    async def say(self, frames: int) -> None:
        """Say so many frames, numbered from 1."""
        for number in range(1, frames + 1):
            await self.mouth.capture_frame(frame_of(np.full(FRAME, number, dtype=np.int16), VOICE_RATE))
        self.mouth.flush()

    @property
    def queued(self) -> list[int]:
        """The numbers of the frames that lie in the track's queue."""
        return [int(number) for samples in self.source.queued for number in dict.fromkeys(samples.tolist())]


@pytest.fixture
async def speaking(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Speaking]:
    source = Source()
    monkeypatch.setattr(rtc, "AudioSource", lambda *_args, **_more: source)
    monkeypatch.setattr(rtc.LocalAudioTrack, "create_audio_track", lambda *_args: object())
    monkeypatch.setattr(sound, "capture", lambda to, frame: to.queued.append(samples_of(frame).copy()))
    spoken = Speaking(ToldRoom(), source)
    yield spoken
    await spoken.mouth.aclose()
    assert source.closed


async def test_nothing_is_said_before_the_caller_listens(speaking: Speaking) -> None:
    words = spawn(speaking.say(2), name="words")
    await settle()
    assert not speaking.queued
    speaking.room.subscribed.set()
    await words
    await speaking.mouth.wait_for_playout()
    assert speaking.queued == [1, 2]
    assert [(event.playback_position, event.interrupted) for event in speaking.finished] == [(0.2, False)]


async def test_the_track_sends_nothing_in_silence_and_each_sound_once(speaking: Speaking) -> None:
    speaking.room.subscribed.set()
    await settle()
    options = speaking.room.published[0]
    assert (options.dtx, options.red, options.source) == (True, False, rtc.TrackSource.SOURCE_MICROPHONE)


async def test_an_interruption_is_silent_at_once_and_says_how_far_it_was_heard(speaking: Speaking) -> None:
    speaking.room.subscribed.set()
    speaking.clock.stopped_at = 100.15
    await speaking.say(40)
    await settle()
    assert len(speaking.queued) > QUEUED
    speaking.mouth.clear_buffer()
    assert speaking.source.queued == []
    heard = speaking.finished[0]
    assert heard.interrupted
    assert heard.playback_position == pytest.approx(speaking.clock.now - 100.0, abs=0.001)


async def test_what_a_pause_cut_off_is_said_when_it_goes_on(speaking: Speaking) -> None:
    speaking.room.subscribed.set()
    speaking.clock.stopped_at = 100.15
    await speaking.say(20)
    await settle()
    handed_on = len(speaking.queued)
    heard_s = speaking.clock.now - 100.0
    speaking.mouth.pause()
    assert speaking.source.queued == []
    speaking.clock.stopped_at = None
    await settle()
    assert speaking.source.queued == []
    assert speaking.finished == []
    speaking.mouth.resume()
    await speaking.mouth.wait_for_playout()
    again = sum(samples.size for samples in speaking.source.queued)
    assert again == 20 * FRAME - round(heard_s * VOICE_RATE)
    assert speaking.queued[0] <= handed_on
    assert speaking.finished[0].playback_position == pytest.approx(20 * VOICE_FRAME_MS / 1000)


async def test_a_pause_while_nothing_is_said_changes_nothing(speaking: Speaking) -> None:
    speaking.room.subscribed.set()
    speaking.mouth.pause()
    speaking.mouth.resume()
    await speaking.say(3)
    await speaking.mouth.wait_for_playout()
    assert speaking.queued == [1, 2, 3]


# ---------------------------------------------------------------- ears


class Stream:
    """A track's frames: what is put into it, until `end`."""

    opened: list[Stream]

    def __init__(self) -> None:
        self._frames: asyncio.Queue[rtc.AudioFrame | None] = asyncio.Queue()
        self.closed = False

    def says(self, value: int) -> None:
        self._frames.put_nowait(frame_of(np.full(RATE // 10, value, dtype=np.int16), RATE))

    def end(self) -> None:
        self._frames.put_nowait(None)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> rtc.AudioFrameEvent:
        frame = await self._frames.get()
        if frame is None:
            raise StopAsyncIteration
        return rtc.AudioFrameEvent(frame)

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """A track is its own stream."""
    monkeypatch.setattr(rtc.AudioStream, "from_track", lambda *, track, **_more: track)
    monkeypatch.setattr(ffi, "KNOWN", False)


async def heard(ears: Ears) -> int:
    """Return the value of the next frame."""
    return int(samples_of(await anext(ears))[0])


def publish(room: ToldRoom, who: Somebody, publication: Publication) -> Stream:
    """Have somebody publish a track, which is subscribed to as a room does by itself."""
    stream = Stream()
    room.emit("track_published", publication, who)
    if publication.wanted:
        publication.track = stream
        room.emit("track_subscribed", cast("Any", stream), publication, who)
    return stream


async def test_the_callers_microphone_is_heard_and_nobody_else(streams: None) -> None:
    stranger = Somebody("bert", track_publications={"b": Publication()})
    caller = Somebody("anna")
    room = ToldRoom(stranger, caller)
    ears = Ears(room.real, "anna")
    assert not stranger.track_publications["b"].wanted
    screen = Publication(source=rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO)
    publish(room, caller, screen)
    assert not screen.wanted
    publish(room, caller, Publication()).says(7)
    assert await heard(ears) == 7
    await ears.aclose()


async def test_a_microphone_that_was_there_before_is_heard(streams: None) -> None:
    stream = Stream()
    caller = Somebody("anna", track_publications={"m": Publication(track=stream)})
    ears = Ears(ToldRoom(caller).real, "anna")
    stream.says(3)
    assert await heard(ears) == 3
    await ears.aclose()
    assert stream.closed


async def test_a_track_that_ends_ends_the_word_and_the_next_one_is_heard(streams: None) -> None:
    room, caller = ToldRoom(), Somebody("anna")
    ears = Ears(room.real, "anna")
    first = publish(room, caller, Publication())
    first.says(1)
    assert await heard(ears) == 1
    first.end()
    tail = await anext(ears)
    assert not samples_of(tail).any()
    assert tail.duration == 0.5
    publish(room, caller, Publication(sid="TR_next")).says(2)
    assert await heard(ears) == 2
    await ears.aclose()


async def test_a_track_that_takes_anothers_place_is_heard_alone(streams: None) -> None:
    room, caller = ToldRoom(), Somebody("anna")
    ears = Ears(room.real, "anna")
    first = publish(room, caller, Publication())
    await settle()
    second = publish(room, caller, Publication(sid="TR_next"))
    await settle()
    first.says(1)
    second.says(2)
    assert await heard(ears) == 2
    assert first.closed
    await ears.aclose()


async def test_ears_that_are_closed_follow_nobody(streams: None) -> None:
    room, caller = ToldRoom(), Somebody("anna")
    ears = Ears(room.real, "anna")
    await ears.aclose()
    await ears.aclose()
    publish(room, caller, Publication())
    with pytest.raises(StopAsyncIteration):
        await anext(ears)
