"""Tiny worker processes for a supervisor to keep: `python -m tests.worker.supervised FOLDER BEHAVIOUR …`, and one over them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from worker.child import Status, pipes_of, reporting

__all__ = ["command", "told"]


def command(folder: Path, behaviour: str, *more: str) -> tuple[str, ...]:
    """The command line of such a process."""
    return (sys.executable, "-m", "tests.worker.supervised", str(folder), behaviour, *more)


def told(folder: Path, what: str) -> list[int]:
    """The pids of the processes that said `what`, in order."""
    path = folder / what
    return [int(line) for line in path.read_text().split()] if path.exists() else []


class Worker:
    """Says what happens to it in files of `folder`; `behaviour` is what it does once it is ready."""

    def __init__(self, folder: Path, behaviour: str) -> None:
        self.folder = folder
        self.behaviour = behaviour
        self.signals = 0
        self.ready = True
        self.over = asyncio.Event()

    def say(self, what: str) -> None:
        with (self.folder / what).open("a") as file:
            file.write(f"{os.getpid()}\n")

    def status(self) -> Status:
        why = "the line is down" if not self.ready else None
        return Status(self.ready, 1, int(os.environ.get("PATCHBAY_MAX_CALLS", "4")), self.signals > 0, why)

    def terminated(self) -> None:
        self.signals += 1
        self.say(f"signal{self.signals}")
        if self.behaviour == "stubborn" or (self.behaviour == "busy" and self.signals == 1):
            return
        self.over.set()

    def orphaned(self) -> None:
        self.say("orphaned")
        self.over.set()

    async def run(self, argv: list[str]) -> None:
        pipes, _ = pipes_of(argv)
        self.ready = self.behaviour != "unready"
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.terminated)
        async with reporting(pipes, self.status, self.orphaned, interval_s=0.05):
            self.say("started")
            await asyncio.sleep(0)  # the first report
            await BEHAVIOURS.get(self.behaviour, Worker.wait)(self)
        self.say("ended")

    async def wait(self) -> None:
        await self.over.wait()

    async def crash(self) -> None:
        os._exit(1)

    async def crash_once(self) -> None:
        if len(told(self.folder, "started")) == 1:
            os._exit(1)
        await self.wait()

    async def hang(self) -> None:
        time.sleep(3600)  # noqa: ASYNC251 - the blocked loop that is wanted

    async def hang_once(self) -> None:
        if len(told(self.folder, "started")) == 1:
            time.sleep(3600)  # noqa: ASYNC251 - as above
        await self.wait()

    async def count(self) -> None:
        from prometheus_client import CollectorRegistry  # noqa: PLC0415 - it reads its variable when it is imported

        from worker.observing.metrics import Metrics  # noqa: PLC0415 - as above

        metrics = Metrics(CollectorRegistry())
        metrics.refused("full")
        metrics.log_state(2.5, 7, 0.5)
        self.say("counted")
        await self.wait()

    async def count_and_crash_once(self) -> None:
        first = len(told(self.folder, "started")) == 1
        if first:
            from prometheus_client import CollectorRegistry  # noqa: PLC0415 - as above

            from worker.observing.metrics import Metrics  # noqa: PLC0415 - as above

            metrics = Metrics(CollectorRegistry())
            metrics.refused("full")
            metrics.log_state(99, 99, 0.9)
            os._exit(1)
        await self.count()


BEHAVIOURS: dict[str, Callable[[Worker], Awaitable[None]]] = {
    "crash": Worker.crash,
    "crash_once": Worker.crash_once,
    "hang": Worker.hang,
    "hang_once": Worker.hang_once,
    "count": Worker.count,
    "count_and_crash_once": Worker.count_and_crash_once,
}


async def _over(folder: Path, behaviours: list[str]) -> int:
    from worker.supervisor import Child, supervise  # noqa: PLC0415 - a child that is kept needs none of it

    children = [Child(command(folder, behaviour), {}) for behaviour in behaviours]
    return await supervise(children, host="127.0.0.1", port=0)


def main(argv: list[str]) -> int:
    _, rest = pipes_of(argv)
    folder, behaviour, *more = rest
    if behaviour == "supervise":
        return asyncio.run(_over(Path(folder), more))
    if behaviour.startswith("exit"):
        sys.stderr.write("LIVEKIT_URL is not set\n")
        return int(behaviour.removeprefix("exit"))
    asyncio.run(Worker(Path(folder), behaviour).run(argv))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
