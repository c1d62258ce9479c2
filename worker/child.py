"""What a worker process and the supervisor above it tell each other, and how the one learns that the other is gone."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Self

from runtime.tasks import cancel_and_wait, spawn

__all__ = ["Pipes", "Status", "bereaved", "pipes_of", "reporting"]

REPORT_S = 0.5
_WHY = 500  # characters; a line stays below PIPE_BUF, so that none is ever torn
_LONGEST_LINE = 65536
_STATUS, _LIFELINE = "--status-fd=", "--lifeline-fd="


@dataclass(frozen=True, slots=True)
class Status:
    """How a worker process stands: calls now and at most, and `why` it is not ready (for people).

    `worker_id` is its name in the fleet, by which others take its calls over; None before it has one.
    """

    ready: bool
    calls: int
    max_calls: int
    draining: bool = False
    why: str | None = None
    worker_id: str | None = None

    def line(self) -> bytes:
        """Return the status as one line of JSON, short enough to be written in one piece."""
        why = None if self.why is None else self.why[:_WHY]
        return json.dumps({**asdict(self), "why": why}).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Self | None:
        """Return the status of a line; None where it is none."""
        try:
            told = json.loads(line)
            why, worker_id = told["why"], told.get("worker_id")
            return cls(
                bool(told["ready"]),
                int(told["calls"]),
                int(told["max_calls"]),
                bool(told["draining"]),
                None if why is None else str(why),
                None if worker_id is None else str(worker_id),
            )
        except (ValueError, KeyError, TypeError):
            return None


def bereaved(worker_id: str) -> bytes:
    """Return the line by which a supervisor has a child take over the calls of a worker that has died."""
    return json.dumps({"take_over": worker_id}).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Pipes:
    """The child's ends of the pipes to its supervisor, as file descriptors: one is written, the other's end is a death."""

    status: int
    lifeline: int

    @property
    def arguments(self) -> tuple[str, str]:
        """The arguments by which a child is told of them."""
        return f"{_STATUS}{self.status}", f"{_LIFELINE}{self.lifeline}"


def pipes_of(argv: Sequence[str]) -> tuple[Pipes | None, list[str]]:
    """Return the pipes named in `argv`, if it was a supervisor that started this process, and the other arguments."""
    rest = [word for word in argv if not word.startswith((_STATUS, _LIFELINE))]
    status = next((word.removeprefix(_STATUS) for word in argv if word.startswith(_STATUS)), None)
    lifeline = next((word.removeprefix(_LIFELINE) for word in argv if word.startswith(_LIFELINE)), None)
    if status is None or lifeline is None:
        return None, rest
    return Pipes(int(status), int(lifeline)), rest


@contextlib.asynccontextmanager
async def reporting(
    pipes: Pipes | None,
    status: Callable[[], Status],
    on_orphaned: Callable[[], None],
    *,
    on_bereaved: Callable[[str], None] | None = None,
    interval_s: float = REPORT_S,
) -> AsyncIterator[None]:
    """Tell the supervisor `status()` every `interval_s` seconds, and call `on_orphaned` once if the supervisor dies.

    `on_bereaved` is called with the id of each worker whose calls the supervisor wants taken over. To be entered before anything slow and left last: a process that has been silent for a while is killed. Without
    pipes (a process started by hand) nothing is told.
    """
    if pipes is None:
        yield
        return
    if not faulthandler.is_enabled():
        faulthandler.enable()  # the supervisor asks a blocked process for its stack with SIGABRT
    for descriptor in (pipes.status, pipes.lifeline):
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, False)
    loop = asyncio.get_running_loop()
    lifeline = _Lifeline(pipes.lifeline, on_orphaned, on_bereaved or _nothing)
    loop.add_reader(pipes.lifeline, lifeline.moved)
    telling = spawn(_tell(pipes.status, status, interval_s), name="child.report")
    try:
        yield
    finally:
        await cancel_and_wait(telling)
        loop.remove_reader(pipes.lifeline)
        os.close(pipes.status)
        os.close(pipes.lifeline)


async def _tell(descriptor: int, status: Callable[[], Status], interval_s: float) -> None:
    while True:
        # A supervisor that does not read, or is gone, must cost the calls nothing.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(descriptor, status().line())
        await asyncio.sleep(interval_s)


@dataclass(slots=True)
class _Lifeline:
    """The supervisor's words, and its end."""

    descriptor: int
    on_orphaned: Callable[[], None]
    on_bereaved: Callable[[str], None]
    heard: bytes = b""

    def moved(self) -> None:
        with contextlib.suppress(BlockingIOError):
            told = os.read(self.descriptor, _LONGEST_LINE)
            if not told:
                asyncio.get_running_loop().remove_reader(self.descriptor)
                self.on_orphaned()
                return
            *lines, rest = (self.heard + told).split(b"\n")
            self.heard = rest[-_LONGEST_LINE:]
            for worker_id in filter(None, map(_bereft_of, lines)):
                self.on_bereaved(worker_id)


def _bereft_of(line: bytes) -> str | None:
    """Return the worker whose calls a line wants taken over; None where it says nothing of the kind."""
    try:
        return str(json.loads(line)["take_over"])
    except (ValueError, KeyError, TypeError):
        return None


def _nothing(_worker_id: str) -> None:
    """Nobody takes calls over."""
