"""What a process full of callers is told: once in a file, for each call in a line, and what it tells in return."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import TypeAdapter

from runtime.harness.load.plan import Patience
from runtime.harness.load.results import CallReport, ProcessReport, Stage
from runtime.voice.wav import Samples

__all__ = ["Briefing", "Order", "Told", "read_told", "read_voices", "write_voices"]

Json = Any


@dataclass(frozen=True, slots=True)
class Briefing:
    """What all callers have in common. `began` is the test's beginning on the machine's monotonic clock, in seconds."""

    url: str
    script: str
    voices: Mapping[str, str]
    began: float
    telephone: bool = False
    patience: Patience = field(default_factory=Patience)

    def write(self, path: Path) -> None:
        """Write it where only its owner reads it."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        told = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**told, "patience": Patience(**told["patience"])})


@dataclass(frozen=True, slots=True)
class Order:
    """One call to be made: with this token into this room."""

    number: int
    room: str
    token: str = field(repr=False)

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Self:
        return cls(**json.loads(line))


@dataclass(frozen=True, slots=True)
class Told:
    """A line that a process of callers writes: a call's stage, a call's end, or its own."""

    kind: Literal["stage", "call", "process"]
    number: int = 0
    stage: Stage | None = None
    call: CallReport | None = None
    process: ProcessReport | None = None

    def line(self) -> str:
        return _TOLD.dump_json(self).decode() + "\n"


_TOLD: TypeAdapter[Told] = TypeAdapter(Told)


def read_told(line: bytes) -> Told | None:
    """Return what a line says; None where it is somebody else's, such as a native library's."""
    try:
        return _TOLD.validate_json(line)
    except ValueError:
        return None


def write_voices(folder: Path, voices: Mapping[str, Samples]) -> dict[str, str]:
    """Save each text's samples in the folder, and return the files' names by text."""
    names = {text: f"{number}.npy" for number, text in enumerate(voices)}
    for text, name in names.items():
        np.save(folder / name, voices[text])
    return names


def read_voices(folder: Path, names: Mapping[str, str]) -> dict[str, Samples]:
    """Return what `write_voices` has saved."""
    return {text: np.load(folder / name) for text, name in names.items()}
