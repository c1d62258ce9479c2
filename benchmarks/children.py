"""Processes of a benchmark that are told what to do line by line, and answer in JSON."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

__all__ = ["Child", "child", "say", "words"]

Json = Any

_ANSWERS_WITHIN_S: Final = 90.0
_ENDS_WITHIN_S: Final = 10.0


class Child:
    """A process of ours."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def tell(self, *words: str) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{' '.join(words)}\n".encode())

    async def answer(self) -> Json:
        """Wait for a line and return what it says."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_ANSWERS_WITHIN_S):
            line = await self._process.stdout.readline()
        assert line, "a process of the benchmark has ended: its words are above"
        return json.loads(line)

    async def aclose(self) -> None:
        """Say that nothing more comes, and wait until it has ended; one that does not is killed. Idempotent."""
        if self._process.returncode is not None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_ENDS_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def say(what: Json) -> None:
    """Answer, as such a process."""
    print(json.dumps(what), flush=True)


async def words() -> AsyncIterator[str]:
    """Yield what such a process is told, until nothing more comes."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line.strip()


@asynccontextmanager
async def child(module: str, *told: str) -> AsyncIterator[Child]:
    """Run `python -m MODULE TOLD…`; afterwards it is gone."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *told, stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    try:
        yield Child(process)
    finally:
        await Child(process).aclose()
