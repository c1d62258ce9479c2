"""An ear: when a voice begins and ends, whatever the frames it comes in."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runtime.harness.load.ear import BRIDGE_S, Ear, trimmed
from runtime.voice.wav import Samples
from tests.runtime.harness.load.samples import RATE, silence, tone


def heard(*parts: Samples, frame_s: float = 0.1, late_s: float = 0.0) -> Ear:
    """Hear the parts from the time 0 on, in frames; each comes when its last sample was said."""
    ear, size = Ear(RATE), round(frame_s * RATE)
    whole = np.concatenate(parts)
    for start in range(0, whole.size - size + 1, size):
        ear.hear(whole[start : start + size], (start + size) / RATE + late_s)
    return ear


@pytest.mark.parametrize("frame_s", [0.02, 0.05, 0.1])
def test_a_voice_begins_and_ends_where_it_does_in_its_frames(frame_s: float) -> None:
    ear = heard(silence(0.57), tone(0.85), silence(0.58), frame_s=frame_s)
    (voice,) = ear.voices
    assert voice.begin == pytest.approx(0.57, abs=0.011)
    assert voice.end == pytest.approx(1.42, abs=0.011)
    assert ear.last_loud == voice.end
    assert ear.heard_s == pytest.approx(0.85, abs=0.03)


def test_pauses_between_words_belong_to_a_voice_and_longer_ones_part_two() -> None:
    ear = heard(tone(0.5), silence(BRIDGE_S - 0.05), tone(0.5), silence(BRIDGE_S + 0.1), tone(0.5), silence(0.1))
    assert [voice.end - voice.begin for voice in ear.voices] == pytest.approx([1.35, 0.5], abs=0.011)


def test_clicks_and_silence_are_no_voice() -> None:
    ear = heard(silence(0.3), tone(0.01), silence(0.3), tone(0.5, loudness=100), silence(0.3))
    assert ear.voices == []
    assert ear.last_loud == -math.inf


def test_which_voice_is_to_be_heard_when() -> None:
    ear = heard(silence(1.0), tone(1.0), silence(1.0), tone(1.0), silence(0.5))
    first, second = ear.voices
    assert ear.voice_at(0.5) is None
    assert ear.voice_at(1.5) is first
    assert ear.voice_at(2.0 + BRIDGE_S / 2) is first
    assert ear.voice_at(2.0 + BRIDGE_S * 2) is None
    assert ear.voice_since(0.0) is first
    assert ear.voice_since(1.5) is second
    assert ear.voice_since(3.5) is None


def test_gaps_in_what_arrives_are_counted() -> None:
    ear = Ear(RATE)
    for at in (0.1, 0.2, 0.3, 0.65, 0.75, 0.9):
        ear.hear(silence(0.1), at)
    assert ear.gaps == 1
    assert ear.longest_gap_s == pytest.approx(0.25)


def test_what_is_said_begins_and_ends_with_a_voice() -> None:
    whole = np.concatenate([silence(0.2), tone(0.3), silence(0.1), tone(0.2), silence(0.4)])
    assert trimmed(whole).size / RATE == pytest.approx(0.6, abs=0.011)
    assert trimmed(silence(0.2)).size == silence(0.2).size
