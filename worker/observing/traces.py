"""Calls as OpenTelemetry traces, made of their stored events; imported only where traces are wanted."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self
from uuid import UUID

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from runtime.session.event_log import CallLog
from runtime.session.ports import EventRow
from worker.observing.moments import began_at
from worker.observing.summary import Subject

__all__ = ["CallTrace", "Tracing"]

Payload = Mapping[str, Any]

_TURN = ("response_ms", "llm_ttft_ms", "tts_ttfb_ms", "interrupted", "model")
_HEARD = ("turn", "by", "eou_delay_ms", "stt_delay_ms", "stt_confidence")
_TOLD = {
    "path_taken": ("path_id", "path_name", "by", "to_agent_id", "latency_ms"),
    "path_refused": ("path_id", "path_name", "by", "reason"),
    "fault_raised": ("component", "code", "retryable", "recovered_by"),
    "transfer_succeeded": ("mode", "sip_status"),
    "transfer_failed": ("mode", "sip_status"),
    "agent_interrupted": ("at_ms",),
    "voicemail_detected": (),
}


class Tracing:
    """Sends spans to an OTLP collector from a thread of its own. Apart from LiveKit's tracing and any global one."""

    def __init__(self, exporter: SpanExporter, *, version: str) -> None:
        named = Resource.create({"service.name": "patchbay", "service.version": version})
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=named.merge(OTELResourceDetector().detect()),  # OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("patchbay")

    @classmethod
    def to(cls, endpoint: str, *, version: str) -> Self:
        """Send to the collector whose base URL is `endpoint`, by OTLP over HTTP (protobuf)."""
        return cls(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces"), version=version)

    def trace(self, log: CallLog, subject: Subject) -> CallTrace:
        """Return a listener for one call's events. The trace's id is the session's, where that is a UUID."""
        return CallTrace(self._tracer, self._ids, log, subject)

    async def aclose(self, *, timeout_s: float = 3.0) -> None:
        """Send what is there, for at most `timeout_s` seconds; idempotent."""
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop has gone on without us, and is closed
                loop.call_soon_threadsafe(done.set)

        # Not asyncio.to_thread: its threads are waited for at exit, and a collector that hangs takes half a minute.
        threading.Thread(target=shut_down, name="tracing.close", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await done.wait()


class _Ids(RandomIdGenerator):
    next_trace: int | None = None

    def generate_trace_id(self) -> int:
        chosen, self.next_trace = self.next_trace, None
        return chosen or super().generate_trace_id()


class CallTrace:
    """Listens to the events of one call: spans `call`, `agent` (a stay), `turn`, `tool`; no texts, values or numbers."""

    def __init__(self, tracer: Tracer, ids: _Ids, log: CallLog, subject: Subject) -> None:
        self._tracer = tracer
        self._ids = ids
        self._row = log.row
        self._subject = subject
        self._began_ns: int | None = None
        self._call: Span | None = None
        self._agent: Span | None = None
        self._turn: Span | None = None
        self._tools: dict[str, Span] = {}
        self._handlers: Mapping[str, Callable[[Span, Payload, int], None]] = {
            "agent_entered": self._entered,
            "agent_exited": self._exited,
            "user_turn": self._heard,
            "agent_turn": self._spoken,
            "tool_started": self._tool_started,
            "tool_succeeded": self._tool_ended,
            "tool_failed": self._tool_ended,
            "call_ended": self._end,
        }

    def __call__(self, row: EventRow) -> None:
        call = self._call or self._begin(row)
        payload, now = row.payload, row.payload.get("elapsed_ms") or 0
        if (handler := self._handlers.get(row.event_type)) is not None:
            handler(call, payload, now)
        elif (told := _TOLD.get(row.event_type)) is not None:
            (self._agent or call).add_event(row.event_type, _chosen(payload, *told), timestamp=self._at(now))

    # ------------------------------------------------------------ spans

    def _begin(self, row: EventRow) -> Span:
        self._began_ns = round(began_at(row).timestamp() * 1_000_000) * 1000
        with contextlib.suppress(ValueError):
            self._ids.next_trace = UUID(self._row.id).int
        self._call = self._open("call", None, 0, _described(self._row, self._subject))
        return self._call

    def _open(self, name: str, parent: Span | None, at_ms: int, attributes: Payload) -> Span:
        context = None if parent is None else set_span_in_context(parent)
        return self._tracer.start_span(name, context, attributes=dict(attributes), start_time=self._at(at_ms))

    def _at(self, ms: float) -> int:
        assert self._began_ns is not None
        return self._began_ns + round(ms * 1_000_000)

    # ------------------------------------------------------------ events

    def _entered(self, call: Span, payload: Payload, now: int) -> None:
        self._agent = self._open("agent", call, now, _chosen(payload, "agent_id", "agent_name", "cause"))

    def _exited(self, _call: Span, payload: Payload, now: int) -> None:
        if self._agent is not None:
            self._agent.set_attributes(_chosen(payload, "dwell_ms", "turns"))
            self._agent.end(self._at(now))
            self._agent = None

    def _heard(self, call: Span, payload: Payload, now: int) -> None:
        self._close_turn(now)
        start = _or(payload.get("start_ms"), now)
        self._turn = self._open("turn", self._agent or call, start, _chosen(payload, *_HEARD))

    def _spoken(self, call: Span, payload: Payload, now: int) -> None:
        """Close the caller's turn with its answer; a greeting, or what is said after it, is a turn of its own."""
        if self._turn is None:
            self._turn = self._open("turn", self._agent or call, _or(payload.get("start_ms"), now), {})
        self._turn.set_attributes(_chosen(payload, *_TURN))
        self._close_turn(_or(payload.get("end_ms"), now))

    def _close_turn(self, at_ms: int) -> None:
        if self._turn is not None:
            self._turn.end(self._at(at_ms))
            self._turn = None

    def _tool_started(self, call: Span, payload: Payload, now: int) -> None:
        given = _chosen(payload, "tool_call_id", "tool_type", "name", "mocked")
        self._tools[payload["tool_call_id"]] = self._open("tool", self._turn or self._agent or call, now, given)

    def _tool_ended(self, _call: Span, payload: Payload, now: int) -> None:
        if (span := self._tools.pop(payload["tool_call_id"], None)) is not None:
            span.set_attributes(_chosen(payload, "duration_ms", "error_code"))
            if code := payload.get("error_code"):
                span.set_status(Status(StatusCode.ERROR, code))
            span.end(self._at(now))

    def _end(self, call: Span, payload: Payload, now: int) -> None:
        for span in self._tools.values():
            span.end(self._at(now))
        self._tools.clear()
        self._close_turn(now)
        self._exited(call, {}, now)
        call.set_attributes(_chosen(payload, "status", "reason", "duration_ms", "turns"))
        if payload.get("reason") == "error":
            call.set_status(Status(StatusCode.ERROR))
        call.end(self._at(now))


def _described(row: Any, subject: Subject) -> Payload:
    found = {
        "session_id": row.id,
        "organization_id": row.organization_id,
        "workflow": subject.workflow,
        "version": subject.version,
        "workflow_version_id": row.workflow_version_id,
        "channel": row.channel,
        "direction": row.direction,
        "is_test": row.is_test,
    }
    return _chosen(found, *found)


def _chosen(payload: Payload, *names: str) -> dict[str, Any]:
    return {f"patchbay.{name}": payload[name] for name in names if payload.get(name) is not None}


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
