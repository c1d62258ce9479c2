"""Logs: ours and the libraries' through one structlog chain, as text for people or JSON for programs."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

__all__ = ["configure_logging"]

# `pii_caller` is ours, `lk.pii.transcript` LiveKit's.
_PERSONAL = re.compile(r"(?:^|\.)pii(?:[._]|$)")
_CHATTY = (
    "livekit",
    "asyncio",
    "asyncpg",
    "httpx",
    "httpcore",
    "openai",
    "hpack",
    "websockets",
    "uvicorn",
    "aiohttp",
    "httpx2",
    "httpcore2",
    "mcp",
)


def configure_logging(
    level: str,
    format: Literal["console", "json"],  # noqa: A002 - the word of PATCHBAY_LOG_FORMAT
    stream: TextIO | None = None,
    *,
    personal_data: bool = False,
    libraries: str = "warning",
) -> None:
    """Send every log line from `level` up to `stream` (default: stderr), one line a record in `json`.

    Libraries speak from `libraries` up. Keys marked as personal (`pii_…`, LiveKit's `lk.pii.…`) are dropped, at any
    depth, unless `personal_data`. May be called again. Raises `ValueError` for a level that does not exist.
    """
    stream = sys.stderr if stream is None else stream
    threshold = _level(level)
    shared = _shared(personal_data=personal_data)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderer(format, stream)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(threshold, _level(libraries)))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # a second call must reach loggers made before it
    )


def _level(name: str) -> int:
    level = logging.getLevelNamesMapping().get(name.upper())
    if level is None:
        raise ValueError(f"There is no log level {name!r}. Levels: debug, info, warning, error, critical.")
    return level


def _shared(*, personal_data: bool) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        *([] if personal_data else [_without_personal_data]),
    ]


def _renderer(format: Literal["console", "json"], stream: TextIO) -> list[Processor]:  # noqa: A002 - as above
    if format == "json":
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ]
    # Its default shows the locals of every frame, callers' words among them.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]


def _without_personal_data(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: _stripped(value) for key, value in event.items() if not _PERSONAL.search(key)}


def _stripped(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: _stripped(inner) for key, inner in value.items() if not _PERSONAL.search(str(key))}
