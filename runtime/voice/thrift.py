"""What LiveKit does anew for each answer and could do once is done once; with its pinned release that is a seventh of a turn.

Each change replaces one name of one module by something that behaves the same. A name that a later release no longer
has is left alone: then the turn costs what it costs.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from abc import ABC
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

import structlog
from livekit.agents.llm import ToolContext, tool_context
from livekit.agents.telemetry import tracer, traces
from livekit.agents.utils.aio import itertools
from livekit.agents.voice import agent_activity, generation, turn
from livekit.rtc import EventEmitter
from opentelemetry import trace
from opentelemetry.util._decorator import _agnosticcontextmanager

__all__ = ["apply"]

_log = structlog.get_logger("voice")


@cache
def apply() -> frozenset[str]:
    """Apply what can be applied, once in a process; return the names of what has been."""
    done = {name for module in (generation, itertools) for name in _replaced(module, "_ACloseable", _Closeable)}
    done |= _replaced(turn, "_StreamingTurnDetector", _Detector)
    done |= _replaced(agent_activity, "dataclass", _dataclass)
    done |= _replaced(tool_context, "find_function_tools", _function_tools)
    done |= _replaced(EventEmitter, "emit", _emit)
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):  # else somebody reads LiveKit's traces
        done |= _untraced()
    return frozenset(done)


def _replaced(module: ModuleType | type, name: str, by: object) -> set[str]:
    if not hasattr(module, name):
        return set()
    setattr(module, name, by)
    return {
        f"{module.__module__}.{module.__name__}.{name}" if isinstance(module, type) else f"{module.__name__}.{name}"
    }


class _Closeable(ABC):  # noqa: B024 - there is nothing to implement but what is looked for
    """In place of a Protocol, which looks through an object's attributes each time it is asked about one."""

    @classmethod
    def __subclasshook__(cls, subclass: type) -> bool:
        return hasattr(subclass, "aclose")


class _Detector(ABC):  # noqa: B024 - as above
    """In place of another, which is asked for each window of sound in which somebody speaks."""

    @classmethod
    def __subclasshook__(cls, subclass: type) -> bool:
        return all(hasattr(subclass, name) for name in ("model", "provider", "stream"))


_made: dict[str, type] = {}


def _dataclass(made: type | None = None, /, **options: Any) -> Any:
    """In place of `dataclass`: a class that is written inside of a function is made once, not at each of its calls."""
    if made is None or "<locals>" not in made.__qualname__:
        return dataclasses.dataclass(**options) if made is None else dataclasses.dataclass(made)
    if made.__qualname__ not in _made:
        _made[made.__qualname__] = dataclasses.dataclass(made)
    return _made[made.__qualname__]


_find_function_tools = tool_context.find_function_tools


def _function_tools(owner: Any) -> list[Any]:
    """In place of a search through all attributes: a plain ToolContext has no function among its own."""
    return [] if type(owner) is ToolContext else _find_function_tools(owner)


_livekits_emit = EventEmitter.emit


def _emit(emitter: EventEmitter[Any], event: Any, *args: Any) -> None:
    """In place of a look at each listener's signature: how many arguments a plain function takes stands in its code."""
    listeners = tuple(emitter._events.get(event, ()))  # noqa: SLF001 - in place of its own method
    counts = [_takes(listener) for listener in listeners]
    if None in counts:
        _livekits_emit(emitter, event, *args)
        return
    for listener, count in zip(listeners, counts, strict=True):
        try:
            listener(*args[:count])
        except TypeError:  # as LiveKit has it
            raise
        except Exception:  # noqa: BLE001 - an edge, and LiveKit's
            _log.exception("listener_failed", event_of=type(emitter).__name__, emitted=str(event))


def _takes(listener: Any) -> int | None:
    """Return how many positional arguments it takes; None where only its signature can tell."""
    function = getattr(listener, "__func__", listener)
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__wrapped__") or hasattr(function, "__signature__"):
        return None
    bound = function is not listener
    return sys.maxsize if code.co_flags & inspect.CO_VARARGS else int(code.co_argcount) - bound


def _untraced() -> set[str]:
    """Make no spans while nobody is there to read them; they come back as soon as somebody sets a provider."""

    def set_provider(provider: trace.TracerProvider) -> None:
        for name in names:
            vars(tracer).pop(name, None)
        tracer.set_provider(provider)

    names = {
        "start_span": _no_span,
        "use_span": _no_use,
        "start_as_current_span": _no_context,
        "set_provider": set_provider,
    }
    if not all(hasattr(tracer, name) for name in names):
        return set()
    vars(tracer).update(names)
    return {f"{traces.__name__}.tracer"}


def _no_span(*_args: object, **_options: object) -> trace.Span:
    return trace.INVALID_SPAN


@_agnosticcontextmanager
def _no_use(span: trace.Span, *_args: object, **_options: object) -> Iterator[trace.Span]:
    yield span


@_agnosticcontextmanager
def _no_context(*_args: object, **_options: object) -> Iterator[trace.Span]:
    yield trace.INVALID_SPAN
