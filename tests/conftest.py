"""What every test stands on: ordinary signals, whoever started the run, and so many examples as there is time for."""

from __future__ import annotations

import atexit
import os
import re
import signal
import sys

import pytest
from hypothesis import is_hypothesis_test, settings

from tests import examples  # noqa: F401 - registers the profiles

# A run in the background of a script (or under nohup) ignores these, every process it starts inherits that, and the
# tests that interrupt one would wait for ever.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)

_codes: list[int] = []


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("check" if _quick(config) else "thorough")


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With all its examples a test is a thorough one, so that `make test` runs it once more."""
    if _quick(config):
        return
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.function):
            item.add_marker(pytest.mark.thorough)


def _quick(config: pytest.Config) -> bool:
    """Whether this run leaves thorough tests out, as `make check` does."""
    return re.search(r"\bnot\b[^)]*\bthorough\b", config.getoption("markexpr") or "") is not None


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    _codes.append(int(exitstatus))


def _end() -> None:
    """End before Python takes itself apart, as worker/process.py does and for the same reason: LiveKit's threads abort then."""
    if _codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_codes[-1])


atexit.register(_end)  # the first to be registered is the last to run
