"""What one call of a load test takes of the workers, and what it takes of the callers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from runtime.harness.load.machine import WorkerSample
from runtime.harness.load.run import Outcome

__all__ = ["CallersShare", "WorkersShare", "callers_share", "workers_share"]

_PLATEAU: Final = 0.9
_SHORTEST_S: Final = 2.0
_SHORT_OF_CPU: Final = 0.85
_LATE_MS: Final = 100.0


@dataclass(frozen=True, slots=True)
class WorkersShare:
    """What the workers took while at least 90 % of the most calls ran, divided by the calls.

    `cpu_percent` of one core a call, `memory_mb` grown a call since before the first; `calls` is the mean number then.
    """

    calls: float
    seconds: float
    cpu_percent: float | None
    memory_mb: float | None
    cores: float | None


@dataclass(frozen=True, slots=True)
class CallersShare:
    """What the callers took: cores in all, percent of a core a call, and how late their event loops were (ms, p99).

    `short_of_cpu`: so much, or so late, that the latencies are partly theirs.
    """

    cores: float
    cpu_percent: float | None
    late_ms: float
    short_of_cpu: bool


@dataclass(frozen=True, slots=True)
class _Step:
    """From one sample of the workers to the next; `calls` had an agent at its ends, on the average."""

    before: WorkerSample
    after: WorkerSample
    calls: float

    @property
    def seconds(self) -> float:
        return self.after.at_s - self.before.at_s

    @property
    def cpu_s(self) -> float | None:
        """None where it is not told, or where a process ended and took its count with it."""
        if self.before.cpu_s is None or self.after.cpu_s is None or self.after.cpu_s < self.before.cpu_s:
            return None
        return self.after.cpu_s - self.before.cpu_s


def workers_share(outcome: Outcome) -> WorkersShare | None:
    """Return what the workers took, from steps between samples on the plateau; None where these last under two seconds."""
    steps = _plateau(outcome)
    seconds = sum(step.seconds for step in steps)
    if seconds < _SHORTEST_S:
        return None
    calls = sum(step.calls * step.seconds for step in steps) / seconds
    cores = _cores(steps)
    return WorkersShare(
        calls=round(calls, 1),
        seconds=round(seconds, 1),
        cpu_percent=None if cores is None else round(100 * cores / calls, 2),
        memory_mb=_grown_mb(outcome.workers[0], steps, calls),
        cores=None if cores is None else round(cores, 2),
    )


def _plateau(outcome: Outcome) -> list[_Step]:
    workers, concurrency = outcome.workers, outcome.concurrency
    peak = max((each.talking for each in concurrency), default=0)
    if not workers or not peak:
        return []
    times, calls = [each.at_s for each in concurrency], [each.talking for each in concurrency]
    talking = np.interp([each.at_s for each in workers], times, calls)
    steps = zip(workers, workers[1:], talking, talking[1:], strict=False)
    return [_Step(a, b, float(m + n) / 2) for a, b, m, n in steps if min(m, n) >= _PLATEAU * peak]


def _cores(steps: Sequence[_Step]) -> float | None:
    told = [(step.cpu_s, step.seconds) for step in steps if step.cpu_s is not None]
    return sum(cpu_s for cpu_s, _ in told) / sum(seconds for _, seconds in told) if told else None


def _grown_mb(idle: WorkerSample, steps: Sequence[_Step], calls: float) -> float | None:
    told = [step.after.memory_mb for step in steps if step.after.memory_mb is not None]
    return round(max(0.0, max(told) - idle.memory_mb) / calls, 2) if told and idle.memory_mb is not None else None


def callers_share(outcome: Outcome) -> CallersShare | None:
    """Return what the callers took; None where their processes did not say."""
    if not outcome.processes:
        return None
    used = sum(each.cpu_s for each in outcome.processes)
    called = sum(call.ended_s - call.began_s for call in outcome.calls)
    late = max(each.late_p99_ms for each in outcome.processes)
    busiest = max(each.cpu_s / each.wall_s for each in outcome.processes if each.wall_s) if outcome.wall_s else 0.0
    return CallersShare(
        cores=round(used / outcome.wall_s, 2) if outcome.wall_s else 0.0,
        cpu_percent=round(100 * used / called, 2) if called else None,
        late_ms=late,
        short_of_cpu=busiest > _SHORT_OF_CPU or late > _LATE_MS,
    )
