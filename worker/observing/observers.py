"""Everything that watches calls from outside, put together for a worker process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, CollectorRegistry

from runtime.session.event_log import CallLog, EventLog
from runtime.session.fleet_ports import Fleet
from worker.observing.call_metrics import CallMetrics
from worker.observing.loop_lag import LoopMonitor
from worker.observing.metrics import Metrics
from worker.observing.summary import CallSummary, Subject

if TYPE_CHECKING:  # OpenTelemetry is imported only where traces are wanted
    from worker.observing.traces import Tracing

__all__ = ["Observers", "Subject", "observing"]

_UNKNOWN = Subject()


@dataclass(frozen=True, slots=True)
class Observers:
    """The observers of one process. A fault in one is logged by the call's log and never reaches the call."""

    metrics: Metrics
    tracing: Tracing | None = None

    def observe(self, log: CallLog, subject: Subject = _UNKNOWN) -> None:
        """Watch a call from its first event on: to be called before `call_started` is written."""
        log.subscribe(CallMetrics(self.metrics, log))
        if self.tracing is not None:
            log.subscribe(self.tracing.trace(log, subject))
        log.subscribe(CallSummary(log, subject))

    def loop_monitor(self, log: EventLog, fleet: Fleet) -> LoopMonitor:
        """Return a monitor of the running loop that measures its lag and the event log's, whose store is `fleet`.

        That the loop stood still is recorded in each call by its own watchdog; here it is counted once.
        """

        def beat(lag_s: float) -> None:
            self.metrics.loop_lag.observe(lag_s)
            self.metrics.log_state(log.lag_s, log.depth, log.fill)
            self.metrics.late(fleet.late_seen)

        def blocked(_ms: int) -> None:
            self.metrics.loop_blocked.inc()

        return LoopMonitor(beat, blocked)


@asynccontextmanager
async def observing(
    otlp_endpoint: str | None, *, version: str, registry: CollectorRegistry = REGISTRY
) -> AsyncIterator[Observers]:
    """Yield the observers; afterwards the last spans are sent, within three seconds.

    `otlp_endpoint` is the collector's base URL (OTEL_EXPORTER_OTLP_ENDPOINT), None for no traces; `version` the runtime's.
    """
    metrics = Metrics(registry)
    if otlp_endpoint is None:
        yield Observers(metrics)
        return
    from worker.observing.traces import Tracing  # noqa: PLC0415 - the SDK: a tenth of a second that most do not need

    tracing = Tracing.to(otlp_endpoint, version=version)
    try:
        yield Observers(metrics, tracing)
    finally:
        await tracing.aclose()
