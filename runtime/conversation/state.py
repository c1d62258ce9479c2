"""Where a call stands: a frozen value, which is the fold (folding.py) of the facts so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.conversation import events as ev

__all__ = ["UNREADABLE", "CallState", "Known", "Pending", "Returned", "Running"]

Json = Any
UNREADABLE = "•••"
"""What stands in a payload for a sensitive value, and is all that is left of it where no key opens its secret."""


@dataclass(frozen=True, slots=True)
class Known:
    """A value that counts."""

    value: Json
    source: ev.Source


@dataclass(frozen=True, slots=True)
class Pending:
    """A value that waits for the caller's own yes; `read_back_turn` is the turn in which the agent said it."""

    value: Json
    source: ev.Source
    turn: int
    read_back_turn: int | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A tool that runs: how it was started, the event's number, and the stay at which it was asked for."""

    fact: ev.ToolStarted
    seq: int
    stay: int


@dataclass(frozen=True, slots=True)
class Returned:
    """A tool that has just ended, by its event's number: what it brought that nothing was made of yet, and its path."""

    started: ev.ToolStarted
    seq: int
    values: Mapping[str, Json]
    path_id: str | None


@dataclass(frozen=True)  # no slots: see `_with` in folding.py
class CallState:
    """All that the rules of a call remember."""

    seq: int = 0
    session_id: str = ""
    channel: str = ""
    direction: str = "inbound"
    caller: str | None = None
    dialled: str | None = None
    started: bool = False
    ended: bool = False
    agent_id: str | None = None
    stay: int = 0
    left: bool = False
    closing: ev.Reason | None = None
    """Why the call is about to end: the last agent has been left for it."""
    reopened: bool = False
    hold: bool = False
    hold_ms: int = 0
    hold_s: float = 0.0
    talk_ms: int | None = None
    """When the first agent was entered: from then on the call's longest duration is counted."""
    spoke_here: bool = False
    """Whether the agent has said anything since it was entered, or since it was left."""
    owed: bool = False
    """Something happened that the model has not spoken about: a turn, a tool's end, a refusal."""
    under_way: str | None = None
    """The path that was taken and has not led anywhere yet: the next agent is not entered, the call not over."""
    said: str | None = None
    """The caller's newest turn where it was spoken."""
    wanted: ev.PathRequested | None = None
    """The path that was asked for and is not decided on."""
    pressed: str | None = None
    """A key that has not been acted on, be it a menu's or the last of an entry."""
    keyed_in: str | None = None
    """An entry that is complete and has come to nothing yet; it is the caller's turn where `owed` is true."""
    question: str | None = None
    """What the agent has asked and the caller has not answered."""
    failures: int = 0
    """Answers in a row that failed and were apologised for; the newest in turn `failed_turn`."""
    failed_turn: int = -1
    entered_ms: int = 0
    entered_turn: int = 0
    visits: Mapping[str, int] = field(default_factory=dict)
    turn: int = 0
    turn_ms: int = 0
    cue: int | None = None
    """The event that what follows from no signal of its own follows from: the caller's turn, a path, a silence."""
    path_turn: int | None = None
    automatic: frozenset[str] = frozenset()
    faulted: frozenset[str] = frozenset()
    last_taken: Mapping[str, int] = field(default_factory=dict)
    known: Mapping[str, Known] = field(default_factory=dict)
    pending: Mapping[str, Pending] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    attempted: frozenset[str] = frozenset()
    asked: str | None = None
    focus: str | None = None
    guarded: str | None = None
    heard: tuple[str, ...] = ()
    keyed: tuple[str, ...] = ()
    found: tuple[tuple[str, str], ...] = ()
    denied: frozenset[tuple[str, str]] = frozenset()
    partials: tuple[str, ...] = ()
    entry: str | None = None
    entry_full: bool = False
    silences: int = 0
    spoken: int = 0
    tools: Mapping[str, Running] = field(default_factory=dict)
    returned: Returned | None = None
    at_start: Mapping[str, bool] = field(default_factory=dict)
    """What ran before the first agent, by name, and whether it succeeded."""
    transfer: ev.TransferStarted | None = None
    failed: frozenset[str] = frozenset()
    """Paths whose transfer failed: the engine does not take them by itself again."""

    @property
    def ending(self) -> bool:
        """The last agent has been left and no other entered: nothing is asked for any more."""
        return self.left or self.ended

    @property
    def values(self) -> dict[str, Json]:
        """The values that count, by name."""
        return {name: known.value for name, known in self.known.items()}
