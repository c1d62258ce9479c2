"""What a load test does: how many callers, whom they reach, what each of them says, and how patient they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from runtime.errors import UsageFault
from runtime.harness.script import Interrupt, Say, Step, parse_script

__all__ = ["CALLERS_A_PROCESS", "LoadPlan", "Patience", "Target", "texts_of"]

CALLERS_A_PROCESS: Final = 16
"""LiveKit's client hands every event of a process to every listener in it: the work grows with the square."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a caller waits, in seconds: for an agent to come, for an answer, and for the agent to have finished."""

    agent_s: float = 20.0
    answer_s: float = 15.0
    pause_s: float = 0.8


@dataclass(frozen=True, slots=True)
class Target:
    """Whom the callers reach: a workflow or a version by id, a dialled number, or (nothing set) the worker's default.

    With a number they come as LiveKit SIP brings telephones in, else as browsers; `as_tests` keeps the latter out of
    the organization's figures.
    """

    workflow_id: str | None = None
    version_id: str | None = None
    dialled: str | None = None
    as_tests: bool = False


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """`calls` at once, begun `ramp` a second; each place calls anew until `total` calls were made or `duration_s` is over.

    Without both every place calls once. `script` is in the form of `runtime.harness.script`. Raises UsageFault.
    """

    script: str
    calls: int = 1
    total: int | None = None
    duration_s: float | None = None
    ramp: float = 2.0
    processes: int | None = None
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        if not any(isinstance(step, Say | Interrupt) for step in self.steps):
            raise UsageFault(
                "The callers say nothing, so that nothing can be measured.",
                remedy='For example: patchbay load --say "I have a question about my bill"',
            )
        if self.total is not None and self.duration_s is not None:
            raise UsageFault(
                "--total and --duration cannot be combined.", remedy="Say how many calls, or for how long."
            )
        if self.total is not None and self.total < self.calls:
            raise UsageFault(
                f"--total {self.total} is less than --calls {self.calls}, the calls at once.",
                remedy="Make --total at least as large, or leave it out: each caller then calls once.",
            )

    @property
    def steps(self) -> tuple[Step, ...]:
        """The script's steps; raises UsageFault that lists every line that is none."""
        return parse_script(self.script)

    @property
    def wanted(self) -> int | None:
        """How many calls are made in all; None where the duration decides."""
        return None if self.duration_s is not None else self.total or self.calls

    @property
    def crew(self) -> int:
        """How many processes the callers are spread over."""
        return min(self.calls, self.processes or math.ceil(self.calls / CALLERS_A_PROCESS))


def texts_of(steps: tuple[Step, ...]) -> tuple[str, ...]:
    """Return what is said in a script, each text once."""
    return tuple(dict.fromkeys(step.text for step in steps if isinstance(step, Say | Interrupt)))
