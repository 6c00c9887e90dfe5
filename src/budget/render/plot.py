"""A plot of lines in text, with colours on top."""

from __future__ import annotations

from budget.render.canvas import Canvas
from budget.render.chart import Chart, Curve, between
from budget.render.lines import Line, Look
from budget.render.plot_frame import framed, key, x_axis
from budget.render.plot_marks import MAX_CURVES, mark, name_limit, series_style
from budget.render.scale import Scale, steps

_HEIGHT = 14
_MAX_WIDTH = 100
"""A wider plot says no more."""


def plot(chart: Chart, look: Look, *, height: int = _HEIGHT) -> list[Line]:
    """The chart and its key in lines of at most `look.width` columns; its y axis starts at 0.

    Nothing where there are no points, or more lines than can be told apart.
    """
    xs = chart.xs
    if not xs or len(chart.curves) > MAX_CURVES:
        return []
    labels = {step: f"{step:g} {chart.unit}" for step in steps(chart.top)}
    left = max(map(len, labels.values())) + 1
    width = max(20, min(look.width - left - 2, _MAX_WIDTH))
    canvas = Canvas(width=width, height=height)
    scale = Scale(low=xs[0], high=xs[-1], log=chart.is_log, top=chart.top, width=width, height=height)
    for index, curve in enumerate(chart.curves):
        _draw(canvas, curve, scale, series_style(index))
    rules = {scale.row(limit.value, height) for limit in chart.near}
    mark(canvas, chart, scale, look, rules)
    named = [limit for limit in chart.near if name_limit(canvas, limit, scale)]
    unnamed = [limit for limit in chart.limits if limit not in named]
    return [
        *framed(canvas, scale, labels, rules, left, look),
        *x_axis(chart, scale, left, look),
        *key(chart, unnamed, look),
    ]


def _draw(canvas: Canvas, curve: Curve, scale: Scale, style: str) -> None:
    """The line between the points, straight in x and y, in dots."""
    n_columns, n_rows = 2 * canvas.width, 4 * canvas.height
    line = curve.line
    before: int | None = None
    for column in range(n_columns):
        y = between(line, scale.x_at(column / (n_columns - 1)))
        if y is None:
            before = None
            continue
        row = scale.row(y, n_rows)
        last = row if before is None else before
        for r in range(min(row, last), max(row, last) + 1):
            canvas.dot(column, r, style)
        before = row
