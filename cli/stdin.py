"""Standard input line by line, for a command that must end though nobody types."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading

__all__ = ["Lines"]


class Lines:
    """What is typed or piped in. Used on one event loop.

    The thread that reads is a daemon, so that one that waits for a person holds up neither Ctrl-C nor the end of a
    call; and it reads the descriptor itself, as a daemon inside `sys.stdin` makes Python abort when it ends.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._fd = None if sys.stdin is None else sys.stdin.fileno()
        self._begun = False

    async def next(self, prompt: str = "") -> str | None:
        """Return the next line with its end, what is no UTF-8 in it replaced; None at the end of the input.

        On a terminal `prompt` is written to stderr before.
        """
        if self._fd is None:
            return None
        if prompt and os.isatty(self._fd):
            sys.stderr.write(prompt)
            sys.stderr.flush()
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._read, args=(self._fd,), name="standard input", daemon=True).start()
        return await self._lines.get()

    def _read(self, fd: int) -> None:
        with io.FileIO(fd, closefd=False) as raw:
            # readline of a raw file asks for one byte at a time, which keeps up with any typist and any script
            while line := raw.readline():
                self._put(line.decode("utf-8", "replace"))
        self._put(None)

    def _put(self, line: str | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return
