"""How far into its text an agent was heard, in sounds whose voice is where it is put."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.types import TimedString
from livekit.agents.voice import io

from runtime.voice.audio import frame_of
from runtime.voice.heard import HeardText, HeardVoice

RATE = 8000
TEXT = "one two three four five six seven eight nine ten"


class Sink(io.AudioOutput):
    """Plays nothing: a test says how far it got."""

    def __init__(self) -> None:
        super().__init__(label="sink", capabilities=io.AudioOutputCapabilities(pause=True), sample_rate=RATE)
        self.cleared = 0
        self.flushed = 0
        self.frames = 0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        self.frames += 1

    def flush(self) -> None:
        super().flush()
        self.flushed += 1

    def clear_buffer(self) -> None:
        self.cleared += 1


@dataclass
class Said:
    """A voice and its text, and what each utterance was heard to say."""

    sink: Sink = field(default_factory=Sink)
    text: HeardText = field(default_factory=HeardText)
    heard: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.voice = HeardVoice(self.sink, self.text)
        self.voice.on("playback_finished", lambda event: self.heard.append(event.synchronized_transcript))

    async def sounds(self, *parts: tuple[float, bool]) -> None:
        """Give so many seconds of voice (True) or silence."""
        for seconds, loud in parts:
            samples = np.full(round(seconds * RATE), 3000 if loud else 0, dtype=np.int16)
            await self.voice.capture_frame(frame_of(samples, RATE))

    async def says(self, *parts: tuple[float, bool], text: str = TEXT) -> None:
        """Say a whole utterance: its text, its sound, and the end of both."""
        await self.text.capture_text(text)
        self.text.flush()
        await self.sounds(*parts)
        self.voice.flush()

    def plays(self, seconds: float, *, interrupted: bool = True) -> str | None:
        self.sink.on_playback_finished(playback_position=seconds, interrupted=interrupted)
        return self.heard[-1]


@pytest.fixture
async def said() -> Said:
    return Said()


async def test_what_was_not_cut_off_was_heard_to_its_end(said: Said) -> None:
    await said.says((1.0, True))
    assert said.plays(1.0, interrupted=False) == TEXT


@pytest.mark.parametrize(
    ("seconds", "heard"),
    [(0.0, ""), (5.0, "one two three four five"), (9.4, "one two three four five six seven eight nine"), (10.0, TEXT)],
)
async def test_a_cut_is_a_share_of_the_text_to_a_whole_word(said: Said, seconds: float, heard: str) -> None:
    await said.says((4.0, True), (6.0, True))
    assert said.plays(seconds) == heard


async def test_no_word_is_heard_in_silence(said: Said) -> None:
    await said.says((1.0, False), (5.0, True), (3.0, False), (5.0, True))
    assert said.plays(1.0) == ""
    await said.says((1.0, False), (5.0, True), (3.0, False), (5.0, True))
    assert said.plays(9.0) == "one two three four five"


async def test_a_text_without_spaces_is_cut_where_it_is(said: Said) -> None:
    await said.says((10.0, True), text="一二三四五六七八九十")
    assert said.plays(3.0) == "一二三"


async def test_a_cut_before_all_was_synthesised_goes_by_the_pace_of_speech(said: Said) -> None:
    await said.text.capture_text(TEXT)
    await said.sounds((2.0, True))
    said.voice.clear_buffer()
    said.voice.flush()
    assert said.plays(1.0) == "one two three"


async def test_the_pace_is_that_of_the_calls_own_voice(said: Said) -> None:
    await said.says((10.0, True))
    said.plays(10.0, interrupted=False)
    await said.text.capture_text(TEXT)
    await said.sounds((8.0, True))
    said.voice.flush()
    assert said.plays(3.0) == "one two three"


async def test_a_voice_that_failed_was_heard_as_far_as_it_got(said: Said) -> None:
    await said.text.capture_text(TEXT)
    said.text.flush()
    await said.sounds((1.0, True))
    said.voice._mark_input_truncated()
    said.voice.flush()
    assert said.plays(1.0, interrupted=False) == "one two three"


async def test_where_the_voice_times_its_words_they_are_taken_at_their_word(said: Said) -> None:
    for number, word in enumerate(TEXT.split()):
        await said.text.capture_text(TimedString(f"{word} ", start_time=number * 2.0))
    said.text.flush()
    await said.sounds((20.0, True))
    said.voice.flush()
    assert said.plays(4.5) == "one two three "


async def test_each_utterance_is_its_own(said: Said) -> None:
    await said.says((1.0, True), text="First.")
    said.plays(1.0, interrupted=False)
    await said.says((1.0, True), text="Second.")
    said.plays(1.0, interrupted=False)
    assert said.heard == ["First.", "Second."]


async def test_a_text_that_no_sound_came_of_is_nothing_of_the_next_one(said: Said) -> None:
    await said.text.capture_text("Nobody hears this.")
    said.text.flush()
    said.voice.flush()
    await said.says((1.0, True), text="Heard.")
    assert said.plays(1.0, interrupted=False) == "Heard."


async def test_the_sink_gets_all_there_is(said: Said) -> None:
    await said.says((1.0, True), (1.0, True))
    said.voice.clear_buffer()
    assert (said.sink.frames, said.sink.flushed, said.sink.cleared) == (2, 1, 1)
    assert said.voice.sample_rate == RATE
