"""One worker process from its arguments to its exit code; `python -m worker` runs it."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from runtime.errors import PatchbayError
from runtime.logging import configure_logging
from runtime.settings import Settings
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.pipeline import warm
from worker.child import Pipes, Status, pipes_of, reporting
from worker.phone.config import LineConfig
from worker.reception import ByHand
from worker.tuning import tune
from worker.worker import Lines, Worker, open_worker

__all__ = ["main"]

_STARTING = Status(ready=False, calls=0, max_calls=0, why="starting")


def main(argv: Sequence[str]) -> int:
    """Run until a signal; return the exit code. What keeps it from starting is said on stderr."""
    pipes, rest = pipes_of(argv)
    given = _parser().parse_args(rest)
    try:
        settings = Settings.load()
        configure_logging(settings.log, settings.log_format or ("console" if sys.stderr.isatty() else "json"))
        settings.export_provider_environment()
        phone = LineConfig(listen=given.phone, via=given.via) if given.phone is not None else None
        own = ByHand(given.answer_with, given.answer_offline) if given.answer_with else None
        lines = Lines(given.rooms, phone, own, given.loopback_models)
        return asyncio.run(_run(settings, lines, pipes, offline=given.offline))
    except PatchbayError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="worker")
    parser.add_argument("--rooms", action="store_true")
    parser.add_argument("--phone")
    parser.add_argument("--via")
    parser.add_argument("--answer-with")
    parser.add_argument("--answer-offline", action="store_true")
    parser.add_argument("--loopback-models", action="store_true")
    parser.add_argument("--offline", action="store_true")
    return parser


async def _run(settings: Settings, lines: Lines, pipes: Pipes | None, *, offline: bool) -> int:
    drain, at_once = asyncio.Event(), asyncio.Event()
    worker: Worker | None = None
    bereaved: list[str] = []

    def stop() -> None:
        (at_once if drain.is_set() else drain).set()

    def status() -> Status:
        return worker.status() if worker is not None else _STARTING

    def take_over(worker_id: str) -> None:
        if worker is None:
            bereaved.append(worker_id)
        else:
            worker.take_over(worker_id)

    _on_signals(stop)
    async with reporting(pipes, status, stop, on_bereaved=take_over):
        warm(local=offline or (lines.answer_with is not None and lines.answer_with.offline), plugins=False)
        tune()
        async with open_worker(settings, lines, offline=offline) as worker:
            for worker_id in bereaved:
                worker.take_over(worker_id)
            await _until_stopped(worker, drain, at_once)
    return 0


def _on_signals(stop: object) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` has SIGHUP ignored, and so shall it stay
            loop.add_signal_handler(number, stop)  # type: ignore[arg-type]


async def _until_stopped(worker: Worker, drain: asyncio.Event, at_once: asyncio.Event) -> None:
    """The first signal drains, the second ends."""
    await drain.wait()
    draining = spawn(worker.drain(worker.settings.drain_s), name="drain")
    second = spawn(at_once.wait(), name="second signal")
    await asyncio.wait({draining, second}, return_when=asyncio.FIRST_COMPLETED)
    await cancel_and_wait(draining, second)
