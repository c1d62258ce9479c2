"""What is known of a supervised process, for those who ask: health, readiness, metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worker.child import Status

__all__ = ["Child", "Condition", "ProcessState", "Timing"]

Condition = Literal["ready", "not_ready", "draining", "silent", "dead"]


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient a supervisor is, in seconds.

    A restart waits `backoff_s` (first, longest), doubled each time and back to the first after `healthy_s` of life. A
    process may be silent for `silent_s`, before its first word for `starting_s`; it gets `abort_s` to print its stack,
    and `kill_s` after a second signal.
    """

    backoff_s: tuple[float, float] = (0.5, 30.0)
    healthy_s: float = 60.0
    silent_s: float = 20.0
    starting_s: float = 90.0
    abort_s: float = 2.0
    kill_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Child:
    """A process to be kept running: its command, and what is added to this process's environment."""

    argv: tuple[str, ...]
    env: dict[str, str]


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One process as it stands; `pid` is None and `status` old news while it is dead and not started again yet."""

    number: int
    pid: int | None
    status: Status | None
    silent: bool
    restarts: int

    @property
    def reporting(self) -> bool:
        """Whether it lives and has said how it stands lately."""
        return self.pid is not None and self.status is not None and not self.silent

    @property
    def condition(self) -> Condition:
        """The state in one word."""
        if self.pid is None:
            return "dead"
        if self.status is None:
            return "not_ready"
        if self.silent:
            return "silent"
        if self.status.draining:
            return "draining"
        return "ready" if self.status.ready else "not_ready"

    @property
    def why(self) -> str | None:
        """Why it takes no calls, in words; None where it does."""
        match self.condition:
            case "ready":
                return None
            case "dead":
                return "it has ended and is about to be started again"
            case "silent":
                return "it says nothing: its event loop is blocked"
            case "draining" | "not_ready":
                given = self.status.why if self.status else "it is starting"
                return given or ("it is draining" if self.condition == "draining" else "it is not ready")
