"""What is written into a plot in text: stars, markers, labels and names of limits, each where there is room."""

from __future__ import annotations

from budget.render.canvas import Canvas
from budget.render.chart import Chart, Limit
from budget.render.lines import Look
from budget.render.scale import Scale

_LETTERS = "ABCDEFGHIJKLMNOP"
MARKERS: tuple[str, ...] = (*"●◆■▲▼○◇□△▽", *_LETTERS)
MARKERS_ASCII: tuple[str, ...] = (*"ox+*%#&$=~", *_LETTERS)
MAX_CURVES = len(MARKERS)
"""More lines could not be told apart without colours, nor read."""
_COLORS = 6
"""Styles `series0` and on."""
_BEST, _BEST_ASCII = "★", "@"


def series_style(index: int) -> str:
    """The style of the series with this number."""
    return f"series{index % _COLORS}"


def marker(index: int, look: Look) -> str:
    """The character of the series with this number."""
    return (MARKERS if look.unicode else MARKERS_ASCII)[index % MAX_CURVES]


def star(look: Look) -> str:
    """The character of the largest value that fits."""
    return _BEST if look.unicode else _BEST_ASCII


def mark(canvas: Canvas, chart: Chart, scale: Scale, look: Look, rules: set[int]) -> None:
    """Stars at the best points, markers at all, then labels of stars where there is room.

    Args:
        rules: rows of limits, where a label is put only if nowhere else has room.
    """
    n = len(chart.curves)
    for index, (x, y, _) in chart.marked:
        canvas.put(*scale.cell(x, y), star(look), series_style(index), reach=n)
    for index, curve in enumerate(chart.curves):
        char, style = marker(index, look), series_style(index)
        places = [scale.cell(x, y) for x, y in curve.points]
        n_shown = sum(canvas.put(*place, char, style, reach=n) for place in places)
        if places and not n_shown:
            # every point is hidden: somewhere else on the line
            canvas.put(*places[0], char, style, reach=canvas.width)
    # equal labels are written once, for the first of their curves
    labels = {label: (x, y, index) for index, (x, y, label) in reversed(chart.marked)}
    for label, (x, y, index) in labels.items():
        _label(canvas, *scale.cell(x, y), label, series_style(index), rules)


def _label(canvas: Canvas, column: int, row: int, label: str, style: str, rules: set[int]) -> None:
    """The label of a star: near it, over nothing; none where there is no such place."""
    n = len(label)
    places = [
        (x, row + away)
        for away in (1, -1, 0, 2, -2, 3, -3)
        for x in (column + 2, column - n // 2, column - n - 1)
        if away or x != column - n // 2
    ]
    free = [(x, y) for x, y in places if canvas.is_free(x, y, n)]
    if free:
        canvas.write(*min(free, key=lambda place: place[1] in rules), label, style)


def name_limit(canvas: Canvas, limit: Limit, scale: Scale) -> bool:
    """Write the limit's name into its line, or above or below it, over nothing; whether there was such a place."""
    row = scale.row(limit.value, canvas.height)
    text = f" {limit.name} "
    for y in (row, row - 1, row + 1):
        x = next((x for x in range(1, canvas.width) if canvas.is_free(x, y, len(text))), None)
        if x is not None:
            canvas.write(x, y, text, "bad")
            return True
    return False
