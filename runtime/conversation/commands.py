"""Orders to the world, in the imperative; one closed union."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.conversation.events import Reason
from runtime.conversation.signals import Timer

__all__ = ["Command"]


@dataclass(frozen=True, slots=True)
class EnterAgent:
    """Put this agent's instructions, tools and pipeline in force, and let it speak.

    `text` is said without asking a model; where it is empty, `ask_model` tells whether the model opens the stay.
    """

    agent_id: str
    stay: int
    text: str
    interruptible: bool
    ask_model: bool


@dataclass(frozen=True, slots=True)
class AskModel:
    """Let the current agent's model answer. `user_text` is a turn it has not heard as speech (a keypad entry)."""

    user_text: str | None = None


@dataclass(frozen=True, slots=True)
class Say:
    """Say this, without asking a model. `reads_back` names the variable whose value it reads back."""

    text: str
    interruptible: bool = True
    reads_back: str | None = None


@dataclass(frozen=True, slots=True)
class StopSpeaking:
    """Fall silent at once."""


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Report `TimerFired` after `seconds`; a running timer of this name starts again."""

    name: Timer
    seconds: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget the timer."""

    name: Timer


@dataclass(frozen=True, slots=True)
class ReportUsage:
    """Report what the providers used during the stay that has just ended."""

    agent_id: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Hand the caller to another telephone; report `TransferEnded`."""

    to: str
    say: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call once all that is to be said has been said; report `CallStopped` with this reason."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class StayOnLine:
    """Forget the `HangUp` that was ordered: the caller has more to say."""


@dataclass(frozen=True, slots=True)
class Close:
    """The call has ended; let go of everything."""


Command = (
    EnterAgent
    | AskModel
    | Say
    | StopSpeaking
    | StartTimer
    | CancelTimer
    | ReportUsage
    | Transfer
    | HangUp
    | StayOnLine
    | Close
)
