"""A plot of lines in text: braille dots where there is Unicode, ASCII where not, colours on top of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from budget.render.lines import Line, Look, Span

MARKERS = ("●", "◆", "■", "▲", "▼", "○")
MARKERS_ASCII = ("o", "x", "+", "*", "%", "#")
_BEST, _BEST_ASCII = "★", "@"
_BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot of a braille cell, by row and column (Unicode block 2800)."""
_HEIGHT = 14
_MAX_WIDTH = 100
"""A wider plot says no more."""
_LOG_SPAN = 8
"""Axes that span more than this many times their first value are logarithmic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line of the plot."""

    name: str
    points: tuple[tuple[int, float], ...]
    """(x, y), x rising."""
    best: tuple[int, float, str] | None = None
    """A point to mark, and its label; the line goes through it."""

    @property
    def line(self) -> tuple[tuple[int, float], ...]:
        """The points that the line joins."""
        best = () if self.best is None else ((self.best[0], self.best[1]),)
        return tuple(sorted({*self.points, *best}))


def between(points: Sequence[tuple[int, float]], x: float) -> float | None:
    """The line through `points` at `x`, straight from one to the next; None outside."""
    slack = 1e-9 * max(abs(x), 1)
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 - slack <= x <= x1 + slack:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What one plot shows."""

    title: str
    curves: tuple[Curve, ...]
    limit: float | None = None
    """A horizontal line."""
    limit_name: str = ""
    ticks: tuple[tuple[int, str], ...] = ()
    """Labels of the x axis."""


@dataclass(slots=True)
class _Canvas:
    """Cells of characters over cells of dots."""

    width: int
    height: int
    dots: dict[tuple[int, int], int] = field(default_factory=dict)
    styles: dict[tuple[int, int], str] = field(default_factory=dict)
    chars: dict[tuple[int, int], Span] = field(default_factory=dict)

    def dot(self, x: int, y: int, style: str) -> None:
        """Set the dot at column `x` of `2 * width` and row `y` of `4 * height`, from the top."""
        cell = (x // 2, y // 4)
        self.dots[cell] = self.dots.get(cell, 0) | _BRAILLE[y % 4][x % 2]
        self.styles[cell] = style

    def write(self, x: int, y: int, text: str, style: str) -> bool:
        """Put `text` where nothing stands yet; whether it did."""
        cells = [(x + i, y) for i in range(len(text))]
        if any(c in self.chars or not (0 <= c[0] < self.width and 0 <= y < self.height) for c in cells):
            return False
        for cell, char in zip(cells, text, strict=True):
            self.chars[cell] = (char, style)
        return True

    def row(self, y: int, rule: Span | None, look: Look) -> list[Span]:
        """The cells of one row; `rule` fills the empty ones of the limit's row."""
        return [self._cell((x, y), rule, look) for x in range(self.width)]

    def _cell(self, cell: tuple[int, int], rule: Span | None, look: Look) -> Span:
        if cell in self.chars:
            return self.chars[cell]
        if cell in self.dots:
            return (chr(0x2800 + self.dots[cell]) if look.unicode else "."), self.styles[cell]
        return rule or (" ", "")


def series_style(index: int) -> str:
    """The style of the series with this number."""
    return f"series{index % len(MARKERS)}"


def marker(index: int, look: Look) -> str:
    """The character of the series with this number."""
    return (MARKERS if look.unicode else MARKERS_ASCII)[index % len(MARKERS)]


