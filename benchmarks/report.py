"""Numbers of many rounds as medians and ratios: a table for people, an object for programs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Found", "table"]

Json = Any
Rounds = dict[str, list[float]]


@dataclass(slots=True)
class Found:
    """What the rounds brought, by side and name; the n-th number of one side was measured beside the other's n-th."""

    rounds: dict[str, Rounds] = field(default_factory=dict)

    def add(self, side: str, numbers: Mapping[str, float]) -> None:
        for name, number in numbers.items():
            self.rounds.setdefault(name, {}).setdefault(side, []).append(number)

    def medians(self) -> dict[str, dict[str, float]]:
        """Return each name's median by side; `ratio` is the median of the rounds' ratios where both sides have it."""
        return {name: {side: _rounded(statistics.median(series)) for side, series in sides.items()} | _ratio(sides)
                for name, sides in self.rounds.items()}  # fmt: skip

    def spread(self) -> dict[str, dict[str, list[float]]]:
        """Return the least and the greatest of each, the ratio's too."""
        return {name: {side: _ends(series) for side, series in (sides | _ratios(sides)).items()}
                for name, sides in self.rounds.items()}  # fmt: skip


def table(medians: Mapping[str, Mapping[str, float]], spread: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return the medians as lines of text, the ratio with its range."""
    lines = [f"{'':32}{'patchbay':>12}{'livekit':>12}{'ratio':>8}"]
    for name, row in medians.items():
        cells = "".join(f"{row[side]:12,.2f}" if side in row else f"{'–':>12}" for side in ("patchbay", "livekit"))
        low_high = spread[name].get("ratio")
        ratio = f"{row['ratio']:8.2f}  ({low_high[0]:.2f}–{low_high[1]:.2f})" if low_high else ""
        lines.append(f"{name:32}{cells}{ratio}")
    return "\n".join(lines)


def _ratios(sides: Rounds) -> Rounds:
    if sides.keys() < {"patchbay", "livekit"} or 0 in sides["livekit"]:
        return {}
    return {"ratio": [ours / theirs for ours, theirs in zip(sides["patchbay"], sides["livekit"], strict=True)]}


def _ratio(sides: Rounds) -> dict[str, float]:
    return {name: _rounded(statistics.median(series)) for name, series in _ratios(sides).items()}


def _ends(series: Sequence[float]) -> list[float]:
    return [_rounded(min(series)), _rounded(max(series))]


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")
