"""The voice test over a WebSocket: what both sides send, in one place (docs/voice-api.md tells others)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from runtime.harness.phone import Standing
from runtime.session.ports import EventRow

__all__ = [
    "FRAME_S",
    "RATES",
    "BadMessage",
    "Control",
    "DtmfControl",
    "HangupControl",
    "InterruptControl",
    "MuteControl",
    "event_of",
    "longest_frame",
    "read_control",
    "told",
    "told_event",
    "told_standing",
]

Json = Any
RATES: Final = (8000, 16000, 24000, 48000)
"""What a client may speak at, in Hz."""
FRAME_S: Final = 1.0
"""The longest audio that one message may hold."""
_LONGEST: Final = 4096

ErrorCode = Literal["bad_message", "bad_audio", "too_fast"]


class _Control(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class DtmfControl(_Control):
    """Keys, one after the other."""

    type: Literal["dtmf"]
    digits: str = Field(pattern=r"^[0-9*#A-Da-d]{1,64}$")


class MuteControl(_Control):
    """While muted the agent hears silence, whatever is sent."""

    type: Literal["mute"]
    muted: bool


class InterruptControl(_Control):
    """Cut the agent off."""

    type: Literal["interrupt"]


class HangupControl(_Control):
    """Leave."""

    type: Literal["hangup"]


Control: TypeAlias = DtmfControl | MuteControl | InterruptControl | HangupControl
_CONTROL: Final[TypeAdapter[Control]] = TypeAdapter(Annotated[Control, Field(discriminator="type")])


class BadMessage(Exception):
    """What came is no message of the protocol, or no audio; the call goes on."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message


def read_control(text: str) -> Control:
    """Return a client's control message; raises `BadMessage`."""
    if len(text) > _LONGEST:
        raise BadMessage("bad_message", f"A control message has at most {_LONGEST} characters.")
    try:
        return _CONTROL.validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, found["loc"])) or "$"
        raise BadMessage("bad_message", f"{place}: {found['msg']}") from None


def longest_frame(rate: int) -> int:
    """Return how many bytes of audio one message may hold at most."""
    return int(2 * rate * FRAME_S)


def told(kind: str, **more: Json) -> str:
    """Return a message as it is sent."""
    return json.dumps({"type": kind, **more}, ensure_ascii=False)


def told_event(event: EventRow) -> str:
    """Return the message that tells a stored event, in the shape of `patchbay call --json`."""
    return told(
        "event",
        event={
            "session_id": event.session_id,
            "seq": event.seq,
            "event_type": event.event_type,
            "occurred_at": event.occurred_at.isoformat(),
            "payload": dict(event.payload),
        },
    )


def event_of(row: Mapping[str, Json]) -> EventRow:
    """Return an event as it was told; whose it is, is not."""
    return EventRow(
        session_id=row["session_id"],
        organization_id="",
        seq=row["seq"],
        event_type=row["event_type"],
        payload=row["payload"],
        agent_id=row["payload"].get("agent_id"),
        occurred_at=datetime.fromisoformat(row["occurred_at"]),
    )


def told_standing(standing: Standing) -> str:
    """Return the message that tells how the call stands."""
    return told(
        "state",
        turn=standing.turn,
        busy=standing.busy,
        audible=standing.audible,
        keypad=standing.keypad,
        keys=standing.keys,
        ending=standing.ending,
    )
