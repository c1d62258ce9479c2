"""`python -m benchmarks text`: one conversation by text on all sides, over HTTP, in alternating stretches of one run."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.environments import PeerMissing, peer_python
from benchmarks.peers.script import LINES, TEXTS, Line, counted
from benchmarks.processes import OTHERS, Mock, SideProcess, family_cpu_s, on_cores, serving_mock, side_process
from benchmarks.report import Found
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.opening import open_store
from runtime.store.postgres import PostgresStore

__all__ = ["FULL", "QUICK", "SIDES", "Sizes", "Wrong", "check", "measure", "percentile"]

Json = Any

_STRETCH: Final = 2
_TUNED: Final = frozenset({"patchbay", "livekit_tuned", "pipecat_tuned"})
_TURNS_STORED: Final = "select count(*) from session_event where event_type = 'user_turn'"


class Wrong(Exception):
    """A side did not hold the conversation that the others held."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Conversations at once; how many of them, at how many turns a second, for the waits; how many to warm up; and how often."""

    sessions: int = 200
    paced: int = 40
    rate: float = 40.0
    warm_up: int = 10
    rounds: int = 3


FULL: Final = Sizes()
QUICK: Final = Sizes(sessions=16, paced=12, warm_up=4, rounds=1)

SIDES: Final[Mapping[str, tuple[str | None, str]]] = {
    "patchbay": (None, "benchmarks.patchbay_text"),
    "livekit": ("livekit", "benchmarks.peers.livekit_text"),
    "livekit_tuned": (None, "benchmarks.tuned_livekit"),
    "pipecat": ("pipecat", "benchmarks.peers.pipecat_text"),
    "pipecat_tuned": ("pipecat", "benchmarks.peers.pipecat_text"),
}
"""By side the environment, None for this one, and the module that it is."""


async def measure(found: Found, sizes: Sizes, home: Path, left_out: list[str]) -> None:
    """Add what the sides' turns cost and take, with the database in `home`; a peer that cannot be had here is named in `left_out`.

    Raises `Wrong` where a side fell silent or did something else than the script, `SideDied` where it ended.
    """
    with tempfile.TemporaryDirectory() as name, on_cores(OTHERS), serving_mock() as mock:
        folder = Path(name)
        async with EmbeddedPostgres(home) as postgres, open_store(None, home) as store:
            with ExitStack() as stack:
                commands = _commands((mock.url, postgres.dsn), folder, left_out)
                sides = {words[0]: stack.enter_context(side_process(*words, folder)) for words in commands}
                for side in sides.values():
                    side.ready()
                run = _Run(found, sizes, mock, sides, _postmaster(home), await _stored(store))
                run.warm_up()
                for number in range(sizes.rounds):
                    print(f"text: round {number + 1} of {sizes.rounds}", file=sys.stderr)
                    run.round(number)
                    await run.all_stored(store)


async def _stored(store: PostgresStore) -> int:
    """Return how many turns of callers are events in the database."""
    ((turns,),) = await store.fetch(_TURNS_STORED)
    return int(turns)


def _commands(urls: tuple[str, str], folder: Path, left_out: list[str]) -> Iterator[tuple[str, Path, list[str]]]:
    for side, (environment, module) in SIDES.items():
        words = [module, urls[0]]
        if side == "patchbay":
            words += [urls[1], str(folder / "events")]
        if side == "pipecat_tuned":
            words += ["tuned"]
        try:
            yield side, peer_python(environment) if environment else Path(sys.executable), words
        except PeerMissing as fault:
            left_out.append(f"{side}, by text: {fault}.")


def _postmaster(home: Path) -> int:
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])


