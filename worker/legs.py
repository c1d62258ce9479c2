"""A caller's leg as a line brings it: who calls whom, and what a worker may do with the telephone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from runtime.conversation.events import Reason, Status
from runtime.errors import PatchbayError
from runtime.session.ports import Telephone
from runtime.voice.live_call import LiveCall

__all__ = ["CallRequest", "Channel", "Departure", "Leg", "NotAnswered"]

Json = Any
Channel = Literal["phone", "web", "voice_test"]


@dataclass(frozen=True, slots=True)
class CallRequest:
    """Who calls whom, and what is to answer: a version, else a workflow, else whatever the dialled number means.

    `caller` is the outside party's number, `dialled` the one they rang (for a call that goes out: the one that was
    called). `external_session_id` is the line's own id of the call (SIP Call-ID). `variables` are presets by name.
    """

    channel: Channel
    direction: Literal["inbound", "outbound"] = "inbound"
    caller: str | None = None
    dialled: str | None = None
    workflow_version_id: str | None = None
    workflow_id: str | None = None
    test_session_id: str | None = None
    variables: Mapping[str, Json] = field(default_factory=dict)
    external_session_id: str | None = None
    room: str | None = None


@dataclass(frozen=True, slots=True)
class Departure:
    """How the other side left: with a goodbye (`caller_hangup`), or without one (`connection_lost`, dropped)."""

    reason: Reason = "caller_hangup"
    status: Status = "completed"


class NotAnswered(PatchbayError):
    """A call was not taken: `reason` is busy, no_answer, not_connected, or caller_hangup where they left before."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Leg(Telephone, Protocol):
    """One caller on a line, from the ring to the hang-up; all of it on one event loop.

    Order: `answer` (or `refuse`), `connect` before `LiveCall.begin`, `gone` until one side has left, `aclose`.
    """

    @property
    def request(self) -> CallRequest: ...

    async def answer(self) -> None:
        """Pick up; for a call that goes out: wait until the other side has. Raises `NotAnswered`."""
        ...

    def refuse(self) -> None:
        """Turn the caller away as busy; no more is to be done with the leg but `aclose`."""
        ...

    async def connect(self, live: LiveCall) -> None:
        """Give the session its ears and its mouth; from now on the caller's keys reach `live.press`."""
        ...

    async def gone(self) -> Departure:
        """Wait until the other side has left, and say how."""
        ...

    def abandon(self) -> None:
        """Leave the caller alone when this closes: the call is another worker's. A line that dies with us just hangs up."""
        ...

    async def aclose(self) -> None:
        """Hang up where the call is still up, and let go of everything. Idempotent."""
        ...
