"""Where a command's logs go: stdout belongs to the result."""

from __future__ import annotations

import sys

from runtime.logging import configure_logging
from runtime.settings import Settings

__all__ = ["log_to_stderr"]


def log_to_stderr(settings: Settings | None = None) -> None:
    """Send the logs to stderr as PATCHBAY_LOG and PATCHBAY_LOG_FORMAT say; without settings, warnings as text.

    Call it before anything is logged: structlog's own default is stdout.
    """
    if settings is None:
        configure_logging("warning", "console")
    else:
        configure_logging(settings.log, settings.log_format or ("console" if sys.stderr.isatty() else "json"))
