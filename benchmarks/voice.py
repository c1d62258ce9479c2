"""`python -m benchmarks voice`: calls by voice in one process, custom sound in and out, until the agents' frames come late."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import wave
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.environments import PeerMissing, peer_python
from benchmarks.peers.sound import IN_RATE
from benchmarks.processes import OTHERS, SideProcess, on_cores, side_process
from benchmarks.report import Found
from benchmarks.text import Wrong, percentile
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.opening import open_store
from tests.fakes.speech import take

__all__ = ["FULL", "QUICK", "SILENCE_MS", "VoiceSizes", "holds", "measure", "to_try"]

Json = Any

LATE_MS: Final = 20.0
"""A frame that comes later than it lasts is a gap in the speech."""
SILENCE_MS: Final = 250.0
"""What the detector waits for on all sides before it tells the end of speech: its default."""
_ALWAYS: Final = (50, 100)
_APART_S: Final = 2.0
"""A caller's phrase and its rest take about three times as long: sides that begin so far apart never answer at once."""
_PHRASE: Final = "hello i have a question about my invoice"
_LOUD: Final = 300


@dataclass(frozen=True, slots=True)
class VoiceSizes:
    """Numbers of calls that are tried, how long each is measured, for how long the responses of two calls, how often."""

    steps: tuple[int, ...] = (25, 50, 75, 100, 125, 150, 175, 200)
    seconds: float = 10.0
    responses_s: float = 30.0
    rounds: int = 2


FULL: Final = VoiceSizes()
QUICK: Final = VoiceSizes(steps=(25, 50, 75, 100, 125), seconds=4.0, responses_s=9.0, rounds=1)


async def measure(found: Found, sizes: VoiceSizes, home: Path, left_out: list[str]) -> None:
    """Add how many calls each side holds, how late its frames are, and how fast it answers; the database is in `home`.

    Raises `Wrong` where a side that is in time does not answer, `SideDied` where it ended.
    """
    with tempfile.TemporaryDirectory() as name, on_cores(OTHERS):
        folder = Path(name)
        wav = _phrase(folder / "phrase.wav")
        async with EmbeddedPostgres(home) as postgres, open_store(None, home):
            for number in range(sizes.rounds):
                print(f"voice: round {number + 1} of {sizes.rounds}", file=sys.stderr)
                with ExitStack() as stack:
                    sides = _open(stack, folder, wav, postgres.dsn, [] if number else left_out)
                    for side in sides.values():
                        side.ready()
                    _Round(found, sizes, sides).run(backwards=bool(number % 2))
    if "voice_sessions" in found.rounds:
        left_out.append("pipecat by voice: its transports were not given the custom sound of the other sides.")


def _open(stack: ExitStack, folder: Path, wav: Path, dsn: str, left_out: list[str]) -> dict[str, SideProcess]:
    ours = ["benchmarks.patchbay_voice", str(wav), dsn, str(folder / "events")]
    sides = {"patchbay": stack.enter_context(side_process("patchbay", Path(sys.executable), ours, folder))}
    try:
        python = peer_python("livekit")
    except PeerMissing as fault:
        left_out.append(f"livekit, by voice: {fault}.")
        return sides
    for name, words in (("livekit", []), ("livekit_tuned", ["tuned"])):
        command = ["benchmarks.peers.livekit_voice", str(wav), *words]
        sides[name] = stack.enter_context(side_process(name, python, command, folder))
    return sides


@dataclass(slots=True)
class _Round:
    found: Found
    sizes: VoiceSizes
    sides: Mapping[str, SideProcess]
    late: dict[str, dict[int, float]] = field(default_factory=dict)

    def run(self, *, backwards: bool) -> None:
        """Measure the responses, then the sides in turn with the numbers of calls that are still to be tried."""
        order = sorted(self.sides, reverse=backwards)
        self.late = {name: {} for name in order}
        self._responses(order)
        while trying := {name: calls for name in order if (calls := to_try(self.late[name], self.sizes.steps))}:
            for name, calls in trying.items():
                self._step(name, calls)
        for name, late in self.late.items():
            self.found.add(name, {"voice_sessions": float(holds(late))})

    def _responses(self, order: Sequence[str]) -> None:
        """Measure two calls of each side, after a first few seconds that load what the first call loads."""
        self._two_calls(order, 1.0, 0.0)
        for name in order:
            if name != "livekit":
                self.sides[name].ask("tune")
        for name, answer in self._two_calls(order, self.sizes.responses_s, _APART_S).items():
            _check(name, 2, answer)
            response = statistics.median(answer["responses_ms"]) - SILENCE_MS
            self.found.add(name, {"response_ms": response, "response_own_ms": statistics.median(answer["own_ms"])})

    def _two_calls(self, order: Sequence[str], seconds: float, apart_s: float) -> dict[str, Mapping[str, Json]]:
        for name in order:
            self.sides[name].tell("voice", sessions=2, seconds=seconds)
            time.sleep(apart_s)
        return {name: self.sides[name].answer() for name in order}

    def _step(self, name: str, calls: int) -> None:
        answer = self.sides[name].ask("voice", sessions=calls, seconds=self.sizes.seconds)
        late = percentile(answer["late_ms"] or [1e3 * self.sizes.seconds], 99)
        print(f"voice: {name}, {calls} calls: p99 {late:.1f} ms late, {answer['cpu_percent']:.0f} %", file=sys.stderr)
        if late <= LATE_MS:
            _check(name, calls, answer)
        self.late[name][calls] = late
        if calls in _ALWAYS:
            self.found.add(name, {f"voice_lateness_p99_ms_{calls}": late})
        if calls == min(_ALWAYS):
            self._at_fifty(name, answer)

    def _at_fifty(self, name: str, answer: Mapping[str, Json]) -> None:
        calls, lag = min(_ALWAYS), answer["lag_ms"]
        self.found.add(
            name,
            {
                "voice_cpu_percent": answer["cpu_percent"] / calls,
                "voice_session_memory_mb": answer["memory_mb"] / calls,
                "voice_loop_lag_ms_p99": percentile(lag, 99),
                "voice_loop_lag_ms_max": max(lag),
            },
        )


def holds(late: Mapping[int, float]) -> int:
    """Return the greatest number of calls up to which no number that was tried came late; 0 where the least did."""
    held = 0
    for calls in sorted(late):
        if late[calls] > LATE_MS:
            break
        held = calls
    return held


def to_try(late: Mapping[int, float], steps: Sequence[int]) -> int | None:
    """Return the number of calls to try next: 50 and 100 in any case, then what halves the rest; None where all is known."""
    for calls in _ALWAYS:
        if calls not in late:
            return calls
    held = holds(late)
    least_late = min((calls for calls, each in late.items() if each > LATE_MS), default=max(steps) + 1)
    left = [calls for calls in steps if held < calls < least_late and calls not in late]
    return left[len(left) // 2] if left else None


def _check(name: str, calls: int, answer: Mapping[str, Json]) -> None:
    """Raise `Wrong` where a call was silent, or where fewer turns were answered than all but each call's last."""
    if answer["silent"] or answer["answered"] < answer["turns"] - calls:
        raise Wrong(
            f"{name}, {calls} calls by voice: {answer['answered']} of {answer['turns']} turns answered, "
            f"{answer['silent']} calls silent."
        )


def _phrase(file: Path) -> Path:
    """Write the caller's phrase, cut to where it is loud, so that its last sample is the end of speech."""
    samples = take(_PHRASE, IN_RATE)
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _LOUD)
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(IN_RATE)
        sound.writeframes(samples[loud[0] : loud[-1] + 1].tobytes())
    return file
