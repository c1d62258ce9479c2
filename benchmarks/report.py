"""Numbers of many rounds as medians, spreads and ratios: a table for people, objects for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Figures", "Found", "Spread", "dotted_table", "rounded", "table"]

Figures = dict[str, dict[str, float]]
"""The median by figure and side."""
Spread = dict[str, dict[str, list[float]]]
"""The least and the greatest by figure and side."""


@dataclass(slots=True)
class Found:
    """What the rounds brought, by figure and side; the n-th number of one side was measured beside the other's n-th."""

    rounds: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, side: str, numbers: Mapping[str, float]) -> None:
        for name, number in numbers.items():
            self.rounds.setdefault(name, {}).setdefault(side, []).append(number)

    def medians(self) -> Figures:
        """Return each figure's median by side."""
        return {name: {side: rounded(statistics.median(series)) for side, series in sides.items()}
                for name, sides in self.rounds.items()}  # fmt: skip

    def spread(self) -> Spread:
        """Return the least and the greatest of each side."""
        return {name: {side: [rounded(min(series)), rounded(max(series))] for side, series in sides.items()}
                for name, sides in self.rounds.items()}  # fmt: skip

    def add_dotted(self, numbers: Mapping[str, float]) -> None:
        """Add the numbers of a benchmark that stands alone, called `figure.side`; one that names no side is Patchbay's own.

        A figure that sides have been measured for together keeps that: the other one is called `…_alone`.
        """
        before = set(self.rounds)
        for key, number in numbers.items():
            name, _, side = key.partition(".")
            self.add(side or "patchbay", {f"{name}_alone" if name in before else name: number})


def table(figures: Mapping[str, Mapping[str, float]], spread: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return the medians as lines of text, a column a side, each with its least and greatest where there were several."""
    sides = _sides(figures.values())
    lines = [f"{'':32}" + "".join(f"{side:>26}" for side in sides)]
    for name, row in figures.items():
        cells = (_cell(row.get(side), spread.get(name, {}).get(side, ())) for side in sides)
        lines.append(f"{name:32}" + "".join(f"{cell:>26}" for cell in cells))
    return "\n".join(lines)


def dotted_table(numbers: Mapping[str, float]) -> str:
    """Return the table of what a benchmark that stands alone has measured, its numbers called `figure.side`."""
    found = Found()
    found.add_dotted(numbers)
    return table(found.medians(), {})


def rounded(number: float) -> float:
    """Return the number with four digits that count."""
    return float(f"{number:.4g}")


def _sides(rows: Iterable[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(side for row in rows for side in row))


def _cell(number: float | None, ends: Sequence[float]) -> str:
    if number is None:
        return "–"
    return f"{number:,.4g} ({ends[0]:,.4g}–{ends[1]:,.4g})" if ends and ends[0] != ends[1] else f"{number:,.4g}"
