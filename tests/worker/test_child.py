"""What a worker process tells, and how it learns that it is alone."""

from __future__ import annotations

import contextlib
import os

from tests.worker.waiting import until
from worker.child import Pipes, Status, pipes_of, reporting


def test_a_status_is_read_as_it_is_written() -> None:
    status = Status(ready=False, calls=3, max_calls=10, draining=True, why="LiveKit is away – für kurze Zeit")
    assert Status.parse(status.line()) == status
    assert len(Status(True, 0, 1, why="ü" * 10_000).line()) < 4096


def test_what_is_no_status_is_none() -> None:
    for line in (
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"ready": true, "calls": "x", "max_calls": 1, "draining": false}',
        b"\xff",
    ):
        assert Status.parse(line) is None


def test_the_pipes_stand_among_the_arguments() -> None:
    pipes = Pipes(7, 9)
    assert pipes_of(["a", *pipes.arguments, "--b"]) == (pipes, ["a", "--b"])
    assert pipes_of(["a", "--b"]) == (None, ["a", "--b"])


async def test_without_a_supervisor_nothing_is_told() -> None:
    async with reporting(None, lambda: Status(True, 0, 1), lambda: None):
        pass


async def test_a_status_comes_at_once_and_the_lifelines_end_is_told_once() -> None:
    reader, status = os.pipe()
    lifeline, writer = os.pipe()
    orphaned: list[bool] = []
    os.set_blocking(reader, False)
    told = bytearray()

    def more() -> bool:
        with contextlib.suppress(BlockingIOError):
            told.extend(os.read(reader, 65536))
        return told.count(b"\n") >= 3

    async with reporting(
        Pipes(status, lifeline), lambda: Status(True, 2, 4), lambda: orphaned.append(True), interval_s=0.02
    ):
        await until(more)
        assert Status.parse(told.splitlines()[0]) == Status(True, 2, 4)
        assert not os.get_inheritable(status)
        assert not orphaned
        os.close(writer)
        await until(lambda: orphaned)
    assert orphaned == [True]
    os.close(reader)


async def test_a_supervisor_that_does_not_read_or_is_gone_costs_nothing() -> None:
    reader, status = os.pipe()
    lifeline, writer = os.pipe()
    asked: list[bool] = []

    def tell() -> Status:
        asked.append(True)
        return Status(True, 0, 1, why="x" * 500)

    async with reporting(Pipes(status, lifeline), tell, lambda: None, interval_s=0.0001):
        await until(lambda: len(asked) > 200)  # more than a pipe holds
        os.close(reader)
        before = len(asked)
        await until(lambda: len(asked) > before + 10)
    os.close(writer)
