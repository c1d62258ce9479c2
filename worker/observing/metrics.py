"""What a worker process counts and measures; the one place where a metric gets its name."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from worker.observing.labels import Bounded

__all__ = ["Metrics"]

# What a caller feels: below half a second is a conversation, above two is a silence.
_LATENCIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
_WORK = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_LAGS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_CALLS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Metrics:
    """The metrics of one process, registered in `registry`; made once a process. Used on one event loop.

    Where PROMETHEUS_MULTIPROC_DIR was set before `prometheus_client` was imported, they are kept in files there, and
    the supervisor adds them up. Times are in seconds.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def count(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def measure(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, text, labels, registry=registry, buckets=buckets)

        self._registry = registry
        self._make_calls(count, measure)
        self._make_turns(count, measure)
        self._make_process(count, measure)
        self.channel, self.direction, self.reason = Bounded(10), Bounded(5), Bounded(30)
        self.tool_type, self.outcome, self.refusal = Bounded(50), Bounded(50), Bounded(30)
        self.component, self.code = Bounded(30), Bounded(60)
        self.status, self.by = Bounded(5), Bounded(10)

    def _make_calls(self, count: Callable[..., Counter], measure: Callable[..., Histogram]) -> None:
        self.calls_started = count("patchbay_calls_started", "Calls begun.", "channel", "direction")
        self.calls_ended = count("patchbay_calls_ended", "Calls ended.", "channel", "direction", "status", "reason")
        self.calls_refused = count("patchbay_calls_refused", "Calls not taken, before a session began.", "reason")
        self.call_seconds = measure("patchbay_call_seconds", "How long a call lasted.", _CALLS, "channel")
        self.first_sound = measure(
            "patchbay_first_sound_seconds", "From the answer to the agent's first sound.", _LATENCIES, "channel"
        )
        self.transfers = count("patchbay_transfers", "Transfers by the telephone.", "outcome")

    def _make_turns(self, count: Callable[..., Counter], measure: Callable[..., Histogram]) -> None:
        self.turns = count("patchbay_turns", "Turns spoken.", "speaker")
        self.interruptions = count("patchbay_interruptions", "Turns of an agent that a caller cut off.")
        self.response = measure(
            "patchbay_response_seconds", "From the caller's stop to the agent's first sound.", _LATENCIES
        )
        self.llm_ttft = measure("patchbay_llm_ttft_seconds", "The model's time to its first token.", _LATENCIES)
        self.tts_ttfb = measure("patchbay_tts_ttfb_seconds", "The voice's time to its first sound.", _LATENCIES)
        self.eou_delay = measure(
            "patchbay_eou_delay_seconds", "From the caller's stop to knowing that the turn is over.", _LATENCIES
        )
        self.stt_delay = measure(
            "patchbay_stt_delay_seconds", "From the caller's stop to the final transcript.", _LATENCIES
        )
        self.tools = count("patchbay_tools", "Tools run.", "tool_type", "outcome")
        self.tool_seconds = measure("patchbay_tool_seconds", "How long a tool took.", _WORK, "tool_type")
        self.paths_taken = count("patchbay_paths_taken", "Paths taken.", "by")
        self.paths_refused = count("patchbay_paths_refused", "Paths refused.", "reason")

    def _make_process(self, count: Callable[..., Counter], measure: Callable[..., Histogram]) -> None:
        self.faults = count("patchbay_faults", "Faults, survived or not.", "component", "code")
        self.loop_lag = measure("patchbay_loop_lag_seconds", "How late the event loop is.", _LAGS)
        self.loop_blocked = count("patchbay_loop_blocked", "Times the event loop stood still for over a second.")
        self.event_log_lag = Gauge(
            "patchbay_event_log_lag_seconds",
            "Age of the oldest record that is not stored yet.",
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self.event_log_depth = Gauge(
            "patchbay_event_log_depth",
            "Records that are not stored yet.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.event_log_fill = Gauge(
            "patchbay_event_log_fill_ratio",
            "How full the local log is, of what it may take of the disk: no new calls at 0.9.",
            registry=self._registry,
            multiprocess_mode="livemax",
        )

        self.late_events = count("patchbay_late_events", "Events that came after another worker had taken their call.")
        self._late_told = 0

    def refused(self, reason: str) -> None:
        """Count a call that was not taken: `full`, `draining`, `no_workflow`, `limit_reached`, …"""
        self.calls_refused.labels(self.refusal(reason)).inc()

    def fault(self, component: str, code: str) -> None:
        """Count a fault that belongs to no call (the event log's, the worker's)."""
        self.faults.labels(self.component(component), self.code(code)).inc()

    def late(self, seen: int) -> None:
        """Count late events up to `seen`, the number since the store was opened."""
        self.late_events.inc(seen - self._late_told)
        self._late_told = seen

    def log_state(self, lag_s: float, depth: int, fill: float) -> None:
        """Set the event log's gauges; `fill` is from 0 to 1."""
        self.event_log_lag.set(lag_s)
        self.event_log_depth.set(depth)
        self.event_log_fill.set(fill)
