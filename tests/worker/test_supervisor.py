"""Processes kept running: restarted, killed when they hang, drained, and not started for ever where that is no use."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.errors import UsageFault
from runtime.tasks import spawn
from tests.worker.supervised import command, told
from tests.worker.waiting import until
from worker.supervisor import Child, Supervisor, Timing, crew

QUICK = Timing(backoff_s=(0.05, 0.4), healthy_s=60, silent_s=20, abort_s=10, kill_s=20)


def children(folder: Path, *behaviours: str) -> list[Child]:
    return [Child(command(folder, behaviour), {}) for behaviour in behaviours]


@asynccontextmanager
async def running(
    kept: Sequence[Child], timing: Timing = QUICK
) -> AsyncIterator[tuple[Supervisor, asyncio.Task[int], list[int]]]:
    ended: list[int] = []
    supervisor = Supervisor(kept, timing=timing, on_ended=ended.append)
    task = spawn(supervisor.run(), name="test.supervisor", on_error=lambda _error: None)
    try:
        yield supervisor, task, ended
    finally:
        task.cancel()
        await asyncio.wait({task})


def ready(supervisor: Supervisor) -> bool:
    return all(state.condition == "ready" for state in supervisor.states())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_children_run_until_they_are_drained(tmp_path: Path) -> None:
    async with running(children(tmp_path, "steady", "steady")) as (supervisor, task, ended):
        await until(lambda: ready(supervisor))
        assert [state.status.calls for state in supervisor.states() if state.status] == [1, 1]
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0
    assert sorted(ended) == sorted(told(tmp_path, "started")) == sorted(told(tmp_path, "signal1"))
    assert {state.condition for state in supervisor.states()} == {"dead"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_other_signals_drain_as_well(tmp_path: Path, number: signal.Signals) -> None:
    async with running(children(tmp_path, "steady")) as (supervisor, task, _):
        await until(lambda: ready(supervisor))
        os.kill(os.getpid(), number)
        assert await task == 0
    assert told(tmp_path, "signal1")


async def test_what_dies_is_started_again_and_the_others_run_on(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    kept = [*children(tmp_path / "a", "steady"), *children(tmp_path / "b", "crash_once")]
    async with running(kept) as (supervisor, task, ended):
        await until(lambda: len(told(tmp_path / "b", "started")) == 2 and ready(supervisor))
        assert [state.restarts for state in supervisor.states()] == [0, 1]
        assert ended == told(tmp_path / "b", "started")[:1]
        supervisor.stop()
        assert await task == 0
    assert len(told(tmp_path / "a", "started")) == 1


async def test_a_child_that_keeps_dying_is_waited_for_longer_and_longer(
    tmp_path: Path,
) -> None:
    waits: list[float] = []

    async with running(children(tmp_path, "crash"), replace(QUICK, backoff_s=(0.01, 0.03))) as (
        supervisor,
        task,
        ended,
    ):
        (keeper,) = supervisor._keepers
        pause = keeper._pause

        async def noted(seconds: float) -> None:
            waits.append(seconds)
            await pause(seconds)

        keeper._pause = noted  # type: ignore[method-assign]
        await until(lambda: len(waits) >= 4)
        supervisor.stop()
        await task
    assert waits[:4] == [0.01, 0.02, 0.03, 0.03]
    assert len(ended) >= 4


async def test_a_child_that_lived_long_enough_is_started_again_soon(tmp_path: Path) -> None:
    timing = replace(QUICK, backoff_s=(0.01, 60.0), healthy_s=0.0)
    async with running(children(tmp_path, "crash"), timing) as (supervisor, task, _):
        await until(lambda: len(told(tmp_path, "started")) >= 4)
        supervisor.stop()
        await task


async def test_a_child_that_hangs_shows_where_and_is_started_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(children(tmp_path, "hang_once"), replace(QUICK, silent_s=1.5)) as (supervisor, task, ended):
        await until(lambda: len(told(tmp_path, "started")) >= 2 and ready(supervisor))
        assert ended[0] == told(tmp_path, "started")[0]
        supervisor.stop()
        assert await task == 0
    shown = capfd.readouterr().err
    assert "Fatal Python error: Aborted" in shown
    assert "in hang_once" in shown


async def test_a_child_that_never_says_a_word_is_ended(tmp_path: Path) -> None:
    mute = Child((sys.executable, "-c", "import time; time.sleep(3600)"), {})
    timing = replace(QUICK, starting_s=0.3)
    async with running([mute], timing) as (supervisor, task, ended):
        await until(lambda: len(ended) >= 2)
        supervisor.stop()
        await task


@pytest.mark.parametrize("behaviour", ["exit2", "exit3"])
async def test_a_child_that_cannot_start_ends_it_all(
    tmp_path: Path, behaviour: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(children(tmp_path, "unready", behaviour)) as (supervisor, task, ended):
        assert await task == int(behaviour[-1])
        assert len(ended) == 2
        assert [state.restarts for state in supervisor.states()] == [0, 0]
    assert capfd.readouterr().err.count("LIVEKIT_URL is not set") == 1


async def test_once_it_has_started_what_it_lacks_is_waited_for(tmp_path: Path) -> None:
    late = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\nsys.exit(3)"
    flag = tmp_path / "go"
    kept = [*children(tmp_path, "steady"), Child((sys.executable, "-c", late, str(flag)), {})]
    async with running(kept) as (supervisor, task, ended):
        await until(lambda: supervisor.states()[0].condition == "ready")
        flag.touch()
        await until(lambda: len(ended) >= 2)
        assert not task.done()
        supervisor.stop()
        assert await task in {0, 1}  # whether the other one was between two lives


async def test_a_drain_waits_and_a_second_signal_ends_it(tmp_path: Path) -> None:
    async with running(children(tmp_path, "busy")) as (supervisor, task, _):
        await until(lambda: ready(supervisor))
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: supervisor.states()[0].condition == "draining")
        assert told(tmp_path, "signal1")
        assert not task.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0
    assert told(tmp_path, "signal2")


async def test_who_ignores_the_second_signal_is_killed(tmp_path: Path) -> None:
    async with running(children(tmp_path, "stubborn"), replace(QUICK, kill_s=0.3)) as (supervisor, task, ended):
        await until(lambda: ready(supervisor))
        supervisor.stop()
        await until(lambda: told(tmp_path, "signal1"))
        supervisor.stop()
        supervisor.stop()
        assert await task == 1
    assert told(tmp_path, "started") == ended
    assert not told(tmp_path, "ended")


async def test_a_signal_between_two_lives_starts_no_other(tmp_path: Path) -> None:
    async with running(children(tmp_path, "crash"), replace(QUICK, backoff_s=(60.0, 60.0))) as (
        supervisor,
        task,
        ended,
    ):
        await until(lambda: ended)
        supervisor.stop()
        assert await task == 0
    assert len(told(tmp_path, "started")) == 1


async def test_who_cancels_leaves_nobody_behind(tmp_path: Path) -> None:
    async with running(children(tmp_path, "stubborn", "hang")) as (_, task, ended):
        await until(lambda: len(told(tmp_path, "started")) == 2)
        task.cancel()
        await asyncio.wait({task})
    assert sorted(ended) == sorted(told(tmp_path, "started"))
    assert not any(alive(pid) for pid in ended)


async def test_children_whose_supervisor_is_killed_end_by_themselves(tmp_path: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(tmp_path)}  # what a killed parent leaves is a folder there
    over = await asyncio.create_subprocess_exec(*command(tmp_path, "supervise", "steady", "steady"), env=environ)
    try:
        await until(lambda: len(told(tmp_path, "started")) == 2)
    finally:
        over.kill()
        await over.wait()
    await until(lambda: sorted(told(tmp_path, "orphaned")) == sorted(told(tmp_path, "started")))
    await until(lambda: sorted(told(tmp_path, "ended")) == sorted(told(tmp_path, "started")))


def test_the_calls_are_divided() -> None:
    assert [child.env["PATCHBAY_MAX_CALLS"] for child in crew(["x"], processes=3, max_calls=10)] == ["4", "3", "3"]
    assert [child.env for child in crew(["x"], processes=2)] == [{}, {}]
    with pytest.raises(UsageFault, match="PATCHBAY_MAX_CALLS=2"):
        crew(["x"], processes=3, max_calls=2)