@dataclass(slots=True)
class _Cost:
    """What the stretches of one side have come to in a round."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    mock_cpu_s: float = 0.0
    database_cpu_s: float = 0.0


@dataclass(slots=True)
class _Run:
    found: Found
    sizes: Sizes
    mock: Mock
    sides: Mapping[str, SideProcess]
    postmaster: int
    turns: int

    def warm_up(self) -> None:
        """Have everything imported, compiled and connected that the first conversations need, then tune who is tuned."""
        for name, side in self.sides.items():
            side.ask("open", sessions=self.sizes.warm_up)
            self._take(name, LINES, self.sizes.warm_up)
            side.ask("close")
            if name in _TUNED:
                side.ask("tune")

    def round(self, number: int) -> None:
        """Measure each side once; they take turns every two lines, so that a busy machine slows all of them."""
        order = _rotated(tuple(self.sides), number)
        for name in order:
            self._open(name, first=number == 0)
        costs = {name: _Cost() for name in order}
        for stretch, at in enumerate(range(0, len(LINES), _STRETCH)):
            for name in order[:: -1 if stretch % 2 else 1]:
                self._stretch(name, LINES[at : at + _STRETCH], costs[name])
        for name, cost in costs.items():
            self._add(name, cost)
        for name in order:
            self._waits(name)
        for name in order:
            self.sides[name].ask("close")

    async def all_stored(self, store: PostgresStore) -> None:
        """Raise `Wrong` unless every turn that Patchbay took is an event in the database."""
        if (stored := await _stored(store)) != self.turns:
            raise Wrong(f"patchbay took {self.turns} turns, and {stored} are in the database.")

    def _open(self, name: str, *, first: bool) -> None:
        memory = self.sides[name].ask("open", sessions=self.sizes.sessions)
        if first:  # later a process has what the conversations before have left free
            each = (memory["after_mb"] - memory["before_mb"]) / self.sizes.sessions
            self.found.add(name, {"session_memory_mb": each})

    def _stretch(self, name: str, lines: Sequence[Line], cost: _Cost) -> None:
        database, model = family_cpu_s(self.postmaster), self.mock.stats()["cpu_s"]
        answer = self._take(name, lines, self.sizes.sessions)
        cost.cpu_s += answer["cpu_s"]
        cost.wall_s += answer["wall_s"]
        cost.mock_cpu_s += self.mock.stats()["cpu_s"] - model
        cost.database_cpu_s += family_cpu_s(self.postmaster) - database

    def _add(self, name: str, cost: _Cost) -> None:
        turns = self.sizes.sessions * len(LINES)
        found = {
            "text_turn_cpu_ms": 1e3 * cost.cpu_s / turns,
            "text_turns_per_s": turns / cost.wall_s,
            "model_cpu_ms": 1e3 * cost.mock_cpu_s / turns,
        }
        if name == "patchbay":
            found["database_cpu_ms"] = 1e3 * cost.database_cpu_s / turns
        self.found.add(name, found)

    def _waits(self, name: str) -> None:
        answer = self._take(name, LINES, self.sizes.paced, self.sizes.rate)
        waits: Mapping[str, list[float]] = answer["waits_ms"]
        for key, series in (("text_turn_wall_ms", waits["plain"]), ("handoff_ms", waits["handoff"])):
            self.found.add(name, {f"{key}_p50": percentile(series, 50), f"{key}_p99": percentile(series, 99)})
        lag = answer["lag_ms"]
        self.found.add(name, {"text_loop_lag_ms_p99": percentile(lag, 99), "text_loop_lag_ms_max": max(lag)})

    def _take(self, name: str, lines: Sequence[Line], sessions: int, rate: float | None = None) -> Mapping[str, Json]:
        before = self.mock.stats()["requests"]
        answer = self.sides[name].ask("take", sessions=sessions, lines=[asdict(line) for line in lines], rate=rate)
        try:
            check(name, lines, sessions, answer, self.mock.stats()["requests"] - before)
        except Wrong as fault:
            raise Wrong(f"{fault} It logged: {self.sides[name].logged()}") from None
        if name == "patchbay":
            self.turns += len(lines) * sessions
        return answer


def check(side: str, lines: Sequence[Line], sessions: int, answer: Mapping[str, Json], asked: float) -> None:
    """Raise `Wrong` unless the side said, ran and handed on what the script says, and asked the model as often."""
    expected = counted(lines)
    texts = Counter(TEXTS[line.kind] for line in lines)
    wanted = {
        "answers": {text: times * sessions for text, times in texts.items()},
        "tools": expected["tool"] * sessions,
        "handoffs": expected["handoff"] * sessions,
        "completions": expected["completions"] * sessions,
    }
    got = {name: answer[name] for name in ("answers", "tools", "handoffs")} | {"completions": asked}
    if wrong := [name for name, value in wanted.items() if got[name] != value]:
        told = "; ".join(f"{name}: {got[name]}, not {wanted[name]}" for name in wrong)
        raise Wrong(f"{side} did not hold the conversation: {told}.")


def percentile(series: Sequence[float], percent: int) -> float:
    """Return the value that so many percent of the series are not above; the only one where there is one."""
    return statistics.quantiles(series, n=100, method="inclusive")[percent - 1] if len(series) > 1 else series[0]


def _rotated(names: Sequence[str], by: int) -> tuple[str, ...]:
    at = by % len(names)
    return (*names[at:], *names[:at])
