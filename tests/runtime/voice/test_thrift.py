"""What is done once instead of for each answer: it is all there in LiveKit's pinned release, and behaves the same."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import is_dataclass
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import llm
from livekit.agents.telemetry import tracer
from livekit.agents.voice import agent_activity, generation, turn
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from runtime.voice import thrift

APPLIED = {
    "livekit.agents.voice.generation._ACloseable",
    "livekit.agents.utils.aio.itertools._ACloseable",
    "livekit.agents.voice.turn._StreamingTurnDetector",
    "livekit.agents.voice.agent_activity.dataclass",
    "livekit.agents.llm.tool_context.find_function_tools",
    "livekit.agents.telemetry.traces.tracer",
    "livekit.rtc.event_emitter.EventEmitter.emit",
}


@pytest.fixture(autouse=True)
def applied() -> frozenset[str]:
    return thrift.apply()


def test_the_pinned_release_has_all_of_it(applied: frozenset[str]) -> None:
    assert applied == APPLIED


def test_a_class_within_a_function_is_made_once() -> None:
    def made() -> type:
        @agent_activity.dataclass  # type: ignore[attr-defined]
        class Inner:
            number: int = 1

        return Inner

    assert made() is made()
    assert is_dataclass(made())
    assert made()(2) == made()(2)


def test_any_other_class_is_its_own() -> None:
    class Outer:
        number: int = 1

    Outer.__qualname__ = "Outer"
    assert agent_activity.dataclass(Outer) is Outer  # type: ignore[attr-defined]
    frozen: Any = type("Frozen", (), {"__annotations__": {"number": int}})
    assert agent_activity.dataclass(frozen=True)(frozen)(3).number == 3  # type: ignore[attr-defined]


async def test_what_can_be_closed_is_told_from_what_cannot() -> None:
    async def generator() -> AsyncIterator[int]:
        yield 1

    stream: Any = generator()
    async with aclosing(stream):
        assert isinstance(stream, generation._ACloseable)
    assert not isinstance(iter(()), generation._ACloseable)


class Detector:
    """As those that read the sound themselves are."""

    model = provider = "own"

    def stream(self) -> None: ...


@pytest.mark.parametrize("detection", ["vad", "stt", None, Detector()])
def test_a_detector_that_streams_has_shorter_waits_and_no_other(detection: Any) -> None:
    options = turn._resolve_endpointing({}, turn_detection=detection)
    short = isinstance(detection, Detector)
    assert options == (turn._STREAMING_ENDPOINTING_DEFAULTS if short else turn._ENDPOINTING_DEFAULTS)
    assert turn._STREAMING_ENDPOINTING_DEFAULTS != turn._ENDPOINTING_DEFAULTS


def test_a_tool_context_still_finds_tools_of_tool_sets_and_of_its_heirs() -> None:
    @llm.function_tool
    async def look() -> None:
        """Look."""

    class Kit(llm.ToolContext):
        @llm.function_tool
        async def own(self) -> None:
            """Own."""

    assert list(llm.ToolContext([look]).function_tools) == ["look"]
    assert set(Kit([look]).function_tools) == {"look", "own"}


def test_a_listener_gets_as_much_as_it_takes() -> None:
    heard: list[tuple[object, ...]] = []

    class Ear:
        def one(self, first: int) -> None:
            heard.append((first,))

        def none(self) -> None:
            heard.append(())

    def wrapper(*args: object) -> None:
        heard.append(args)

    def two(first: int, second: int) -> None: ...

    ear, emitter = Ear(), rtc.EventEmitter[str]()
    for listener in (ear.one, ear.none, lambda *all_of_it: heard.append(all_of_it)):
        emitter.on("plain", listener)
    emitter.on("wrapped", functools.wraps(two)(wrapper))
    emitter.on("wrapped", ear.one)
    emitter.emit("plain", 1, 2, 3)
    emitter.emit("wrapped", 1, 2, 3)
    emitter.emit("unheard", 1)
    assert heard == [(1,), (), (1, 2, 3), (1, 2), (1,)]


def test_a_listener_that_fails_keeps_no_other_from_hearing() -> None:
    heard: list[int] = []
    emitter = rtc.EventEmitter[str]()

    def fails(_number: int) -> None:
        raise ValueError

    emitter.on("x", fails)
    emitter.on("x", heard.append)
    emitter.on("y", fails)
    emitter.on("y", lambda number: heard.append(number))  # noqa: PLW0108 - a plain function, as most are
    emitter.emit("x", 1)
    emitter.emit("y", 2)
    assert heard == [1, 2]


@pytest.fixture
def traced() -> Iterator[InMemorySpanExporter]:
    """Have somebody read the traces, and leave it as it was before."""
    before, methods = (tracer._tracer_provider, tracer._tracer), dict(vars(tracer))
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer.set_provider(provider)
    yield exporter
    vars(tracer).update(methods)
    tracer._tracer_provider, tracer._tracer = before


def test_spans_are_nothing_until_somebody_reads_them() -> None:
    assert tracer.start_span("a") is trace.INVALID_SPAN
    with tracer.start_as_current_span("b") as span:
        assert not span.is_recording()


def test_and_are_there_as_soon_as_somebody_does(traced: InMemorySpanExporter) -> None:
    tracer.start_span("a").end()
    with tracer.start_as_current_span("b"):
        pass
    assert [span.name for span in traced.get_finished_spans()] == ["a", "b"]


async def test_a_coroutine_can_still_be_wrapped() -> None:
    @tracer.start_as_current_span("c")
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert [await answer(), await answer()] == [42, 42]
