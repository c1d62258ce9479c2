"""The aims of the runtime's speed, each judged by the figures of one run alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["TARGETS", "Judged", "Target", "judge"]

Figures = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure of Patchbay's is to be: `most` or `least` the `limit`; with `beside` its ratio to that side's."""

    text: str
    figure: str
    bound: Literal["most", "least"]
    limit: float
    beside: str | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A target and what became of it; `value` is None where the run has not measured what it needs."""

    target: Target
    value: float | None

    @property
    def met(self) -> bool | None:
        """Whether it is met; None where nobody knows."""
        if self.value is None:
            return None
        return self.value <= self.target.limit if self.target.bound == "most" else self.value >= self.target.limit


TARGETS: Final = (
    Target("CPU of a turn over HTTP, beside LiveKit as shipped (4.5 / 20)", "text_turn_cpu_ms", "most", 0.225, "livekit"),
    Target("CPU of a turn over HTTP, beside pipecat as shipped (4.5 / 13.6)", "text_turn_cpu_ms", "most", 0.331, "pipecat"),
    Target("CPU of a turn over HTTP, beside LiveKit tuned", "text_turn_cpu_ms", "most", 1.3, "livekit_tuned"),
    Target("Calls by voice on a core, frames in time", "voice_sessions", "least", 100.0, unit="calls"),
    Target("Calls by voice on a core, frames in time, beside LiveKit as shipped (100 / 50)", "voice_sessions", "least", 2.0, "livekit"),
    Target("CPU of a real room, beside LiveKit as shipped", "room_cpu_percent", "most", 0.5, "livekit"),
    Target("CPU of a conversation on the own SIP line", "sip_line_cpu_percent", "most", 3.0, unit="% of a core"),
    Target("Memory of a further call by text", "session_memory_mb", "most", 1.5, unit="MB"),
    Target("Memory of a further call by voice", "voice_session_memory_mb", "most", 1.5, unit="MB"),
    Target("Growth of a call by voice", "growth_mb_per_minute", "most", 0.1, unit="MB a minute"),
    Target("Memory after all calls, beside that after 1 000", "rss_after_calls_ratio", "most", 1.05),
    Target("What a handoff adds to a turn, p99", "handoff_gap_ms_p99", "most", 5.0, unit="ms"),
    Target("Pauses of the loop over 20 ms from our own code", "loop_blocks_over_20_ms", "most", 0.0),
    Target("Events through one writer", "events_rows_per_s", "least", 50_000.0, unit="rows/s"),
    Target("CPU of 2 500 events/s", "events_cpu_percent_at_2500", "most", 6.0, unit="% of a core"),
    Target("The runtime's own share of an answer", "response_overhead_ms", "most", 10.0, unit="ms"),
    Target("A worker's start until it is registered", "worker_start_s", "most", 3.0, unit="s"),
    Target("`patchbay --help`", "cli_help_s", "most", 0.3, unit="s"),
)  # fmt: skip


def judge(figures: Figures) -> list[Judged]:
    """Return every target with what the figures say of it."""
    return [Judged(target, _value(target, figures.get(target.figure, {}))) for target in TARGETS]


def _value(target: Target, row: Mapping[str, float]) -> float | None:
    ours = row.get("patchbay")
    if target.beside is None or ours is None:
        return ours
    theirs = row.get(target.beside)
    return ours / theirs if theirs else None
