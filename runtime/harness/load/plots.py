"""Plots as SVG, made by hand: a page with a few of them needs no library, no script and no other server."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["Axes", "Points", "Series", "histogram", "lines", "scatter"]

WIDTH: Final = 760
HEIGHT: Final = 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 34, 40
_TICKS: Final = 5

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """A curve or a cloud: its name, its points in the axes' units, and its colour's number (1 to 4)."""

    name: str
    points: Points
    colour: int = 1
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Axes:
    """What is drawn: a title for those who cannot see it, and what the axes show. `limit` is a line at that height."""

    title: str
    x: str
    y: str
    limit: float | None = None
    limit_name: str = ""


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def lines(axes: Axes, series: Sequence[Series]) -> str:
    """Return curves over a common axis that begins at 0."""
    x, y = _scales(axes, series)
    drawn = (_curve(each, x, y) for each in series if each.points)
    return _figure(axes, x, y, [*drawn, _legend(series)])


def scatter(axes: Axes, series: Sequence[Series]) -> str:
    """Return clouds of points; each point tells its values when it is pointed at."""
    x, y = _scales(axes, series)
    dots = (_dot(each, point, axes, x, y) for each in series for point in each.points)
    return _figure(axes, x, y, [*dots, _legend(series)])


def histogram(axes: Axes, values: Sequence[float], bins: int = 24) -> str:
    """Return how many values lie in each of `bins` equal parts, from 0 to the greatest."""
    high = max(values, default=0.0) or 1.0
    width = _round_up(high / bins)
    count = max(1, math.ceil(high / width))
    counts = [0] * count
    for value in values:
        counts[min(count - 1, int(value // width))] += 1
    points = [(index * width, float(number)) for index, number in enumerate(counts)]
    x = _Scale(0.0, count * width, _LEFT, WIDTH - _RIGHT)
    y = _Scale(0.0, _top(max(counts, default=0)), HEIGHT - _BOTTOM, _TOP)
    return _figure(axes, x, y, [_bar(point, width, axes, x, y) for point in points])


# ------------------------------------------------------------ parts


def _scales(axes: Axes, series: Sequence[Series]) -> tuple[_Scale, _Scale]:
    xs = [point[0] for each in series for point in each.points]
    ys = [point[1] for each in series for point in each.points] + ([axes.limit] if axes.limit is not None else [])
    right = _Scale(0.0, max([*xs, 1.0]), _LEFT, WIDTH - _RIGHT)
    return right, _Scale(0.0, _top(max(ys, default=0.0)), HEIGHT - _BOTTOM, _TOP)


def _figure(axes: Axes, x: _Scale, y: _Scale, parts: Iterable[str]) -> str:
    inside = "".join((*_grid(axes, x, y), *parts, _limit(axes, y)))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(axes.title)}">'
        f"<title>{escape(axes.title)}</title>{inside}</svg>"
    )


def _grid(axes: Axes, x: _Scale, y: _Scale) -> Iterable[str]:
    for value in _ticks(y.high):
        at = y(value)
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at}" y2="{at}"/>'
        yield f'<text class="tick" x="{_LEFT - 8}" y="{at + 4}" text-anchor="end">{_number(value)}</text>'
    for value in _ticks(x.high):
        yield f'<text class="tick" x="{x(value)}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">{_number(value)}</text>'
    yield f'<text class="axis" x="{WIDTH - _RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{escape(axes.x)}</text>'
    yield f'<text class="axis" x="10" y="20">{escape(axes.y)}</text>'


def _curve(series: Series, x: _Scale, y: _Scale) -> str:
    points = [(x(each[0]), y(each[1])) for each in series.points]
    path = f"M{points[0][0]},{points[0][1]}"
    for here in points[1:]:
        path += f"H{here[0]}V{here[1]}" if series.steps else f"L{here[0]},{here[1]}"
    return f'<path class="curve c{series.colour}" d="{path}"/>'


def _dot(series: Series, point: tuple[float, float], axes: Axes, x: _Scale, y: _Scale) -> str:
    told = f"{series.name}: {_number(point[1])} ({axes.y}), at {_number(point[0])} ({axes.x})"
    circle = f'<circle class="dot c{series.colour}" cx="{x(point[0])}" cy="{y(point[1])}" r="3.5">'
    return f"{circle}<title>{escape(told)}</title></circle>"


def _bar(point: tuple[float, float], width: float, axes: Axes, x: _Scale, y: _Scale) -> str:
    left, right, top = x(point[0]), x(point[0] + width), y(point[1])
    told = f"{_number(point[0])} to {_number(point[0] + width)} {axes.x}: {_number(point[1])}"
    rectangle = f'<rect class="bar" x="{left + 1}" y="{top}" width="{max(0.5, round(right - left - 2, 2))}" '
    return f'{rectangle}height="{round(y(0.0) - top, 2)}"><title>{escape(told)}</title></rect>'


def _limit(axes: Axes, y: _Scale) -> str:
    if axes.limit is None:
        return ""
    at = y(axes.limit)
    line = f'<line class="limit" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at}" y2="{at}"/>'
    return f'{line}<text class="limit" x="{WIDTH - _RIGHT - 4}" y="{at - 5}" text-anchor="end">{escape(axes.limit_name)}</text>'


def _legend(series: Sequence[Series]) -> str:
    if len(series) < 2:
        return ""
    parts = []
    left = WIDTH // 4
    for each in series:
        parts.append(f'<rect class="key c{each.colour}" x="{left}" y="11" width="10" height="10"/>')
        parts.append(f'<text class="legend" x="{left + 15}" y="20">{escape(each.name)}</text>')
        left += 38 + 6 * len(each.name)
    return "".join(parts)


def _ticks(high: float) -> list[float]:
    step = _round_up(high / _TICKS)
    return [round(index * step, 10) for index in range(int(high / step + 1e-9) + 1)]


def _top(high: float) -> float:
    """Return a round height with room above the highest point."""
    step = _round_up((high or 1.0) * 1.08 / _TICKS)
    return math.ceil((high or 1.0) * 1.08 / step) * step


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= value * (1 - 1e-9))


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.4g}"
