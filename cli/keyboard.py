"""Keys as they are typed, one by one, on the event loop; the terminal is as it was afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["END", "INTERRUPT", "keyboard"]

INTERRUPT = "\x03"
END = "\x04"


@contextmanager
def keyboard(typed: Callable[[str], None]) -> Iterator[None]:
    """Have `typed` called with each character of standing input; Ctrl-C is `INTERRUPT`, Ctrl-D and the input's end `END`.

    Standard input that cannot be waited for (a file, /dev/null) is not read.
    """
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, typed, INTERRUPT)
    try:
        with _characters(typed):
            yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextmanager
def _characters(typed: Callable[[str], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    descriptor = _standard_input()
    if descriptor is None:
        yield
        return

    def read() -> None:
        data = os.read(descriptor, 64)
        if not data:
            loop.remove_reader(descriptor)
            typed(END)
        for character in data.decode("ascii", "ignore"):
            typed(character)

    with _one_by_one(descriptor):
        try:
            loop.add_reader(descriptor, read)
        except PermissionError:  # epoll cannot wait for a file
            yield
            return
        try:
            yield
        finally:
            loop.remove_reader(descriptor)


@contextmanager
def _one_by_one(descriptor: int) -> Iterator[None]:
    """Have a terminal hand over each key at once, unshown, Ctrl-C and Ctrl-D as characters."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        attributes = termios.tcgetattr(descriptor)
        attributes[3] &= ~termios.ISIG
        termios.tcsetattr(descriptor, termios.TCSADRAIN, attributes)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _standard_input() -> int | None:
    try:
        return sys.stdin.fileno() if sys.stdin is not None else None
    except (OSError, ValueError):  # closed, or a test's own
        return None