def plot(chart: Chart, look: Look, *, height: int = _HEIGHT) -> list[Line]:
    """The chart in lines of at most `look.width` columns; its y axis starts at 0."""
    points = [p for c in chart.curves for p in c.points]
    if not points:
        return []
    top = max([y for _, y in points] + ([chart.limit] if chart.limit else [])) * 1.06 or 1.0
    steps = _steps(top)
    labels = [f"{s:g}" for s in steps]
    left = max(map(len, labels)) + 1
    width = max(20, min(look.width - left - 2, _MAX_WIDTH))
    canvas = _Canvas(width=width, height=height)
    scale = _Scale.of([x for x, _ in points], top, width, height)
    for index, curve in enumerate(chart.curves):
        _draw(canvas, curve, scale, series_style(index))
    for index, curve in enumerate(chart.curves):
        for x, y in curve.points:
            at = scale.cell(x, y)
            canvas.chars[at] = (marker(index, look), series_style(index))
    limit_row = None if chart.limit is None else scale.cell(points[0][0], chart.limit)[1]
    for curve in chart.curves:
        _mark(canvas, curve, scale, look)
    if chart.limit is not None and limit_row is not None:
        above = limit_row - 1 if limit_row else limit_row + 1
        _ = canvas.write(1, above, chart.limit_name, "bad") or canvas.write(
            width - len(chart.limit_name) - 1, above, chart.limit_name, "bad"
        )
    return [
        *_framed(canvas, scale, steps, labels, limit_row, left, look),
        *_axis(chart, scale, left, look),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Data to cells and dots."""

    low: float
    high: float
    log: bool
    top: float
    width: int
    height: int

    @classmethod
    def of(cls, xs: Sequence[int], top: float, width: int, height: int) -> _Scale:
        low, high = min(xs), max(xs)
        log = low > 0 and high >= low * _LOG_SPAN
        return cls(low=low, high=high, log=log, top=top, width=width, height=height)

    def share(self, x: float) -> float:
        """0 at the left edge, 1 at the right."""
        if self.high == self.low:
            return 0.5
        if self.log:
            return math.log(max(x, self.low) / self.low) / math.log(self.high / self.low)
        return (x - self.low) / (self.high - self.low)

    def x_at(self, share: float) -> float:
        """The inverse of `share`."""
        if self.log:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Column and row, from the top."""
        column = min(self.width - 1, max(0, int(self.share(x) * (self.width - 1) + 0.5)))
        return column, self.row(y, self.height)

    def row(self, y: float, rows: int) -> int:
        """Row of `rows`, from the top."""
        return min(rows - 1, max(0, rows - 1 - int(y / self.top * rows)))


def _draw(canvas: _Canvas, curve: Curve, scale: _Scale, style: str) -> None:
    """The line between the points, straight in x and y, in dots."""
    columns, rows = 2 * canvas.width, 4 * canvas.height
    line = [p for p in curve.line if scale.low <= p[0] <= scale.high]
    before = None
    for column in range(columns):
        y = between(line, scale.x_at(column / (columns - 1)))
        if y is None:
            before = None
            continue
        row = scale.row(y, rows)
        reach = range(min(row, before), max(row, before) + 1) if before is not None else (row,)
        for r in reach:
            canvas.dot(column, r, style)
        before = row


def _mark(canvas: _Canvas, curve: Curve, scale: _Scale, look: Look) -> None:
    """A star at the best point, its label where there is room."""
    if curve.best is None:
        return
    x, y, label = curve.best
    if not scale.low <= x <= scale.high:
        return
    column, row = scale.cell(x, y)
    canvas.chars[column, row] = (_BEST if look.unicode else _BEST_ASCII, "good")
    right, middle, before = column + 2, column - len(label) // 2, column - len(label) - 1
    places = [
        (right, row + 1), (right, row), (right, row + 2), (middle, row + 2), (middle, row + 3), (before, row + 1),
        (before, row - 1), (before, row - 2), (middle, row - 2), (middle, row - 3), (before, row + 3),
    ]  # fmt: skip
    clear = [
        (x, y) for x, y in places if not any((x + i, y) in canvas.dots for i in range(-1, len(label) + 1))
    ]
    for at in (*clear, *places):
        if canvas.write(*at, label, "good"):
            return


def _framed(
    canvas: _Canvas, scale: _Scale, steps: Sequence[float], labels: Sequence[str], limit_row: int | None,
    left: int, look: Look,
) -> list[Line]:  # fmt: skip
    tick, edge = ("┤", "│") if look.unicode else ("+", "|")
    named = {scale.row(step, canvas.height): label for step, label in zip(steps, labels, strict=True)}
    lines: list[Line] = []
    for y in range(canvas.height):
        rule: Span | None = ("╌" if look.unicode else "-", "bad") if y == limit_row else None
        head = f"{named.get(y, '').rjust(left)}{tick if y in named else edge}"
        lines.append(((head, "dim"), *_joined(canvas.row(y, rule, look))))
    return lines


def _joined(cells: Sequence[Span]) -> list[Span]:
    spans: list[Span] = []
    for text, style in cells:
        if spans and spans[-1][1] == style:
            spans[-1] = (spans[-1][0] + text, style)
        else:
            spans.append((text, style))
    return spans


def _axis(chart: Chart, scale: _Scale, left: int, look: Look) -> list[Line]:
    """The x axis: its ticks, and the labels that have room."""
    corner, rule, tick = ("└", "─", "┴") if look.unicode else ("+", "-", "+")
    cells = [rule] * scale.width
    text = [" "] * (left + 1 + scale.width)
    end = -1
    for x, label in chart.ticks:
        column = scale.cell(x, 0)[0]
        cells[column] = tick
        at = max(0, min(left + 1 + column - len(label) // 2, len(text) - len(label)))
        if at > end:
            text[at : at + len(label)] = list(label)
            end = at + len(label)
    axis = f"{' ' * left}{corner}{''.join(cells)}"
    return [((axis, "dim"),), (("".join(text).rstrip(), "dim"),)]


def _steps(top: float) -> list[float]:
    """Four to eight round numbers from 0 up to `top`."""
    raw = top / 5
    base = 10 ** math.floor(math.log10(raw))
    step = next(m * base for m in (1, 2, 2.5, 5, 10) if m * base >= raw)
    return [i * step for i in range(int(top / step) + 1)]
