"""One load test: calls begun at a pace and kept at a number, the workers' figures taken meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from runtime.errors import Unreachable
from runtime.harness.load.briefing import Order
from runtime.harness.load.machine import Workers, WorkerSample
from runtime.harness.load.plan import LoadPlan
from runtime.harness.load.results import CallReport, ProcessReport, Stage
from runtime.tasks import cancel_and_wait, spawn

__all__ = ["Callers", "Concurrency", "LoadRun", "Outcome", "Snapshot"]

_SAMPLE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Concurrency:
    """Calls that are being dialled and that have an agent, `at_s` seconds since the test began."""

    at_s: float
    dialling: int
    talking: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a test stands, for whoever watches."""

    at_s: float
    dialling: int
    talking: int
    passed: int
    failed: int
    last: CallReport | None


@dataclass(slots=True)
class Outcome:
    """Everything a test has measured. `wall_s` is how long it took; `interrupted`: it was ended before its end."""

    calls: list[CallReport] = field(default_factory=list)
    concurrency: list[Concurrency] = field(default_factory=list)
    workers: list[WorkerSample] = field(default_factory=list)
    processes: tuple[ProcessReport, ...] = ()
    wall_s: float = 0.0
    interrupted: bool = False


class Callers(Protocol):
    """Who makes the calls."""

    async def call(self, order: Order) -> CallReport: ...

    async def finish(self) -> tuple[ProcessReport, ...]: ...


class LoadRun:
    """A test of a plan. `order` makes the order of each call by its number (from 1), `workers` may be None.

    `began` is the briefing's: what the callers tell is on the same timeline. `nobody` is the remedy where no agent comes.
    """

    def __init__(
        self,
        plan: LoadPlan,
        order: Callable[[int], Order],
        *,
        workers: Workers | None = None,
        began: float | None = None,
        nobody: str = "Is `patchbay worker` running?",
    ) -> None:
        self.outcome = Outcome()
        self._plan = plan
        self._order = order
        self._workers = workers
        self._began = time.monotonic() if began is None else began
        self._stages: dict[int, Stage] = {}
        self._answered = False
        self._begun = 0
        self._nobody = nobody

    @property
    def at_s(self) -> float:
        """Seconds since the test began."""
        return time.monotonic() - self._began

    def stage(self, number: int, stage: Stage) -> None:
        """Hear where a call stands."""
        self._stages[number] = stage
        self._answered |= stage == "talking"

    def snapshot(self) -> Snapshot:
        """Return how the test stands."""
        calls = self.outcome.calls
        stages = list(self._stages.values())
        failed = sum(each.failure is not None for each in calls)
        last = calls[-1] if calls else None
        return Snapshot(self.at_s, stages.count("dialling"), stages.count("talking"), len(calls) - failed, failed, last)

    async def run(self, crew: Callers) -> Outcome:
        """Make all calls and return what was measured; it is in `outcome` also where this is cancelled.

        Raises Unreachable where the first call finds no agent, or cannot join its room.
        """
        sampling = spawn(self._sample(), name="load.samples")
        places = [
            spawn(self._place(crew, place), name="load.place", on_error=_heard) for place in range(self._plan.calls)
        ]
        try:
            await asyncio.gather(*places)
            self.outcome.processes = await crew.finish()
        except asyncio.CancelledError:
            self.outcome.interrupted = True
            raise
        finally:
            await cancel_and_wait(sampling, *places)
            self.outcome.wall_s = round(self.at_s, 3)
        return self.outcome

    async def _place(self, crew: Callers, place: int) -> None:
        """Call, and call anew, for as long as there are calls to be made; the first is due when the ramp says so."""
        await asyncio.sleep(max(0.0, place / self._plan.ramp))
        while self._more():
            self._begun += 1
            order = self._order(self._begun)
            report = await crew.call(order)
            self._stages.pop(order.number, None)
            self.outcome.calls.append(report)
            self._need_somebody(report)
            if self._plan.total is None and self._plan.duration_s is None:
                return

    def _more(self) -> bool:
        if self._plan.duration_s is not None:
            return self.at_s < self._plan.duration_s
        return self._begun < (self._plan.wanted or 0)

    def _need_somebody(self, report: CallReport) -> None:
        """A test that nobody answers is ended at once: it would say the same of every call."""
        if self._answered or report.failure is None:
            return
        match report.failure.code:
            case "not_answered":
                raise Unreachable(f"No worker took the call: {report.failure.message}", remedy=self._nobody)
            case "not_connected":
                raise Unreachable(report.failure.message, remedy="Check LIVEKIT_URL, from here and from the callers.")
            case _:
                return

    async def _sample(self) -> None:
        while True:
            snapshot = self.snapshot()
            self.outcome.concurrency.append(Concurrency(round(snapshot.at_s, 3), snapshot.dialling, snapshot.talking))
            if self._workers is not None:
                with suppress(Unreachable):  # it did answer before the test; a hole in a curve says enough
                    self.outcome.workers.append(await self._workers.sample(self.at_s))
            await asyncio.sleep(_SAMPLE_S)


def _heard(_error: BaseException) -> None:
    """Whoever waits for the places hears of it."""
