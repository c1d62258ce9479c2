"""The control API as `patchbay dev` runs it: a process beside the worker's, on a port of this machine."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from api.sockets import listening_socket
from runtime.errors import Unreachable, UsageFault
from runtime.settings import Settings, child_environment
from runtime.tasks import cancel_and_wait, spawn

__all__ = ["free_port", "served_api"]

_STARTS_WITHIN_S = 30.0
_ENDS_WITHIN_S = 15.0
_AGAIN_AFTER_S = 1.0


def free_port(wanted: int) -> int:
    """Return `wanted` where it is free on loopback, else one that is."""
    try:
        probe = listening_socket("127.0.0.1", wanted)
    except UsageFault:
        probe = listening_socket("127.0.0.1", 0)
    with probe:
        return int(probe.getsockname()[1])


@asynccontextmanager
async def served_api(settings: Settings, port: int, more: Mapping[str, str], *, offline: bool) -> AsyncIterator[None]:
    """Run the API until left, and anew should it end meanwhile; yields once it answers. Its log is in `api.log`.

    `more` is added to its environment. Raises `Unreachable` where it does not start.
    """
    argv = [sys.executable, "-c", "from cli.main import app; app()", "api", "--port", str(port), "--dev"]
    keeper = _Keeper(
        [*argv, "--offline"] if offline else argv, child_environment(more), settings.make_home() / "api.log"
    )
    await keeper.start()
    keeping = spawn(keeper.keep(), name="api keeper")
    try:
        yield
    finally:
        await cancel_and_wait(keeping)
        await keeper.stop()


class _Keeper:
    """One process, started again when it ends by itself."""

    def __init__(self, argv: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._argv = argv
        self._environment = environment
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            # A session of its own: Ctrl-C reaches this process, which then ends that one in order.
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdout=asyncio.subprocess.PIPE,
                stderr=descriptor,
                env=dict(self._environment),
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        try:
            async with asyncio.timeout(_STARTS_WITHIN_S):
                told = await self._process.stdout.readline() if self._process.stdout else b""
        except TimeoutError:
            told = b""
        if not told:
            await self.stop()
            raise Unreachable("The API did not start.", remedy=f"See {self._log}.")

    async def keep(self) -> None:
        while True:
            if self._process is not None:
                await self._process.wait()
            await asyncio.sleep(_AGAIN_AFTER_S)
            try:
                await self.start()
            except Unreachable:
                self._process = None

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_ENDS_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
