"""What a plot shows, whether it is drawn in text or as a picture: curves, limits, and how far the axes go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_FAR = 4.0
"""A limit this many times above every point would press the lines flat: its name says it instead."""
_TOP = 1.06
"""The y axis ends this much above what it shows."""
_LOG_SPAN = 8
"""Axes that span at least this many times their first value are logarithmic."""

Best = tuple[int, float, str]
"""(x, y) and the label of a point to mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line of the plot."""

    name: str
    points: tuple[tuple[int, float], ...]
    """(x, y), x rising."""
    best: Best | None = None
    """A point to mark; the line goes through it."""

    @property
    def line(self) -> tuple[tuple[int, float], ...]:
        """The points that the line joins; it ends where they do."""
        return self.line_within(self.points[0][0], self.points[-1][0]) if self.points else ()

    def line_within(self, low: int, high: int) -> tuple[tuple[int, float], ...]:
        """The same on an axis from `low` to `high`."""
        if self.best is None or not low <= self.best[0] <= high:
            return self.points
        x, y, _ = self.best
        return tuple(sorted(({x: y} | dict(self.points)).items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A horizontal line."""

    value: float
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What one plot shows."""

    title: str
    curves: tuple[Curve, ...]
    unit: str = "GiB"
    """Of the y axis."""
    limits: tuple[Limit, ...] = ()
    ticks: tuple[tuple[int, str], ...] = ()
    """Labels of the x axis."""

    @property
    def xs(self) -> list[int]:
        """Where there are points, rising."""
        return sorted({x for curve in self.curves for x, _ in curve.points})

    @property
    def is_log(self) -> bool:
        """Whether the x axis is logarithmic."""
        return is_log(self.xs)

    @property
    def near(self) -> tuple[Limit, ...]:
        """The limits that are drawn as lines: those within reach of the points."""
        highest = max((y for curve in self.curves for _, y in curve.points), default=0.0)
        return tuple(limit for limit in self.limits if limit.value <= _FAR * highest)

    @property
    def top(self) -> float:
        """Where the y axis ends."""
        ys = [y for curve in self.curves for _, y in curve.points]
        ys += [y for _, (_, y, _) in self.marked]
        return max([*ys, *(limit.value for limit in self.near)], default=0.0) * _TOP or 1.0

    @property
    def marked(self) -> list[tuple[int, Best]]:
        """The best points between the ends of the axis, each with the index of its curve."""
        xs, best = self.xs, [(index, curve.best) for index, curve in enumerate(self.curves)]
        return [(index, at) for index, at in best if at is not None and xs and xs[0] <= at[0] <= xs[-1]]


def is_log(xs: Sequence[int]) -> bool:
    """Whether an axis with points at `xs`, rising, is logarithmic."""
    return bool(xs) and xs[0] > 0 and xs[-1] >= xs[0] * _LOG_SPAN


def between(points: Sequence[tuple[int, float]], x: float) -> float | None:
    """The line through `points` at `x`, straight from one to the next; None outside."""
    slack = 1e-9 * max(abs(x), 1)
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 - slack <= x <= x1 + slack:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return None
