"""What each worker process takes of its machine, read by the supervisor above them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from worker.supervising.states import ProcessState

__all__ = ["UsageCollector"]


class UsageCollector(Collector):
    """CPU time and memory of each process with all that it has started, under the names that Prometheus' clients use.

    The multiprocess mode of `prometheus_client` leaves them out. Reads files: not for an event loop.
    """

    def __init__(self, states: Sequence[ProcessState]) -> None:
        self._states = states

    def collect(self) -> Iterator[Metric]:
        cpu = CounterMetricFamily(
            "process_cpu_seconds", "CPU time of a worker process, in seconds.", labels=["process"]
        )
        memory = GaugeMetricFamily("process_resident_memory_bytes", "Memory of a worker process.", labels=["process"])
        for state in self._states:
            if state.pid is not None:
                seconds, resident = _usage(state.pid)
                cpu.add_metric([str(state.number)], seconds)
                memory.add_metric([str(state.number)], resident)
        yield from (cpu, memory)


def _usage(pid: int) -> tuple[float, int]:
    """Return CPU seconds and resident bytes of a process and its descendants; nothing of those that end meanwhile."""
    seconds, resident = 0.0, 0
    try:
        first = psutil.Process(pid)
        family = [first, *first.children(recursive=True)]
    except psutil.Error:
        return seconds, resident
    for process in family:
        try:
            times, size = process.cpu_times(), process.memory_info().rss
        except psutil.Error:
            continue
        seconds += times.user + times.system + times.children_user + times.children_system
        resident += size
    return seconds, resident
