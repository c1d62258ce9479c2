"""Scripts that play the caller: one step a line, the same for chat, voice and phone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from runtime.errors import UsageFault

__all__ = ["Dtmf", "Hangup", "Interrupt", "Say", "Silence", "Step", "parse_script"]

_LONGEST_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Say:
    """The caller says `text` once the agent has finished."""

    text: str


@dataclass(frozen=True, slots=True)
class Dtmf:
    """The caller presses `keys`, each one of `0-9*#A-D`."""

    keys: str


@dataclass(frozen=True, slots=True)
class Silence:
    """The caller says nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The caller says `text` `after_s` seconds after the agent has begun to speak."""

    after_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """The caller leaves; what stands below it is never played."""


Step = Say | Dtmf | Silence | Interrupt | Hangup

_EXAMPLES = "[dtmf 1234#], [silence 8], [interrupt 0.6] stop please, [hangup]"


def parse_script(text: str, name: str = "the script") -> tuple[Step, ...]:
    """Return the script's steps; raises UsageFault that lists every line that is no step, with its remedy.

    `#` begins a comment line and empty lines are skipped; line ends of any kind and a byte order mark are fine.
    """
    steps: list[Step] = []
    faults: list[str] = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff")), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            steps.append(_step(stripped))
        except ValueError as error:
            faults.append(f"  line {number}: {error}")
    if faults:
        raise UsageFault(
            f"{name} cannot be played:\n" + "\n".join(faults),
            remedy=f"A line is what the caller says, a # comment, or one of {_EXAMPLES}.",
        )
    return tuple(steps)


def _step(line: str) -> Step:
    """Read one stripped line; raises ValueError with what is wrong and how to write it."""
    if not line.startswith("["):
        return Say(line)
    found = re.fullmatch(r"\[\s*(\w+)\s*([^\]]*?)\s*\]\s*(.*)", line)
    make = _STEPS.get(found[1].casefold()) if found else None
    if found is None or make is None:
        raise ValueError(f"{_short(line)} is no step; there are {_EXAMPLES}")
    return make(found[2], found[3])


def _dtmf(keys: str, rest: str) -> Step:
    _nothing_after(rest, "[dtmf 1234#]")
    if not re.fullmatch(r"[0-9*#A-Da-d]+", keys):
        raise ValueError(f"[dtmf {_short(keys)}] has other keys than 0-9, *, # and A-D; write for example [dtmf 1234#]")
    return Dtmf(keys.upper())


def _silence(seconds: str, rest: str) -> Step:
    _nothing_after(rest, "[silence 8]")
    return Silence(_seconds(seconds, "[silence 8]"))


def _interrupt(after: str, text: str) -> Step:
    if not text:
        raise ValueError("[interrupt] needs what the caller says; write for example [interrupt 0.6] stop please")
    return Interrupt(_seconds(after, "[interrupt 0.6] stop please"), text)


def _hangup(argument: str, rest: str) -> Step:
    _nothing_after(argument + rest, "[hangup]")
    return Hangup()


_STEPS: dict[str, Callable[[str, str], Step]] = {
    "dtmf": _dtmf,
    "silence": _silence,
    "interrupt": _interrupt,
    "hangup": _hangup,
}


def _seconds(text: str, example: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", text) or float(text) > _LONGEST_S:
        raise ValueError(f"{_short(text)} is no number of seconds up to {_LONGEST_S:.0f}; write for example {example}")
    return float(text)


def _nothing_after(rest: str, example: str) -> None:
    if rest:
        raise ValueError(f"{_short(rest)} does not belong there; write {example} on a line of its own")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}…")
