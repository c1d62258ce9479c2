"""Imports at once: the collector rests, packages of mere names wait, and nobody can tell otherwise."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from runtime.importing import at_once


def printed(code: str) -> str:
    """Return what a fresh interpreter prints that imports in the block."""
    head = "import sys, threading\nfrom runtime.importing import at_once\n"
    done = subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, check=True, timeout=50)
    return done.stdout


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_rests_and_is_as_it_was_afterwards(before: bool) -> None:
    assert gc.isenabled()
    if not before:
        gc.disable()
    try:
        with at_once():
            assert not gc.isenabled()
        assert gc.isenabled() is before
    finally:
        gc.enable()


def test_a_package_of_names_waits_until_one_is_asked_for() -> None:
    code = (
        "with at_once():\n    import openai.types\n"
        "def there(): return 'openai.types.completion' in sys.modules\n"
        "print(there(), hasattr(openai.types, '__wrapped__'), there())\n"
        "from openai.types import Completion\n"
        "print(there(), Completion is openai.types.Completion, openai.types.Completion.__module__)\n"
        "print(hasattr(openai.types, 'Complection'), hasattr(openai.types, '__getattr__'))\n"
    )
    assert printed(code).splitlines() == [
        "False False False",
        "True True openai.types.completion",
        "False False",
    ]


def test_modules_of_such_a_package_are_imported_one_by_one() -> None:
    code = (
        "with at_once():\n    from openai.types.chat.chat_completion_chunk import ChatCompletionChunk as one\n"
        "print('openai.types.batch' in sys.modules)\n"
        "from openai.types.chat import ChatCompletionChunk as other\nprint(one is other)\n"
        "exec('from openai.types import *')\nprint(Completion.__name__)\n"
    )
    assert printed(code).split() == ["False", "True", "Completion"]


def test_threads_that_ask_at_once_get_the_same() -> None:
    code = (
        "with at_once():\n    import openai.types\n"
        "start, got = threading.Barrier(4), []\n"
        "def ask():\n    start.wait()\n    got.append(openai.types.Completion)\n"
        "threads = [threading.Thread(target=ask) for _ in range(4)]\n"
        "[thread.start() for thread in threads]\n[thread.join() for thread in threads]\n"
        "print(len(got), len(set(got)))\n"
    )
    assert printed(code).split() == ["4", "1"]
