"""A process full of callers: `python -m runtime.harness.load.process BRIEFING NUMBER`, an order a line on its stdin.

It writes a line for each stage and each end of a call, and one for itself once its stdin is closed and all calls are over.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from livekit.rtc._ffi_client import FfiClient

from runtime.harness.load.briefing import Briefing, Order, Told, read_voices
from runtime.harness.load.caller import Course, LoadCaller
from runtime.harness.load.line import RoomLine
from runtime.harness.load.results import CallReport, Failure, ProcessReport, Stage
from runtime.harness.script import parse_script
from runtime.tasks import cancel_and_wait, spawn

__all__ = ["main"]

_BEAT_S: Final = 0.05
_LINE_BYTES: Final = 64 * 1024


class Callers:
    """The callers of this process."""

    def __init__(self, number: int, briefing: Briefing, folder: Path) -> None:
        self._number = number
        self._briefing = briefing
        self._steps = parse_script(briefing.script)
        self._voices = read_voices(folder, briefing.voices)
        self._lateness: list[float] = []
        self._running: list[asyncio.Task[None]] = []
        self._calls = 0

    async def serve(self) -> None:
        """Take orders until stdin is closed and the calls are over; SIGTERM has all of them hang up."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LINE_BYTES)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        beating = spawn(self._beat(), name="load.beat")
        taking = spawn(self._take(reader), name="load.orders")
        loop.add_signal_handler(signal.SIGTERM, self._hang_up_all, taking)
        began = time.monotonic()
        await asyncio.gather(taking, return_exceptions=True)
        await asyncio.gather(*self._running, return_exceptions=True)
        await cancel_and_wait(beating)
        _tell(Told("process", process=self._account(time.monotonic() - began)))

    async def _take(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self._running.append(spawn(self._call(Order.parse(line)), name="load.call"))

    def _hang_up_all(self, taking: asyncio.Task[None]) -> None:
        for task in (taking, *self._running):
            task.cancel()

    async def _call(self, order: Order) -> None:
        self._calls += 1
        line = RoomLine(self._briefing.url, order.token, telephone=self._briefing.telephone)
        caller = LoadCaller(line, self._voices, self._briefing.patience, lambda: self._stage(order, "talking"))
        self._stage(order, "dialling")
        began = line.now
        try:
            course = await caller.call(self._steps)
        except Exception as error:  # noqa: BLE001 - the edge: one caller's trouble is not the others', and is reported
            failure = Failure("caller_lost", f"The caller itself failed: {type(error).__name__}: {error}")
            course = Course(began=began, ended=line.now, failure=failure)
        finally:
            await line.hang_up()
        _tell(Told("call", order.number, call=self._report(order, course)))

    def _stage(self, order: Order, stage: Stage) -> None:
        _tell(Told("stage", order.number, stage))

    def _report(self, order: Order, course: Course) -> CallReport:
        return CallReport(
            number=order.number,
            room=order.room,
            process=self._number,
            began_s=course.began,
            ended_s=course.ended,
            answered_s=course.answered_s,
            first_sound_s=course.first_sound_s,
            utterances=tuple(course.utterances),
            keys=tuple(course.keys),
            sound=course.sound,
            ended_by="caller" if course.left else "agent",
            failure=course.failure,
        ).since(self._briefing.began)

    async def _beat(self) -> None:
        """Measure how late the event loop is."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _BEAT_S
            await asyncio.sleep(_BEAT_S)
            self._lateness.append(loop.time() - due)

    def _account(self, wall_s: float) -> ProcessReport:
        used = resource.getrusage(resource.RUSAGE_SELF)
        kib = 1024 if sys.platform != "darwin" else 1
        return ProcessReport(
            process=self._number,
            calls=self._calls,
            cpu_s=round(used.ru_utime + used.ru_stime, 3),
            wall_s=round(wall_s, 3),
            peak_mb=round(used.ru_maxrss * kib / 1e6, 1),
            late_p99_ms=round(float(np.percentile(self._lateness or [0.0], 99)) * 1000, 2),
        )


def _tell(told: Told) -> None:
    sys.stdout.write(told.line())
    sys.stdout.flush()


def main(argv: Sequence[str]) -> None:
    """Serve the briefing's callers."""
    path, number = Path(argv[0]), int(argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to end
    _ = FfiClient.instance  # made before any task: two at once would make two
    asyncio.run(Callers(number, Briefing.read(path), path.parent).serve())


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    # A native thread of LiveKit's that calls back while Python takes itself apart aborts the process.
    os._exit(0)
