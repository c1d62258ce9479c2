"""Processes of a benchmark: sides that take orders as JSON lines, the mock model, and which core each runs on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.environments import ROOT

__all__ = [
    "OTHERS",
    "SIDE",
    "Mock",
    "SideDied",
    "SideProcess",
    "family_cpu_s",
    "on_cores",
    "serving_mock",
    "side_process",
]

Json = Any
SIDE: Final = frozenset({0})
"""The core that sides run on."""
OTHERS: Final = frozenset(range(os.cpu_count() or 1)) - SIDE or SIDE
"""The cores of everything else: the model, the database, whoever asks."""


class SideDied(Exception):
    """A side ended before it answered; the text says which, and the end of what it had to say."""


@dataclass(frozen=True, slots=True)
class SideProcess:
    """A side under way."""

    name: str
    process: subprocess.Popen[str]
    errors: Path

    def ready(self) -> None:
        """Wait until it has started, then keep all its threads on the cores of sides. Raises `SideDied`."""
        self.answer()
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), SIDE)

    def ask(self, do: str, **order: Json) -> Mapping[str, Json]:
        """Give an order and wait for the answer. Raises `SideDied`."""
        self.tell(do, **order)
        return self.answer()

    def tell(self, do: str, **order: Json) -> None:
        """Give an order; its answer is the next that comes."""
        if self.process.stdin is None:
            raise SideDied(self.name)
        try:
            self.process.stdin.write(json.dumps({"do": do} | order) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said before is read with the answer

    def answer(self) -> Mapping[str, Json]:
        """Wait for the next answer."""
        line = self.process.stdout.readline() if self.process.stdout is not None else ""
        if not line:
            raise SideDied(f"{self.name} ended: {self.logged()}")
        answer: Mapping[str, Json] = json.loads(line)
        return answer

    def logged(self) -> str:
        """Return the end of what it logged."""
        return self.errors.read_text()[-2000:].strip() or "nothing"


@contextmanager
def side_process(name: str, python: Path, words: Sequence[str], folder: Path) -> Iterator[SideProcess]:
    """Run `python -m words…` until the block is left; what it logs goes to a file in `folder`.

    It starts on all cores, beside other sides that start: whoever asks it waits for `ready` first.
    """
    errors = folder / f"{name}.log"
    with (
        errors.open("w") as log,
        subprocess.Popen(
            [str(python), "-m", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
            env=_environment(folder),
            preexec_fn=_onto(SIDE | OTHERS),  # noqa: PLW1509 - started before any thread of ours
        ) as process,
    ):
        side = SideProcess(name, process, errors)
        try:
            yield side
            _leave(process)
        finally:
            process.kill()


def _leave(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:  # it has answered everything; how it ends is no part of what is measured
        process.kill()


@dataclass(frozen=True, slots=True)
class Mock:
    """The mock model's process."""

    url: str

    def stats(self) -> Mapping[str, float]:
        """Return what it was asked so far, and the CPU that it took."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as answer:  # noqa: S310 - our own address
            found: Mapping[str, float] = json.load(answer)
        return found


@contextmanager
def serving_mock() -> Iterator[Mock]:
    """Run the mock model as a process beside the sides."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.mock_model"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=_onto(OTHERS),  # noqa: PLW1509 - started before any thread of ours
    ) as process:
        assert process.stdout is not None
        try:
            yield Mock(process.stdout.readline().strip())
        finally:
            process.kill()


@contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Keep this process, and what it starts, on `cores` for as long as the block."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _onto(cores: frozenset[int]) -> Callable[[], None]:
    return lambda: os.sched_setaffinity(0, cores)


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment without keys and proxies of whoever runs the benchmark, and without our own packages."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return kept | {"PYTHONPATH": str(ROOT), "PATCHBAY_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"}


def family_cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, of its children that live, and of those that it has buried."""
    own = _stat(pid)
    children = [_stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    ticks = sum(own[11:15]) + sum(sum(child[11:15]) for child in children if child and child[1] == pid)
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[int]:
    """Return the numbers after the name in `/proc/pid/stat`, the state as 0; nothing where the process is gone."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [0, *map(int, words[1:])]
