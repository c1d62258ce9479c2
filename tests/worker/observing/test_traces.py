"""Calls as traces: the spans, what they say and do not say, and the way to a collector."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from tests.worker.observing.events import BEGAN, CALLER, DIALLED, SESSION, WORDS, play, whole_call, written_call
from worker.observing.observers import observing
from worker.observing.summary import Subject
from worker.observing.traces import Tracing


async def spans_of(folder: Path, session_id: str = SESSION) -> list[ReadableSpan]:
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter, version="1.2.3")
    async with written_call(folder, id=session_id) as log:
        log.subscribe(tracing.trace(log, Subject("Acme", 3)))
        whole_call(log)
    await tracing.aclose()
    return list(exporter.get_finished_spans())


def ms(nanoseconds: int | None) -> int:
    assert nanoseconds is not None
    return round((nanoseconds - BEGAN.timestamp() * 1e9) / 1e6)


def lines(spans: list[ReadableSpan]) -> Iterator[tuple[str, str | None, int, int]]:
    names = {span.context.span_id: span.name for span in spans}
    for span in sorted(spans, key=lambda span: (span.start_time or 0, -(span.end_time or 0))):
        yield span.name, names[span.parent.span_id] if span.parent else None, ms(span.start_time), ms(span.end_time)


async def test_a_call_is_one_trace(tmp_path: Path) -> None:
    spans = await spans_of(tmp_path)
    assert list(lines(spans)) == [
        ("call", None, 0, 11000),
        ("agent", "call", 0, 7200),
        ("turn", "agent", 200, 1900),
        ("turn", "agent", 3000, 7000),
        ("tool", "turn", 5100, 5600),
        ("agent", "call", 7200, 11000),
        ("turn", "agent", 8000, 9900),
    ]
    assert {span.context.trace_id for span in spans} == {int(SESSION.replace("-", ""), 16)}
    assert spans[0].resource.attributes["service.name"] == "patchbay"
    assert spans[0].resource.attributes["service.version"] == "1.2.3"


async def test_the_spans_say_what_was_slow_and_what_failed(tmp_path: Path) -> None:
    spans = await spans_of(tmp_path)
    answered = next(span for span in spans if span.attributes and span.attributes.get("patchbay.response_ms") == 900)
    told = dict(answered.attributes or {})
    assert (told["patchbay.llm_ttft_ms"], told["patchbay.eou_delay_ms"], told["patchbay.interrupted"]) == (
        300,
        400,
        True,
    )
    tool = next(span for span in spans if span.name == "tool")
    assert dict(tool.attributes or {})["patchbay.error_code"] == "timeout"
    assert not tool.status.is_ok
    call = next(span for span in spans if span.name == "call")
    assert dict(call.attributes or {})["patchbay.reason"] == "transferred"
    events = [event.name for span in spans for event in span.events]
    assert sorted(events) == ["agent_interrupted", "fault_raised", "path_refused", "path_taken", "transfer_succeeded"]


async def test_no_text_and_no_number_is_in_a_span(tmp_path: Path) -> None:
    everything = "".join(span.to_json() for span in await spans_of(tmp_path))
    for personal in (CALLER, DIALLED, WORDS, "4271", "+15550177", "Hello."):
        assert personal not in everything


async def test_a_session_whose_id_is_no_uuid_has_a_trace_as_well(tmp_path: Path) -> None:
    assert len({span.context.trace_id for span in await spans_of(tmp_path, "s1")}) == 1


async def test_a_call_that_is_cut_short_leaves_no_span_open(tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter, version="1")
    async with written_call(tmp_path) as log:
        log.subscribe(tracing.trace(log, Subject()))
        play(log, "call_resumed", 60_000, worker_id="w", lost_ms=400)
        play(log, "agent_entered", 60_000, agent_id="a", agent_name="Desk", cause="resume")
        play(log, "user_turn", 61_000, start_ms=60_500)
        play(log, "tool_started", 61_100, tool_call_id="t", tool_type="x", name="x")
        play(log, "call_ended", 62_000, status="dropped", reason="error", duration_ms=62_000, turns=1)
    await tracing.aclose()
    found = list(exporter.get_finished_spans())
    assert sorted(span.name for span in found) == ["agent", "call", "tool", "turn"]
    assert ms(next(span for span in found if span.name == "call").start_time) == 0


# ---------------------------------------------------------------- a collector


@asynccontextmanager
async def collector(*, hanging: bool = False) -> AsyncIterator[tuple[str, list[ExportTraceServiceRequest]]]:
    got: list[ExportTraceServiceRequest] = []
    release = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        if hanging:
            await release.wait()
        raw = gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body
        got.append(ExportTraceServiceRequest.FromString(raw))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", got
    finally:
        release.set()
        await runner.cleanup()


async def test_spans_reach_a_collector(tmp_path: Path) -> None:
    async with collector() as (endpoint, got):
        async with (
            observing(f"{endpoint}/", version="1", registry=CollectorRegistry()) as observers,
            written_call(tmp_path) as log,
        ):
            observers.observe(log, Subject("Acme", 3))
            whole_call(log)
        spans = [
            span for each in got for batch in each.resource_spans for scope in batch.scope_spans for span in scope.spans
        ]
    assert sorted(span.name for span in spans) == ["agent", "agent", "call", "tool", "turn", "turn", "turn"]


async def test_a_collector_that_hangs_or_is_away_costs_a_bounded_time(tmp_path: Path) -> None:
    async with collector(hanging=True) as (endpoint, _):
        for url in (endpoint, "http://127.0.0.1:9"):
            tracing = Tracing.to(url, version="1")
            async with written_call(tmp_path) as log:
                log.subscribe(tracing.trace(log, Subject()))
                began = time.monotonic()
                whole_call(log)
                assert time.monotonic() - began < 1
            began = time.monotonic()
            await tracing.aclose(timeout_s=0.3)
            assert time.monotonic() - began < 5


def test_without_an_endpoint_nothing_is_imported() -> None:
    code = (
        "import asyncio, sys\n"
        "from worker.observing.observers import observing\n"
        "async def main():\n"
        "    async with observing(None, version='1') as observers: assert observers.tracing is None\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", ["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"])
async def test_opentelemetrys_own_variables_name_the_service(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "calls" if name == "OTEL_SERVICE_NAME" else "service.name=calls,region=eu")
    assert (await spans_of(tmp_path))[0].resource.attributes["service.name"] == "calls"
