from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.others import OTHERS, Other, Skipped, run
from benchmarks.processes import OTHERS as OTHER_CORES
from benchmarks.processes import SIDE, SideDied, family_cpu_s, side_process

PYTHON = Path(sys.executable)


def test_a_side_that_ends_before_it_answers_is_said_with_its_last_words(tmp_path: Path) -> None:
    with (
        pytest.raises(SideDied, match="no_such_side"),
        side_process("gone", PYTHON, ["benchmarks.no_such_side"], tmp_path) as side,
    ):
        side.ready()


def test_a_side_that_has_started_has_all_its_threads_on_its_core(tmp_path: Path) -> None:
    with side_process("side", PYTHON, ["tests.benchmarks.threaded_side"], tmp_path) as side:
        side.ready()
        tasks = [int(task.name) for task in Path(f"/proc/{side.process.pid}/task").iterdir()]
        assert len(tasks) > 1
        assert {frozenset(os.sched_getaffinity(task)) for task in tasks} == {SIDE}
        side.tell("first")
        side.tell("second")
        assert [side.answer()["do"], side.answer()["do"]] == ["first", "second"]


def test_what_is_not_there_is_skipped() -> None:
    with pytest.raises(Skipped, match="no_such_part"):
        run(Other("no_such_part"))


def test_what_takes_long_is_left_out_of_a_quick_run() -> None:
    with pytest.raises(Skipped, match="quick"):
        run(Other("rooms", quick=None), quick=True)


def test_a_benchmark_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="measure"):
        run(Other("report"))  # a module without numbers of its own


def test_the_parts_have_names_of_their_own() -> None:
    names = [other.part for other in OTHERS]
    assert len(set(names)) == len(names)


def test_a_family_has_used_cpu() -> None:
    assert family_cpu_s(os.getpid()) > 0


def test_sides_share_their_core_with_nobody_where_there_are_two() -> None:
    assert not SIDE & OTHER_CORES or OTHER_CORES == SIDE
