"""A plot of lines in text: braille dots where there is Unicode, ASCII where not, colours on top of both."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from budget.render.lines import Line, Look, Span, columns

_LETTERS = "ABCDEFGHIJKLMNOP"
MARKERS = (*"●◆■▲▼○◇□△▽", *_LETTERS)
MARKERS_ASCII = (*"ox+*%#&$=~", *_LETTERS)
MAX_CURVES = len(MARKERS)
"""More lines could not be told apart without colours, nor read."""
_COLORS = 6
"""Styles `series0` and on."""
_BEST, _BEST_ASCII = "★", "@"
_BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot of a braille cell, by row and column (Unicode block 2800)."""
_HEIGHT = 14
_MAX_WIDTH = 100
"""A wider plot says no more."""
_LOG_SPAN = 8
"""Axes that span at least this many times their first value are logarithmic."""
_FAR = 4.0
"""A limit this many times above every point would press the lines flat: its name says it instead."""
_TOP = 1.06
"""The y axis ends this much above what it shows."""


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
        ys += [curve.best[1] for curve in self.marked if curve.best is not None]
        return max([*ys, *(limit.value for limit in self.near)], default=0.0) * _TOP or 1.0

    @property
    def marked(self) -> list[Curve]:
        """The curves whose best point lies between the ends of the axis."""
        xs = self.xs
        return [c for c in self.curves if c.best is not None and xs and xs[0] <= c.best[0] <= xs[-1]]


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


def share_of(x: float, low: float, high: float, *, log: bool) -> float:
    """Where `x` lies on an axis: 0 at the left end, 1 at the right."""
    if high == low:
        return 0.5
    if log:
        return math.log(max(x, low) / low) / math.log(high / low)
    return (x - low) / (high - low)


