"""`python -m benchmarks [part]`: Patchbay beside its peers, in alternating rounds of one run."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks import analytics, engine, instructions, starting, text, voice
from benchmarks.environments import ROOT, PeerMissing, peer_python, peer_versions
from benchmarks.others import OTHERS, Other, Skipped, run
from benchmarks.page import results_page
from benchmarks.processes import SideDied
from benchmarks.report import Found, table
from runtime.errors import PatchbayError
from runtime.logging import configure_logging

Json = Any

_RESULTS: Final = Path(__file__).parent / "results"
_PAGE: Final = Path(__file__).parent / "RESULTS.md"
_WHOLE: Final = frozenset({"all", "quick"})


@dataclass(frozen=True, slots=True)
class _Run:
    """One run and what it brings. `left_out` could not be measured here, `failed` should have been.

    `home` is where the parts that run here have their database; `seconds` is how long each part took.
    """

    quick: bool
    home: Path = Path()
    found: Found = field(default_factory=Found)
    left_out: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def part(self, name: str, work: Callable[[], None]) -> None:
        """Do a part; one that fails is named, and the others go on."""
        print(f"{name} …", file=sys.stderr)
        before, began = set(self.found.rounds), time.monotonic()
        try:
            work()
        except Skipped as fault:
            self.left_out.append(f"{name}: {fault}.")
        except (SideDied, text.Wrong, PatchbayError, RuntimeError, OSError, subprocess.SubprocessError) as fault:
            print(f"{name} failed: {fault}", file=sys.stderr)
            self.failed.append(f"{name} failed: {' '.join(str(fault).split())[:300]}")
        self.seconds[name] = round(time.monotonic() - began, 1)
        new = {figure: row for figure, row in self.found.medians().items() if figure not in before}
        if new:
            print(table(new, self.found.spread()), file=sys.stderr)


def _parts(run_: _Run, rounds: int | None) -> Mapping[str, Callable[[], None]]:
    """Return the parts by name, in the order of a whole run; each adds to what the run has found."""
    quick, found, home, left_out = run_.quick, run_.found, run_.home, run_.left_out
    few, many = rounds or 1, rounds or 5
    by_text, by_voice = (text.QUICK, voice.QUICK) if quick else (text.FULL, voice.FULL)
    own: dict[str, Callable[[], None]] = {
        "text": lambda: asyncio.run(text.measure(found, by_text, home, left_out)),
        "voice": lambda: asyncio.run(voice.measure(found, by_voice, home, left_out)),
        "engine": lambda: asyncio.run(engine.measure(found, few if quick else many, home)),
        "starting": lambda: asyncio.run(starting.measure(found, 1 if quick else 3, left_out)),
    }
    return own | {other.part: _other(run_, other) for other in OTHERS}


def _other(run_: _Run, other: Other) -> Callable[[], None]:
    return lambda: run_.found.add_dotted(run(other, quick=run_.quick))


def _machine(run_: _Run) -> dict[str, str | int | None]:
    versions = {"livekit_agents": version("livekit-agents"), "patchbay": version("patchbay")}
    for peer in ("livekit", "pipecat"):
        try:
            peer_python(peer)
        except PeerMissing:
            continue
        versions |= {f"{peer}: {name}": found for name, found in peer_versions(peer).items()}
    return {
        "run": "quick" if run_.quick else "whole",
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "load_at_end": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "python": platform.python_version(),
        "commit": _commit(),
        **versions,
    }


def _cpu_model() -> str:
    names = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    )
    return next(names, platform.machine())


def _commit() -> str:
    words = ["git", "describe", "--always", "--dirty"]
    told = subprocess.run(words, check=False, capture_output=True, text=True, cwd=ROOT)
    return told.stdout.strip() or "none"


def _write(run_: _Run) -> Path:
    now = datetime.now(UTC)
    beside = {"machine": _machine(run_), "at": now.isoformat(timespec="seconds")}
    told = {"spread": run_.found.spread(), "seconds": run_.seconds, "left_out": run_.left_out, "failed": run_.failed}
    path = _RESULTS / f"{now:%Y-%m-%d}{'-quick' if run_.quick else ''}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(run_.found.medians() | told | beside, indent=2, ensure_ascii=False) + "\n")
    _PAGE.write_text(results_page(json.loads(path.read_text())))
    return path


def _whole(run_: _Run, rounds: int | None) -> None:
    try:
        for name, work in _parts(run_, rounds).items():
            run_.part(name, work)
    except KeyboardInterrupt:
        run_.failed.append(f"It was ended by hand, after {', '.join(run_.seconds) or 'nothing'}.")
    path = _write(run_)
    print(f"\nwritten to {path.relative_to(ROOT)} and {_PAGE.relative_to(ROOT)}")


def main() -> int:
    """Run what is asked for; return 1 where a part failed."""
    names = sorted({*_WHOLE, "analytics", "instructions", *_parts(_Run(quick=True), None)})
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="?", choices=names, default="all", help="what is measured (all)")
    parser.add_argument("--rounds", type=int, help="how often the sides of `engine` are measured (5)")
    parser.add_argument("--keep", action="store_true", help="keep what `instructions` counts")
    parser.add_argument("--quick", action="store_true", help="a single part as `quick` measures it")
    options = parser.parse_args()
    if options.part == "instructions":
        return instructions.main(keep=options.keep)
    configure_logging("warning", "console")
    if options.part == "analytics":
        print(analytics.table(asyncio.run(analytics.measure())))
        return 0
    with tempfile.TemporaryDirectory() as home:
        run_ = _Run(quick=options.quick or options.part == "quick", home=Path(home))
        if options.part in _WHOLE:
            _whole(run_, options.rounds)
        else:
            run_.part(options.part, _parts(run_, options.rounds)[options.part])
    _tell(run_)
    return 1 if run_.failed else 0


def _tell(run_: _Run) -> None:
    print(table(run_.found.medians(), run_.found.spread()))
    print(f"\nseconds: {', '.join(f'{name} {took:.0f}' for name, took in run_.seconds.items())}", end="")
    print(f"; {sum(run_.seconds.values()):.0f} in all")
    for line in (*run_.left_out, *run_.failed):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
