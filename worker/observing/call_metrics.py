"""A call's stored events as metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import Histogram

from runtime.session.event_log import CallLog
from runtime.session.ports import EventRow
from worker.observing.metrics import Metrics
from worker.observing.moments import FirstSound

__all__ = ["CallMetrics"]

Payload = Mapping[str, Any]


class CallMetrics:
    """Listens to the events of one call."""

    def __init__(self, metrics: Metrics, log: CallLog) -> None:
        self._metrics = metrics
        self._channel = metrics.channel(log.row.channel)
        self._direction = metrics.direction(log.row.direction)
        self._first_sound = FirstSound(log)
        self._handlers: Mapping[str, Callable[[Payload], None]] = {
            "call_started": self._call_started,
            "user_turn": self._user_turn,
            "agent_turn": self._agent_turn,
            "agent_interrupted": lambda _payload: metrics.interruptions.inc(),
            "tool_succeeded": lambda payload: self._tool(payload, "ok"),
            "tool_failed": lambda payload: self._tool(payload, payload.get("error_code")),
            "path_taken": lambda payload: metrics.paths_taken.labels(metrics.by(payload.get("by"))).inc(),
            "path_refused": lambda payload: metrics.paths_refused.labels(metrics.refusal(payload.get("reason"))).inc(),
            "transfer_succeeded": lambda _payload: metrics.transfers.labels("ok").inc(),
            "transfer_failed": lambda _payload: metrics.transfers.labels("failed").inc(),
            "fault_raised": lambda payload: metrics.fault(payload.get("component", ""), payload.get("code", "")),
            "call_ended": self._call_ended,
        }

    def __call__(self, row: EventRow) -> None:
        if (first := self._first_sound.seconds(row)) is not None:
            self._metrics.first_sound.labels(self._channel).observe(first)
        if (handler := self._handlers.get(row.event_type)) is not None:
            handler(row.payload)

    def _call_started(self, _payload: Payload) -> None:
        self._metrics.calls_started.labels(self._channel, self._direction).inc()

    def _user_turn(self, payload: Payload) -> None:
        self._metrics.turns.labels("caller").inc()
        _observe(self._metrics.eou_delay, payload.get("eou_delay_ms"))
        _observe(self._metrics.stt_delay, payload.get("stt_delay_ms"))

    def _agent_turn(self, payload: Payload) -> None:
        self._metrics.turns.labels("agent").inc()
        _observe(self._metrics.response, payload.get("response_ms"))
        _observe(self._metrics.llm_ttft, payload.get("llm_ttft_ms"))
        _observe(self._metrics.tts_ttfb, payload.get("tts_ttfb_ms"))

    def _tool(self, payload: Payload, outcome: object) -> None:
        kind = self._metrics.tool_type(payload.get("tool_type"))
        self._metrics.tools.labels(kind, self._metrics.outcome(outcome)).inc()
        _observe(self._metrics.tool_seconds.labels(kind), payload.get("duration_ms"))

    def _call_ended(self, payload: Payload) -> None:
        status, reason = self._metrics.status(payload.get("status")), self._metrics.reason(payload.get("reason"))
        self._metrics.calls_ended.labels(self._channel, self._direction, status, reason).inc()
        _observe(self._metrics.call_seconds.labels(self._channel), payload.get("duration_ms"))


def _observe(histogram: Histogram, ms: object) -> None:
    if isinstance(ms, (int, float)):
        histogram.observe(ms / 1000)
