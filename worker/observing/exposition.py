"""`/metrics` of a supervised worker: what its processes count, added up, and what only the supervisor knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from worker.observing.usage import UsageCollector
from worker.supervising.states import Condition, ProcessState

__all__ = ["SUPERVISOR_METRICS", "Exposition", "ProcessCollector"]

_CONDITIONS: tuple[Condition, ...] = ("ready", "not_ready", "draining", "silent", "dead")
SUPERVISOR_METRICS = (
    "patchbay_calls_running",
    "patchbay_calls_max",
    "patchbay_processes",
    "patchbay_process_restarts_total",
)


class ProcessCollector(Collector):
    """The processes' own reports as gauges; `draining` is a label, because a draining process takes no more calls."""

    def __init__(self, states: Sequence[ProcessState]) -> None:
        self._states = states

    def collect(self) -> Iterator[Metric]:
        running = GaugeMetricFamily("patchbay_calls_running", "Calls in progress.", labels=["draining"])
        most = GaugeMetricFamily("patchbay_calls_max", "Calls that may be in progress at once.", labels=["draining"])
        for draining in (False, True):
            told = [
                state.status
                for state in self._states
                if state.reporting and state.status and state.status.draining is draining
            ]
            running.add_metric([str(draining).lower()], sum(status.calls for status in told))
            most.add_metric([str(draining).lower()], sum(status.max_calls for status in told))
        processes = GaugeMetricFamily("patchbay_processes", "Worker processes by condition.", labels=["condition"])
        counted = Counter(state.condition for state in self._states)
        for condition in _CONDITIONS:
            processes.add_metric([condition], counted[condition])
        restarts = CounterMetricFamily("patchbay_process_restarts", "Worker processes that were started again.")
        restarts.add_metric([], sum(state.restarts for state in self._states))
        yield from (running, most, processes, restarts)


class Exposition:
    """Adds up the files that the processes write into `folder` (prometheus_client's multiprocess mode)."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def text(self, states: Sequence[ProcessState]) -> bytes:
        """Return everything in Prometheus' text format. Reads files: not for an event loop."""
        registry = CollectorRegistry()
        registry.register(ProcessCollector(states))
        registry.register(UsageCollector(states))
        MultiProcessCollector(registry, path=self._folder)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def forget(self, pid: int) -> None:
        """Take a dead process's gauges out; what it counted stays counted."""
        mark_process_dead(pid, path=self._folder)  # type: ignore[no-untyped-call]
