"""The Liquid environment of all templates, with bounds on time and memory and without clock or files."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sized
from datetime import UTC, date, datetime, time
from typing import Any

from liquid import Environment, RenderContext
from liquid.exceptions import FilterArgumentError, OutputStreamLimitError, ResourceLimitError
from liquid.filter import with_context
from liquid.output import LimitedStringIO

__all__ = ["ENVIRONMENT", "Output"]

_MAX_VALUE = 100_000
_FORBIDDEN_TAGS = ("include", "render")
_WIDTH = re.compile(r"%[-_0^#]*\d")


class Output(LimitedStringIO):
    """A buffer that keeps what still fits (in characters) before it refuses more."""

    def write(self, text: str) -> int:
        room = max(self.limit - self.tell(), 0)
        written = super().write(text[:room])
        if len(text) > room:
            raise OutputStreamLimitError("output limit reached", token=None)
        return written


class _BoundedEnvironment(Environment):
    loop_iteration_limit = 2_000
    local_namespace_limit = 400_000  # bytes
    output_stream_limit = 400_000  # bytes, of the buffers inside loops and captures


def _size(value: object) -> int:
    return len(value) if isinstance(value, Sized) else 0


def _product(name: str, arguments: tuple[Any, ...]) -> int:
    """Return the size a multiplying filter could reach, before it is run."""
    if name.startswith("replace") and len(arguments) == 3 and isinstance(arguments[0], str):
        found = arguments[0].count(str(arguments[1])) if arguments[1] else len(arguments[0]) + 1
        return len(arguments[0]) + found * _size(arguments[2])
    if name == "join" and len(arguments) == 2:
        return _size(arguments[0]) * (1 + _size(arguments[1]))
    return max(map(_size, arguments), default=0)


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    # Chained filters multiply: two hundred characters of template can ask for gigabytes.
    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        if _product(name, arguments) > _MAX_VALUE:
            raise ResourceLimitError(f"{name}: too large", token=None)
        result = function(*arguments, **options)
        if _size(result) > _MAX_VALUE:
            raise ResourceLimitError(f"{name}: too large", token=None)
        return result

    return call


def _moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time.min)
    if isinstance(value, str):
        return _parsed(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return datetime.fromtimestamp(value, UTC) if is_number else None  # type: ignore[arg-type]


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return datetime.combine(date(1970, 1, 1), time.fromisoformat(text))
    except ValueError:
        return None


@with_context
def _date(value: object, form: object = "%Y-%m-%d", *, context: RenderContext) -> str:
    """Format a date, time or datetime. `now` and `today` are the call's, never the machine's."""
    if value in {"now", "today"} if isinstance(value, str) else False:
        value = context.resolve("now", default=None)
    if _WIDTH.search(str(form)):
        raise FilterArgumentError("date: a format has no widths", token=None)
    moment = _moment(value)
    return moment.strftime(str(form)) if moment is not None else str(value or "")


def _environment() -> Environment:
    environment = _BoundedEnvironment()
    for tag in _FORBIDDEN_TAGS:
        del environment.tags[tag]
    environment.filters["date"] = _date
    for name, function in list(environment.filters.items()):
        environment.filters[name] = _bounded(name, function)
    return environment


ENVIRONMENT = _environment()
"""Shared and never changed after import."""
