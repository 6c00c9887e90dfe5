"""One chart of a picture, on the axes of matplotlib that it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from textwrap import wrap
from typing import Any

from budget.render.chart import Chart, between, is_log
from budget.render.figure_look import line_style
from budget.render.scale import share_of, spread

_LABEL_COLUMNS = 84
"""Digits that stand side by side below a chart."""
_LIMIT_COLUMNS = 18
_BETWEEN = 16
"""Points drawn from one point to the next."""
_NEXT_TO = "\N{NO-BREAK SPACE}GiB"
_SAME = 0.01
"""Lines closer to each other than this share of the y axis hide one another."""
_MOST_BELOW = 2
"""Steps by which a line is widened at most."""


def draw_chart(ax: Any, chart: Chart, x_name: str, look: Mapping[str, str]) -> None:
    """One chart on matplotlib's axes."""
    xs = _places(chart)
    for index in range(len(chart.curves)):
        _curve(ax, chart, index, xs, look)
    for limit in chart.near:
        ax.axhline(limit.value, color=look["limit"], linestyle="--", linewidth=1.5)
    _name_limits(ax, chart, look)
    if is_log(xs):
        ax.set_xscale("log", base=2)
    _ticks(ax, chart, xs)
    ax.set_ylim(bottom=0, top=chart.top)
    ax.set_title(chart.title.partition(":")[0] if ": " in chart.title else "", loc="left", color=look["text"])
    ax.set_ylabel(chart.unit, color=look["text"])
    ax.set_xlabel(x_name, color=look["text"])
    _theme(ax, look)


def _curve(ax: Any, chart: Chart, index: int, xs: Sequence[int], look: Mapping[str, str]) -> None:
    """Line, markers and star; wider where other lines hide it."""
    curve, style = chart.curves[index], line_style(index)
    below = min(_n_above(chart, index), _MOST_BELOW)
    line = curve.line_within(xs[0], xs[-1])
    ax.plot(*_columns(_dense(line)), **style | {"marker": ""}, linewidth=1.6 + 2.4 * below)
    ax.plot(*_columns(curve.points), **style | {"linestyle": ""}, markersize=5 + 4 * below)
    if curve.best is not None and xs[0] <= curve.best[0] <= xs[-1]:
        star = {"color": style["color"], "markersize": 14 + 6 * below, "markeredgecolor": look["back"]}
        ax.plot([curve.best[0]], [curve.best[1]], "*", **star, zorder=5 - below / 10)


def _n_above(chart: Chart, index: int) -> int:
    """How many later lines lie on this one all along and would hide it: it is drawn as much wider."""
    points = dict(chart.curves[index].points)
    return sum(
        all(abs(y - points[x]) < chart.top * _SAME for x, y in other.points if x in points)
        for other in chart.curves[index + 1 :]
    )


def _places(chart: Chart) -> list[int]:
    """Where the x axis has something: the points, and of a single one the largest context too."""
    xs = chart.xs
    if len(xs) == 1:
        xs = sorted({*xs, *(curve.best[0] for curve in chart.curves if curve.best is not None)})
    return xs


def _name_limits(ax: Any, chart: Chart, look: Mapping[str, str]) -> None:
    """What the limits are called, beside the axes, where no line can run through it."""
    last = -1.0
    for limit in sorted(chart.limits, key=lambda limit: limit.value):
        is_near = limit in chart.near
        # names of limits close to each other stand above each other
        at = max(limit.value / chart.top, last + 0.17) if is_near else 1.0
        last = at
        text = (limit.name if is_near else f"{limit.name}, above this").replace(" GiB", _NEXT_TO)
        ax.annotate(
            "\n".join(wrap(text, _LIMIT_COLUMNS)), (1.01, at), xycoords="axes fraction", color=look["limit"],
            va="center" if is_near else "top", fontsize=9, parse_math=False, annotation_clip=False,
        )  # fmt: skip


def _ticks(ax: Any, chart: Chart, xs: Sequence[int]) -> None:
    """Labels that have room; where the axis is a single point, only that."""
    ticks = dict(chart.ticks)
    if len(chart.xs) == 1:
        ticks |= {c.best[0]: c.best[2] for c in chart.curves if c.best is not None and c.best[0] not in ticks}
    named = sorted((x, label) for x, label in ticks.items() if xs[0] <= x <= xs[-1])
    log = is_log(xs)
    places = [
        (round(share_of(x, xs[0], xs[-1], log=log) * _LABEL_COLUMNS), f" {label} ") for x, label in named
    ]
    shown = [named[i] for i, _ in spread(places, _LABEL_COLUMNS + 2)]
    ax.set_xticks([x for x, _ in shown], [label for _, label in shown], minor=False)
    ax.minorticks_off()
    if len(xs) == 1:
        ax.set_xlim(xs[0] - 1, xs[0] + 1)


def _dense(line: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """Many points on the line, so that it bends as it must on a logarithmic axis."""
    if len(line) < 2:
        return list(line)
    xs: set[float] = {line[-1][0]}
    for (x0, _), (x1, _) in pairwise(line):
        xs |= {x0 + (x1 - x0) * i / _BETWEEN for i in range(_BETWEEN)}
    return [(x, y) for x in sorted(xs) if (y := between(line, x)) is not None]


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _theme(ax: Any, look: Mapping[str, str]) -> None:
    ax.set_facecolor(look["back"])
    ax.grid(visible=True, color=look["faint"], linewidth=0.6)
    ax.tick_params(colors=look["text"])
    for spine in ax.spines.values():
        spine.set_color(look["faint"])
