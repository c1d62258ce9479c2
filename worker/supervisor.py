"""A light parent of several worker processes: starts them, restarts what dies, drains them all, and answers for them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import structlog

from runtime.errors import UsageFault
from runtime.tasks import cancel_and_wait, spawn
from worker.address import Address, held
from worker.supervising.keeper import Keeper, Watcher
from worker.supervising.states import Child, ProcessState, Timing

__all__ = ["Child", "Supervisor", "Timing", "crew", "supervise"]

States = Callable[[], Sequence[ProcessState]]

_USUAL = Timing()
_log = structlog.get_logger("supervisor")


def crew(argv: Sequence[str], *, processes: int, max_calls: int | None = None) -> tuple[Child, ...]:
    """Return `processes` children with this command; `max_calls` is the total, divided among them as PATCHBAY_MAX_CALLS.

    Raises UsageFault where a process would be left without a call.
    """
    if max_calls is None:
        return tuple(Child(tuple(argv), {}) for _ in range(processes))
    if max_calls < processes:
        raise UsageFault(
            f"{processes} processes cannot share PATCHBAY_MAX_CALLS={max_calls}.",
            remedy=f"Set PATCHBAY_MAX_CALLS to {processes} or more, or start fewer processes.",
        )
    each, over = divmod(max_calls, processes)
    shares = (each + (number < over) for number in range(processes))
    return tuple(Child(tuple(argv), {"PATCHBAY_MAX_CALLS": str(share)}) for share in shares)


class Supervisor:
    """Keeps children running. Lifecycle: `run` until `stop` (drain) and, if need be, `stop` again (at once).

    `on_ended(pid)` hears of every child that has ended. Must be made on the loop that it runs on.
    """

    def __init__(
        self, children: Sequence[Child], *, timing: Timing = _USUAL, on_ended: Callable[[int], None] | None = None
    ) -> None:
        self._timing = timing
        self._stops = 0
        self._refused: tuple[int, int] | None = None
        watcher = Watcher(on_ended or (lambda _pid: None), self._refuse, self._bereaved, self._console)
        self._dead: list[str] = []  # whose calls the next to be ready is told to take over
        self._keepers = [Keeper(number, child, timing, watcher) for number, child in enumerate(children, start=1)]

    def states(self) -> tuple[ProcessState, ...]:
        """Return how each process stands now."""
        return tuple(keeper.state for keeper in self._keepers)

    async def run(self) -> int:
        """Run until stopped, with SIGTERM, SIGINT and SIGHUP (unless ignored) as `stop`.

        Returns 0 when all have drained, 1 when one of them died in its drain or had to be killed, and a child's own exit
        code (2, 3) when it says by that, before any has ever been ready, that it cannot start: it has told why.
        """
        with _signals(self.stop):
            running = [spawn(keeper.run(), name=f"supervisor.keep {at}") for at, keeper in enumerate(self._keepers, 1)]
            try:
                await asyncio.gather(*running)
            finally:
                for task in running:
                    if not task.cancelling():  # a second time would interrupt the killing
                        task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
        if self._refused is not None:
            _log.debug("cannot_start", process=self._refused[0], exit_code=self._refused[1])
            return self._refused[1]
        return 0 if all(keeper.drained for keeper in self._keepers) else 1

    def stop(self) -> None:
        """Drain: no new calls, running ones finish. Asked again: end at once, and kill after `kill_s` what does not."""
        self._stops += 1
        if self._stops > 2:
            return
        if self._refused is None:
            _log.info("draining" if self._stops == 1 else "ending_at_once")
        for keeper in self._keepers:
            keeper.stop()
            if self._stops == 2:
                asyncio.get_running_loop().call_later(self._timing.kill_s, keeper.kill)

    def _bereaved(self, worker_id: str) -> None:
        """Have the others take over the calls of a worker that has died, and the next to be ready what they had no room for.

        All are told: the database gives each call to one of them, and who is full takes none.
        """
        for keeper in self._keepers:
            keeper.take_over(worker_id)
        self._dead.append(worker_id)

    def _console(self, keeper: Keeper) -> None:
        self._dead = [worker_id for worker_id in self._dead if not keeper.take_over(worker_id)]

    def _refuse(self, number: int, code: int) -> bool:
        if self._stops or any(keeper.ever_ready for keeper in self._keepers):
            return False  # it did start once: what it lacks now may come back, and others may have calls
        self._refused = (number, code)
        self.stop()
        return True


async def supervise(children: Sequence[Child], *, host: str, port: int, timing: Timing = _USUAL) -> int:
    """Run the children until they have drained, with `/healthz`, `/readyz` and `/metrics` on `host`:`port`.

    Returns the exit code, as `Supervisor.run`. Raises UsageFault where the port is taken, before anything is started.
    """
    async with held(host, port) as address:
        with tempfile.TemporaryDirectory(prefix="patchbay-metrics-", ignore_cleanup_errors=True) as name:
            shared = {"PROMETHEUS_MULTIPROC_DIR": name}
            ended = _Ended()
            supervisor = Supervisor(
                [replace(child, env={**child.env, **shared}) for child in children],
                timing=timing,
                on_ended=ended,
            )
            running = spawn(supervisor.run(), name="supervisor", on_error=_ignore)
            try:
                async with _answering(address, supervisor.states, Path(name), ended):
                    return await running
            finally:
                await cancel_and_wait(running)


@contextlib.asynccontextmanager
async def _answering(address: Address, states: States, folder: Path, ended: _Ended) -> AsyncIterator[None]:
    """Serve health and metrics; of the processes that have `ended` only what they counted stays."""
    # aiohttp and prometheus_client take as long to import as all else here, and the processes start meanwhile.
    http, exposing = await asyncio.to_thread(_imported)
    exposition = exposing.Exposition(folder)
    ended.tell(exposition.forget)
    async with http.serving(address, states, exposition.text):
        _log.info("health_served", host=address.host, port=address.port)
        yield


class _Ended:
    """Tells of processes that have ended, once there is somebody to be told."""

    def __init__(self) -> None:
        self._waiting: list[int] = []
        self._forget = self._waiting.append

    def __call__(self, pid: int) -> None:
        self._forget(pid)

    def tell(self, forget: Callable[[int], None]) -> None:
        self._forget = forget
        for pid in self._waiting:
            forget(pid)


def _imported() -> tuple[ModuleType, ModuleType]:
    return importlib.import_module("worker.http"), importlib.import_module("worker.observing.exposition")


def _ignore(_error: BaseException) -> None:
    """It is raised where the task is awaited."""


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = [
        number
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN  # `nohup` has it ignored
    ]
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
