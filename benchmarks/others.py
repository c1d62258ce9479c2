"""Benchmarks that stand alone: each has `measure()`, which returns numbers by name, and runs in a process of its own."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.environments import ROOT
from tests.fakes.livekit_server import server_binary

__all__ = ["OTHERS", "Other", "Skipped", "run"]

Json = Any


class Skipped(Exception):
    """A benchmark that cannot run here; the text says why."""


@dataclass(frozen=True, slots=True)
class Other:
    """One of them: its module, how it is shortened for a quick run (None: it is left out then), and what it needs.

    `called` is the name of the part where it is not the module's. `here`: it times nothing, and needs no process of its own. Its numbers are called `figure.side`; those of Patchbay alone just `figure`.
    """

    module: str
    quick: Mapping[str, Json] | None = field(default_factory=dict)
    needs_livekit: bool = False
    timeout_s: float = 900.0
    called: str = ""
    here: bool = False

    @property
    def part(self) -> str:
        return self.called or self.module


OTHERS: Final = (
    Other("events", {"rounds": 1, "events": 20_000, "busy_s": 3.0}),
    Other("rooms", None, needs_livekit=True),
    Other("memory", None, timeout_s=1200.0),
    Other("phone_line", {"rounds": 1, "seconds": 6.0, "runs": ["converse"]}, called="phone"),
    Other("loop_lag", {"calls": 50, "seconds": 6.0}),
    Other("response", {"turns": 2, "rounds": 1}),
    Other("first_audio", None),
    Other("model_client", {"rounds": 2}),
    Other("prefix", here=True),
    Other("voice_cost", None),
)


def run(other: Other, *, quick: bool = False) -> dict[str, float]:
    """Return what the benchmark measured. Raises `Skipped`, or RuntimeError with the end of what it said where it failed."""
    name = f"benchmarks.{other.module}"
    if importlib.util.find_spec(name) is None:
        raise Skipped(f"there is no {name}")
    if quick and other.quick is None:
        raise Skipped("it takes too long for a quick run")
    if other.needs_livekit and server_binary() is None:
        raise Skipped("there is no livekit-server; run `make livekit`")
    asked = other.quick if quick and other.quick else {}
    if other.here:
        return _measured(name, asked)
    words = [sys.executable, "-m", "benchmarks.others", name, json.dumps(asked)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=ROOT, timeout=other.timeout_s)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measured(name: str, asked: Mapping[str, Json]) -> dict[str, float]:
    measure = importlib.import_module(name).measure
    given = measure(**{key: value for key, value in asked.items() if key in inspect.signature(measure).parameters})
    return dict(asyncio.run(given) if inspect.iscoroutine(given) else given)


if __name__ == "__main__":
    print(json.dumps(_measured(sys.argv[1], json.loads(sys.argv[2]))))