def spread(places: Sequence[tuple[int, str]], width: int) -> list[tuple[int, int]]:
    """Which labels have room, as (index, column where it starts): every one, or every second, ..., and the last.

    Args:
        places: the column of each label's middle, rising, and its text.
        width: columns there are.
    """
    starts = [max(0, min(at - len(text) // 2, width - len(text))) for at, text in places]
    ends = [start + len(text) for start, (_, text) in zip(starts, places, strict=True)]
    last = len(places) - 1
    for step in range(1, len(places) + 1):
        chosen = list(range(0, len(places), step))
        if all(ends[a] < starts[b] for a, b in pairwise(chosen)):
            while chosen[-1] != last and len(chosen) > 1 and ends[chosen[-1]] >= starts[last]:
                chosen.pop()
            if chosen[-1] != last and ends[chosen[-1]] < starts[last]:
                chosen.append(last)
            return [(i, starts[i]) for i in chosen]
    return []


@dataclass(slots=True)
class _Canvas:
    """Cells of characters over cells of dots."""

    width: int
    height: int
    dots: dict[tuple[int, int], int] = field(default_factory=dict)
    styles: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    """Of every line through the cell."""
    chars: dict[tuple[int, int], Span] = field(default_factory=dict)

    def dot(self, x: int, y: int, style: str) -> None:
        """Set the dot at column `x` of `2 * width` and row `y` of `4 * height`, from the top."""
        cell = (x // 2, y // 4)
        self.dots[cell] = self.dots.get(cell, 0) | _BRAILLE[y % 4][x % 2]
        styles = self.styles.setdefault(cell, [])
        if style not in styles:
            styles.append(style)

    def is_free(self, x: int, y: int, n: int) -> bool:
        """Whether `n` cells from there on, and one beside them at each end, hold nothing."""
        if not (x >= 0 and x + n <= self.width and 0 <= y < self.height):
            return False
        return not any((x + i, y) in self.chars or (x + i, y) in self.dots for i in range(-1, n + 1))

    def write(self, x: int, y: int, text: str, style: str) -> None:
        """Put `text` there."""
        for i, char in enumerate(text):
            self.chars[x + i, y] = (char, style)

    def put(self, x: int, y: int, char: str, style: str, *, reach: int) -> bool:
        """Put one character there, or beside what stands there already; whether it found room."""
        for away in range(reach + 1):
            for at in (x + away, x - away):
                if 0 <= at < self.width and (at, y) not in self.chars:
                    self.chars[at, y] = (char, style)
                    return True
        return False

    def row(self, y: int, rule: Span | None, look: Look) -> list[Span]:
        """The cells of one row; `rule` fills the empty ones of a limit's row."""
        return [self._cell((x, y), rule, look) for x in range(self.width)]

    def _cell(self, cell: tuple[int, int], rule: Span | None, look: Look) -> Span:
        if cell in self.chars:
            return self.chars[cell]
        if cell in self.dots:
            # lines that lie on each other are striped
            styles = self.styles[cell]
            return (chr(0x2800 + self.dots[cell]) if look.unicode else "."), styles[cell[0] % len(styles)]
        return rule or (" ", "")


def series_style(index: int) -> str:
    """The style of the series with this number."""
    return f"series{index % _COLORS}"


def marker(index: int, look: Look) -> str:
    """The character of the series with this number."""
    markers: Sequence[str] = MARKERS if look.unicode else MARKERS_ASCII
    return markers[index % MAX_CURVES]


def plot(chart: Chart, look: Look, *, height: int = _HEIGHT) -> list[Line]:
    """The chart and its key in lines of at most `look.width` columns; its y axis starts at 0.

    Nothing where there are no points, or more lines than can be told apart.
    """
    xs = chart.xs
    if not xs or len(chart.curves) > MAX_CURVES:
        return []
    steps = _steps(chart.top)
    labels = [f"{s:g} {chart.unit}" for s in steps]
    left = max(map(len, labels)) + 1
    width = max(20, min(look.width - left - 2, _MAX_WIDTH))
    canvas = _Canvas(width=width, height=height)
    scale = _Scale(low=xs[0], high=xs[-1], log=chart.is_log, top=chart.top, width=width, height=height)
    for index, curve in enumerate(chart.curves):
        _draw(canvas, curve, scale, series_style(index))
    rules = {scale.row(limit.value, height) for limit in chart.near}
    _mark(canvas, chart, scale, look, rules)
    named = [limit for limit in chart.near if _named(canvas, limit, scale)]
    unnamed = [limit for limit in chart.limits if limit not in named]
    return [
        *_framed(canvas, scale, steps, labels, rules, left, look),
        *_axis(chart, scale, left, look),
        *_key(chart, unnamed, look),
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

    def x_at(self, share: float) -> float:
        """The inverse of `share_of`."""
        if self.log:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)

    def column(self, x: float) -> int:
        """Column of `width`."""
        share = share_of(x, self.low, self.high, log=self.log)
        return min(self.width - 1, max(0, int(share * (self.width - 1) + 0.5)))

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Column and row, from the top."""
        return self.column(x), self.row(y, self.height)

    def row(self, y: float, rows: int) -> int:
        """Row of `rows`, from the top."""
        return min(rows - 1, max(0, rows - 1 - int(y / self.top * rows)))


def _draw(canvas: _Canvas, curve: Curve, scale: _Scale, style: str) -> None:
    """The line between the points, straight in x and y, in dots."""
    n_columns, n_rows = 2 * canvas.width, 4 * canvas.height
    line = curve.line
    before = None
    for column in range(n_columns):
        y = between(line, scale.x_at(column / (n_columns - 1)))
        if y is None:
            before = None
            continue
        row = scale.row(y, n_rows)
        reach = range(min(row, before), max(row, before) + 1) if before is not None else (row,)
        for r in reach:
            canvas.dot(column, r, style)
        before = row


def _mark(canvas: _Canvas, chart: Chart, scale: _Scale, look: Look, rules: set[int]) -> None:
    """Stars at the best points, markers at all, then labels of stars where there is room."""
    n = len(chart.curves)
    styles = {curve: series_style(index) for index, curve in reversed([*enumerate(chart.curves)])}
    star = _BEST if look.unicode else _BEST_ASCII
    best = [(curve, c) for curve in chart.marked if (c := curve.best) is not None]
    for curve, (x, y, _) in best:
        canvas.put(*scale.cell(x, y), star, styles[curve], reach=n)
    for index, curve in enumerate(chart.curves):
        char, style = marker(index, look), series_style(index)
        if not sum(canvas.put(*scale.cell(x, y), char, style, reach=n) for x, y in curve.points):
            # every point is hidden: somewhere else on the line
            for place in curve.points[:1]:
                canvas.put(*scale.cell(*place), char, style, reach=canvas.width)
    for curve, (x, y, label) in {label: found for found in reversed(best) for label in found[1][2:]}.values():
        _label(canvas, *scale.cell(x, y), label, styles[curve], rules)


def _label(canvas: _Canvas, column: int, row: int, label: str, style: str, rules: set[int]) -> None:
    """The label of a star: near it, over nothing; none where there is no such place."""
    n = len(label)
    places = [
        (x, row + away)
        for away in (1, -1, 0, 2, -2, 3, -3)
        for x in (column + 2, column - n // 2, column - n - 1)
        if away or x != column - n // 2
    ]
    free = [(x, y) for x, y in places if canvas.is_free(x, y, n)]
    for x, y in sorted(free, key=lambda place: place[1] in rules)[:1]:
        canvas.write(x, y, label, style)


def _named(canvas: _Canvas, limit: Limit, scale: _Scale) -> bool:
    """Write the limit's name into its line, or above or below it, over nothing; whether there was such a place."""
    row = scale.row(limit.value, canvas.height)
    text = f" {limit.name} "
    for y in (row, row - 1, row + 1):
        x = next((x for x in range(1, canvas.width) if canvas.is_free(x, y, len(text))), None)
        if x is not None:
            canvas.write(x, y, text, "bad")
            return True
    return False


def _framed(
    canvas: _Canvas, scale: _Scale, steps: Sequence[float], labels: Sequence[str], rules: set[int],
    left: int, look: Look,
) -> list[Line]:  # fmt: skip
    tick, edge = ("┤", "│") if look.unicode else ("+", "|")
    named = {scale.row(step, canvas.height): label for step, label in zip(steps, labels, strict=True)}
    lines: list[Line] = []
    for y in range(canvas.height):
        rule: Span | None = (_rule(look), "bad") if y in rules else None
        head = f"{named.get(y, '').rjust(left)}{tick if y in named else edge}"
        lines.append(((head, "dim"), *_joined(canvas.row(y, rule, look))))
    return lines


def _rule(look: Look) -> str:
    return "╌" if look.unicode else "-"


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
    width = left + 1 + scale.width
    text = [" "] * width
    ticks = sorted((x, label) for x, label in chart.ticks if scale.low <= x <= scale.high)
    places = [(scale.column(x), label) for x, label in ticks]
    shown = spread([(left + 1 + column, label) for column, label in places], width)
    for i, at in shown:
        label = places[i][1]
        text[at : at + len(label)] = list(label)
    crowded = len(places) * 4 > scale.width
    for column, _ in (places[i] for i, _ in shown) if crowded else places:
        cells[column] = tick
    axis = f"{' ' * left}{corner}{''.join(cells)}"
    return [((axis, "dim"),), (("".join(text).rstrip(), "dim"),)]


def _key(chart: Chart, unnamed: Sequence[Limit], look: Look) -> list[Line]:
    """What markers mean, and the limits that have no name in the plot; in as many lines as it takes."""
    entries: list[tuple[str, str, str]] = [
        (marker(index, look), series_style(index), curve.name)
        for index, curve in enumerate(chart.curves)
        if curve.name
    ]
    if chart.marked:
        entries.append((_BEST if look.unicode else _BEST_ASCII, "", "largest that fits"))
    near = chart.near
    for limit in unnamed:
        entries.append((_rule(look) if limit in near else "", "bad", limit.name))
    return list(_filled(entries, look.width))


_INDENT, _BETWEEN_ENTRIES = "    ", "   "


def _filled(entries: Sequence[tuple[str, str, str]], width: int) -> Iterator[Line]:
    """Entries side by side, a new line where the next would be wider than the screen."""
    line: list[Span] = []
    used = 0
    for sign, style, name in entries:
        text = f" {name}" if sign else name
        n = len(sign) + columns(text)
        if line and used + len(_BETWEEN_ENTRIES) + n > width:
            yield tuple(line)
            line = []
        head = _BETWEEN_ENTRIES if line else _INDENT
        used = (used if line else 0) + len(head) + n
        line += [(head, ""), (sign, style), (text, "")]
    if line:
        yield tuple(line)


def _steps(top: float) -> list[float]:
    """Four to eight round numbers from 0 up to `top`."""
    raw = top / 5
    base = 10 ** math.floor(math.log10(raw))
    step = next(m * base for m in (1, 2, 2.5, 5, 10) if m * base >= raw)
    return [i * step for i in range(int(top / step) + 1)]
