"""The protocol of voice tests: what is a message, what is none, and events that survive the journey."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.harness.phone import Standing
from runtime.harness.wire import (
    BadMessage,
    Control,
    DtmfControl,
    HangupControl,
    InterruptControl,
    MuteControl,
    event_of,
    longest_frame,
    read_control,
    told,
    told_event,
    told_standing,
)
from runtime.session.ports import EventRow

DOCUMENT = (Path(__file__).parents[3] / "docs" / "voice-api.md").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": "dtmf", "digits": "12#d"}', DtmfControl(type="dtmf", digits="12#d")),
        ('{"type": "mute", "muted": true}', MuteControl(type="mute", muted=True)),
        ('{"type": "interrupt"}', InterruptControl(type="interrupt")),
        ('{"type": "hangup"}', HangupControl(type="hangup")),
    ],
)
def test_a_message_is_read(text: str, message: Control) -> None:
    assert read_control(text) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"type": "dance"}',
        '{"type": "dtmf"}',
        '{"type": "dtmf", "digits": ""}',
        '{"type": "dtmf", "digits": "1x"}',
        '{"type": "dtmf", "digits": "' + "1" * 65 + '"}',
        '{"type": "mute", "muted": true, "more": 1}',
        '{"type": "hangup"}' + " " * 5000,
        "[" * 4000,
    ],
)
def test_what_is_no_message_is_refused_and_says_why(text: str) -> None:
    with pytest.raises(BadMessage) as bad:
        read_control(text)
    assert bad.value.code == "bad_message"
    assert bad.value.message


@given(st.text())
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        read_control(text)
    except BadMessage as bad:
        json.dumps(bad.message)


def test_an_event_is_the_same_at_the_other_end() -> None:
    payload: dict[str, Any] = {"v": 1, "text": "Grüße •••", "agent_id": "a-1"}
    event = EventRow("s-1", "", 7, "user_turn", payload, "a-1", datetime.now(UTC))
    assert event_of(json.loads(told_event(event))["event"]) == event


def test_the_standing_is_told_whole() -> None:
    message = json.loads(told_standing(Standing(turn=3, busy=True, keys=4)))
    assert message == {
        "type": "state",
        "turn": 3,
        "busy": True,
        "audible": False,
        "keypad": False,
        "keys": 4,
        "ending": False,
    }


def test_a_message_of_audio_lasts_a_second_at_most() -> None:
    assert [longest_frame(rate) for rate in (8000, 48000)] == [16000, 96000]


def test_every_message_is_documented() -> None:
    own = [get_args(each.model_fields["type"].annotation)[0] for each in get_args(Control)]
    states = json.loads(told_standing(Standing())).keys() - {"type"}
    for name in (*own, "ready", "event", "state", "clear", "error", "ended", *states):
        assert f"| `{name}` |" in DOCUMENT, name
    assert json.loads(told("clear")) == {"type": "clear"}
