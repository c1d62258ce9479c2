"""What every test stands on: ordinary signals, whoever started the run."""

from __future__ import annotations

import atexit
import os
import signal
import sys

import pytest

# A run in the background of a script (or under nohup) ignores these, every process it starts inherits that, and the
# tests that interrupt one would wait for ever.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)

_codes: list[int] = []


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    _codes.append(int(exitstatus))


def _end() -> None:
    """End before Python takes itself apart, as worker/process.py does and for the same reason: LiveKit's threads abort then."""
    if _codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_codes[-1])


atexit.register(_end)  # the first to be registered is the last to run
