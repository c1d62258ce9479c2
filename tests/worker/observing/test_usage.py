"""What worker processes take of their machine, as the supervisor reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from worker.observing.exposition import Exposition
from worker.observing.usage import UsageCollector
from worker.supervising.states import ProcessState


def state(number: int, pid: int | None) -> ProcessState:
    return ProcessState(number, pid, None, silent=False, restarts=0)


def told(*states: ProcessState) -> dict[tuple[str, str], float]:
    families = UsageCollector(states).collect()
    return {(each.name, each.labels["process"]): each.value for family in families for each in family.samples}


def test_a_process_and_what_it_has_started_are_one() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    child = "import sys; held = bytearray(64_000_000); held[::4096] = b'x' * len(held[::4096]); print('up', flush=True); sys.stdin.read()"
    alone = told(state(1, os.getpid()), state(2, None), state(3, ended.pid))
    with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        together = told(state(1, os.getpid()))
        process.communicate()
    assert alone["process_cpu_seconds_total", "1"] > 0
    assert together["process_cpu_seconds_total", "1"] > alone["process_cpu_seconds_total", "1"]
    assert together["process_resident_memory_bytes", "1"] > alone["process_resident_memory_bytes", "1"] + 50e6
    assert ("process_cpu_seconds_total", "2") not in alone  # it is about to be started again
    assert alone["process_cpu_seconds_total", "3"] == 0


def test_the_metrics_page_has_them(tmp_path: Path) -> None:
    lines = Exposition(tmp_path).text([state(1, os.getpid())]).decode().splitlines()
    assert any(line.startswith('process_cpu_seconds_total{process="1"} ') for line in lines)
    assert any(line.startswith('process_resident_memory_bytes{process="1"} ') for line in lines)
