"""The processes full of callers, seen from the one that runs a load test."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from runtime.errors import Unreachable
from runtime.harness.load.briefing import Briefing, Order, Told, read_told, write_voices
from runtime.harness.load.plan import LoadPlan
from runtime.harness.load.results import CallReport, Failure, ProcessReport, Stage
from runtime.settings import child_environment
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.wav import Samples

__all__ = ["Crew", "OnStage", "open_crew"]

OnStage = Callable[[int, Stage], None]
"""Hears of a call's stage: its number and where it stands."""

_LINE_BYTES: Final = 4 * 1024 * 1024
_ENDS_WITHIN_S: Final = 15.0
_MODULE: Final = "runtime.harness.load.process"


class _Callers:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process, on_stage: OnStage) -> None:
        self._process = process
        self._on_stage = on_stage
        self._waiting: dict[int, asyncio.Future[CallReport | None]] = {}
        self.report: ProcessReport | None = None
        self._reading = spawn(self._read(), name="load.callers")

    @property
    def calls(self) -> int:
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        return not self._reading.done()

    async def call(self, order: Order) -> CallReport | None:
        """Have a call made; None where the process ended meanwhile."""
        if not self.alive or self._process.stdin is None:
            return None
        self._waiting[order.number] = asyncio.get_running_loop().create_future()
        try:
            self._process.stdin.write(order.line())
            await self._process.stdin.drain()
            return await self._waiting[order.number]
        except (BrokenPipeError, ConnectionResetError):
            return None
        finally:
            del self._waiting[order.number]

    async def finish(self) -> None:
        """Let it end: no further orders. Calls that run are hung up."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._waiting:
            self._end()
        with suppress(TimeoutError):
            async with asyncio.timeout(_ENDS_WITHIN_S):
                await asyncio.wait({self._reading})
                await self._process.wait()

    async def aclose(self) -> None:
        """End it whatever it does. Idempotent."""
        if self._process.returncode is None:
            self._end()
            with suppress(TimeoutError):
                async with asyncio.timeout(_ENDS_WITHIN_S):
                    await self._process.wait()
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        await cancel_and_wait(self._reading)

    def _end(self) -> None:
        with suppress(ProcessLookupError):
            self._process.terminate()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            async for line in self._process.stdout:
                if (told := read_told(line)) is not None:
                    self._hear(told)
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_result(None)

    def _hear(self, told: Told) -> None:
        if told.stage is not None:
            self._on_stage(told.number, told.stage)
        if told.process is not None:
            self.report = told.process
        future = self._waiting.get(told.number)
        if told.call is not None and future is not None and not future.done():
            future.set_result(told.call)


class Crew:
    """Callers, spread over processes."""

    def __init__(self, on_stage: OnStage) -> None:
        self._on_stage = on_stage
        self._processes: list[_Callers] = []

    async def start(self, briefing: Path, number: int, errors: int) -> None:
        """Start the process of this number; `errors` is the descriptor that takes what it says."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _MODULE, str(briefing), str(number)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=child_environment({}),
            limit=_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for the parent, which has the callers hang up
        )
        self._processes.append(_Callers(process, self._on_stage))

    async def call(self, order: Order) -> CallReport:
        """Have a call made by the process with the fewest, and return how it went.

        Raises Unreachable where no process is left.
        """
        if not any(each.alive for each in self._processes):
            raise Unreachable(
                "All processes of callers have ended.", remedy="callers.log in the report's folder may say why."
            )
        callers = min(self._processes, key=lambda each: (not each.alive, each.calls))
        report = await callers.call(order)
        if report is not None:
            return report
        lost = Failure(
            "caller_lost", "The process of the caller ended; callers.log in the report's folder may say why."
        )
        return CallReport(order.number, order.room, 0, 0.0, 0.0, failure=lost)

    async def finish(self) -> tuple[ProcessReport, ...]:
        """End the processes, and return what they took."""
        await asyncio.gather(*(each.finish() for each in self._processes))
        return tuple(each.report for each in self._processes if each.report is not None)

    async def aclose(self) -> None:
        """End whatever still runs. Idempotent."""
        await asyncio.gather(*(each.aclose() for each in self._processes))


@asynccontextmanager
async def open_crew(
    plan: LoadPlan,
    voices: Mapping[str, Samples],
    briefing: Callable[[Mapping[str, str]], Briefing],
    on_stage: OnStage,
    log: Path,
) -> AsyncIterator[Crew]:
    """Start the plan's processes; `briefing` is made of the voices' file names, and `log` takes what the processes say."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="patchbay-load-")))
        path = folder / "briefing.json"
        briefing(write_voices(folder, voices)).write(path)
        errors = stack.enter_context(log.open("ab"))
        crew = Crew(on_stage)
        stack.push_async_callback(crew.aclose)
        for number in range(1, plan.crew + 1):
            await crew.start(path, number, errors.fileno())
        yield crew
