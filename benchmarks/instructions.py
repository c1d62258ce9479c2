"""`python -m benchmarks instructions`: instructions of the hot paths, counted by Valgrind and compared with those that are kept.

A noisy machine does not move them. `--keep` keeps what was counted; without it more than 5 % above what is kept is an error.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.hot_paths import TIMES

__all__ = ["compared", "count", "main"]

Json = Any

KEPT: Final = Path(__file__).parent / "instructions.json"
TOLERANCE: Final = 0.05
_DECIDE: Final = ("pydantic-core", "python-liquid", "cel-expr-python")
"""What the hot paths are made of beside our own code: other versions, other counts."""
_COUNTER: Final = r"""
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void end(const char *name) { CALLGRIND_DUMP_STATS_AT(name); CALLGRIND_STOP_INSTRUMENTATION; }
"""


class Missing(Exception):
    """A tool that counting needs is not there."""


def count() -> dict[str, int]:
    """Return the instructions of one run of each hot path. Raises `Missing` without Valgrind, its headers or a C compiler."""
    compiler, valgrind = shutil.which("cc"), shutil.which("valgrind")
    if compiler is None or valgrind is None:
        raise Missing("Counting needs Valgrind and a C compiler: apt install valgrind gcc libc6-dev")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "counter.c"), Path(folder, "counter.so")
        source.write_text(_COUNTER, encoding="utf-8")
        _run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source)])
        command = [valgrind, "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        _run([*command, sys.executable, "-m", "benchmarks.hot_paths", str(library)], environment)
        dumps = sorted(Path(folder).glob("out.*"), key=lambda path: int(path.suffix[1:]))
        return dict(found for dump in dumps if (found := _read(dump))[0])


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"{command[0]} failed:\n{done.stderr[-2000:]}")


def _read(dump: Path) -> tuple[str, int]:
    """Return a dump's name and its instructions for one run."""
    name, total = "", 0
    for line in dump.read_text(encoding="utf-8").splitlines():
        if line.startswith("desc: Trigger: Client Request: "):
            name = line.rpartition(": ")[2]
        elif line.startswith(("summary: ", "totals: ")):
            total = int(line.split()[1])
    return name, round(total / TIMES)


def conditions() -> dict[str, str]:
    """Return what counts depend on beside our own code."""
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": platform.machine(),
        **{name: version(name) for name in _DECIDE},
    }


def compared(kept: Mapping[str, int], counted: Mapping[str, int]) -> tuple[str, list[str]]:
    """Return a table, and the names of the paths that have become dearer by more than `TOLERANCE` or are gone."""
    lines = [f"{'hot path':20}{'instructions':>14}{'kept':>14}{'change':>9}"]
    for name in {**counted, **kept}:
        new, old = counted.get(name), kept.get(name)
        change = "" if new is None or old is None else f"{new / old - 1:+.1%}"
        lines.append(f"{name:20}{_number(new)}{_number(old)}{change:>9}")
    worse = [name for name, old in kept.items() if counted.get(name, sys.maxsize) > old * (1 + TOLERANCE)]
    return "\n".join(lines), worse


def _number(value: int | None) -> str:
    return f"{'-' if value is None else f'{value:,}':>14}"


def main(*, keep: bool) -> int:
    """Count, print, and keep or judge; return the exit code: 1 where a path has become dearer, 3 where nothing can be counted."""
    try:
        counted = count()
    except Missing as error:
        print(error, file=sys.stderr)
        return 3
    kept: dict[str, Json] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    table, worse = compared(kept.get("instructions", {}), counted)
    print(table)
    if keep:
        document = {"conditions": conditions(), "instructions": counted}
        KEPT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        return 0
    if kept.get("conditions") != conditions():
        print(f"Not judged: kept with {kept.get('conditions')}, counted with {conditions()}.", file=sys.stderr)
        return 0
    if worse:
        print(f"Dearer by more than {TOLERANCE:.0%}: {', '.join(worse)}.", file=sys.stderr)
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main(keep="--keep" in sys.argv[1:]))
