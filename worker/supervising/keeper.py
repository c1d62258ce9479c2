"""One process kept running: started, listened to, killed when it hangs, started again when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from runtime.settings import child_environment
from runtime.tasks import cancel_and_wait, spawn
from worker.child import Pipes, Status, bereaved
from worker.supervising.states import Child, ProcessState, Timing

__all__ = ["Keeper", "Watcher"]

_LONGEST_LINE = 65536
_log = structlog.get_logger("supervisor")


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who hears of a process's lives.

    `ended` of each pid; `refused` of an exit code 2 or 3, true if that is the end; `died` of a worker's id in the fleet,
    whose calls are without it now; `ready` of a keeper whose process has become ready.
    """

    ended: Callable[[int], None]
    refused: Callable[[int, int], bool]
    died: Callable[[str], None]
    ready: Callable[[Keeper], None]


class Keeper:
    """Keeps one child running until it is told to stop. Used on one event loop."""

    def __init__(self, number: int, child: Child, timing: Timing, watcher: Watcher) -> None:
        self.drained = True
        self.ever_ready = False
        self._number = number
        self._child = child
        self._timing = timing
        self._watcher = watcher
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._status: Status | None = None
        self._heard_at = 0.0
        self._restarts = 0
        self._buffer = b""
        self._lifeline: int | None = None

    @property
    def state(self) -> ProcessState:
        """How the process stands now."""
        pid = None if self._process is None else self._process.pid
        return ProcessState(self._number, pid, self._status, self._silent_for() >= self._patience(), self._restarts)

    def take_over(self, worker_id: str) -> bool:
        """Have the child take over the calls of a worker that has died; False where there is no child that could."""
        if self._lifeline is None or not self.state.reporting or self._status is None or not self._status.ready:
            return False
        try:
            os.write(self._lifeline, bereaved(worker_id))
        except OSError:  # it reads nothing, or is about to be dead itself
            return False
        return True

    # ------------------------------------------------------------ run

    async def run(self) -> None:
        """Start the child, again and again, until `stop`; a child that runs is waited for, or killed if cancelled."""
        shortest, longest = self._timing.backoff_s
        wait = shortest
        while not self._stopping.is_set():
            began = _now()
            code = await self._live()
            if self._stopping.is_set():
                self.drained = code in {0, -signal.SIGTERM}
                return
            if code in {2, 3} and self._watcher.refused(self._number, code):
                return
            if _now() - began >= self._timing.healthy_s:
                wait = shortest
            _log.error("worker_died", process=self._number, exit_code=code, signal=_signal_name(code), again_in_s=wait)
            await self._pause(wait)
            wait = min(wait * 2, longest)
            self._restarts += 1

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _live(self) -> int:
        """One life: returns its exit code, negative for a signal."""
        reader, status = os.pipe()
        lifeline, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        loop = asyncio.get_running_loop()
        self._status, self._heard_at, self._buffer = None, _now(), b""
        try:
            try:
                process = await self._start(Pipes(status, lifeline))
            finally:
                os.close(status)
                os.close(lifeline)
            loop.add_reader(reader, self._read, reader)
            self._lifeline = writer
            return await self._until_ended(process)
        except OSError as error:
            _log.error("worker_not_started", process=self._number, why=error.strerror)
            return 1
        finally:
            self._lifeline = None
            loop.remove_reader(reader)
            os.close(reader)
            os.close(writer)

    async def _start(self, pipes: Pipes) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *self._child.argv,
            *pipes.arguments,
            env=child_environment({"PYTHONFAULTHANDLER": "1", **self._child.env}),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(pipes.status, pipes.lifeline),
            start_new_session=True,  # Ctrl-C is told to us alone: two signals would mean "at once" to a child
        )
        self._process = process
        _log.debug("worker_started", process=self._number, pid=process.pid)
        if self._stopping.is_set():
            self._send(signal.SIGTERM)
        return process

    async def _until_ended(self, process: asyncio.subprocess.Process) -> int:
        waiting = spawn(process.wait(), name=f"supervisor.wait {self._number}")
        try:
            while not waiting.done():
                left = self._patience() - self._silent_for()
                if left <= 0:
                    await self._abort(waiting)
                else:
                    await asyncio.wait({waiting}, timeout=min(left, self._timing.silent_s))  # its patience may shrink
            return waiting.result()
        finally:
            if not waiting.done():  # cancelled: nobody would be left to end it
                self.kill()
                await asyncio.wait({waiting}, timeout=self._timing.abort_s)
                await cancel_and_wait(waiting)
            self._process = None
            self._watcher.ended(process.pid)
            self._mourn(process.returncode)

    def _mourn(self, code: int | None) -> None:
        """Tell of a worker that did not end in order: its calls, if it had any, are to go on elsewhere."""
        worker_id = self._status.worker_id if self._status else None
        if worker_id is not None and code != 0:
            self._watcher.died(worker_id)

    # ------------------------------------------------------------ listening

    def _read(self, reader: int) -> None:
        told = os.read(reader, _LONGEST_LINE)
        if not told:
            asyncio.get_running_loop().remove_reader(reader)
            return
        *lines, rest = (self._buffer + told).split(b"\n")
        self._buffer = rest[-_LONGEST_LINE:]
        for line in lines:
            if (status := Status.parse(line)) is not None:
                self._hear(status)

    def _hear(self, status: Status) -> None:
        is_news = status.ready and not (self._status and self._status.ready)
        self.ever_ready |= status.ready
        self._status, self._heard_at = status, _now()
        if is_news:
            _log.info("worker_ready", process=self._number, max_calls=status.max_calls)
            self._watcher.ready(self)

    def _silent_for(self) -> float:
        return _now() - self._heard_at

    def _patience(self) -> float:
        return self._timing.starting_s if self._status is None else self._timing.silent_s

    # ------------------------------------------------------------ the end

    def stop(self) -> None:
        """Ask the child to end (SIGTERM), and start no other; asked again, it ends at once."""
        self._stopping.set()
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End the child and what it has started, whatever they are doing."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _abort(self, waiting: asyncio.Task[int]) -> None:
        calls = self._status.calls if self._status else 0
        _log.error("worker_silent", process=self._number, silent_s=round(self._silent_for(), 1), calls_lost=calls)
        sys.stderr.flush()
        self._send(signal.SIGABRT)
        await asyncio.wait({waiting}, timeout=self._timing.abort_s)
        self.kill()
        await asyncio.wait({waiting})

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


def _signal_name(code: int) -> str | None:
    try:
        return signal.Signals(-code).name if code < 0 else None
    except ValueError:
        return str(-code)


def _now() -> float:
    return asyncio.get_running_loop().time()
