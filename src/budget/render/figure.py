"""The plots of a sweep as pictures, through matplotlib, which the extra `plot` installs."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from budget.errors import UsageError
from budget.planning.sweep import Sweep
from budget.render.plot import Chart, Curve, between
from budget.render.screen import Cell
from budget.render.sweep import AXIS_NAMES, charts, device_table, devices_of, grid_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's palette, which people who see fewer colours can tell apart."""
_MARKERS = "oDs^vP"
_LIGHT: Mapping[str, str] = {"back": "#ffffff", "text": "#1f2328", "faint": "#d1d9e0", "limit": "#b35900"}
_DARK: Mapping[str, str] = {"back": "#0d1117", "text": "#e6edf3", "faint": "#3d444d", "limit": "#ffa657"}
_INCHES_PER_CHART = 3.4
_LOG_SPAN = 8
_BETWEEN = 16
"""Points drawn from one point to the next."""
_DPI = 160


def figure_svg(found: Sweep, name: str) -> bytes:
    """The charts as one SVG document; equal sweeps give equal bytes."""
    return _saved(found, name, "svg", _LIGHT)


def figure_png(found: Sweep, name: str) -> bytes:
    """The charts as a PNG picture."""
    return _saved(found, name, "png", _LIGHT)


def figure_html(found: Sweep, name: str) -> bytes:
    """Charts and tables as one HTML document that needs no network and follows the reader's colour scheme."""
    light, dark = (_data_uri(_saved(found, name, "svg", look)) for look in (_LIGHT, _DARK))
    tables = "".join(_tables(found))
    title = escape(f"{name}: memory by {AXIS_NAMES[found.axis]}")
    page = _PAGE.format(title=title, light=light, dark=dark, tables=tables, answers="".join(_answers(found)))
    return page.encode()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }}
img {{ max-width: 100%; height: auto; }}
table {{ border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .2rem .8rem; text-align: right; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }}
td.short {{ color: #c0392b; font-weight: 600; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #0d1117; color: #e6edf3; }}
  td.short {{ color: #ff7b72; }}
}}
</style>
</head>
<body>
<h1>{title}</h1>
<ul>{answers}</ul>
<picture>
<source srcset="{dark}" media="(prefers-color-scheme: dark)">
<img src="{light}" alt="{title}: the numbers are in the tables below">
</picture>
{tables}
<p>Sizes are GiB. Red is more than the device may use.</p>
</body>
</html>
"""  # noqa: E501


def _matplotlib() -> Callable[..., Figure]:
    """The class of figures: no display, no global state.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as e:
        raise UsageError(
            "--svg, --png and --html need matplotlib, which is not installed",
            hint="pip install 'gguf-budget[plot]'",
        ) from e
    return Figure


def _saved(found: Sweep, name: str, form: str, look: Mapping[str, str]) -> bytes:
    figure_class = _matplotlib()
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "budget", "svg.fonttype": "path", "font.size": 10}):
        panels = charts(found)
        figure = figure_class(figsize=(8, _INCHES_PER_CHART * len(panels) + 0.5), layout="constrained")
        figure.set_facecolor(look["back"])
        figure.suptitle(name, color=look["text"], fontweight="bold")
        axes = figure.subplots(len(panels), 1, squeeze=False)
        for (ax,), chart in zip(axes, panels, strict=True):
            _draw(ax, chart, found, look)
        out = io.BytesIO()
        metadata = {"Date": None, "Creator": "budget"} if form == "svg" else {"Software": "budget"}
        figure.savefig(out, format=form, dpi=_DPI, metadata=metadata, facecolor=look["back"])
        return out.getvalue()


def _draw(ax: Any, chart: Chart, found: Sweep, look: Mapping[str, str]) -> None:
    """One chart on matplotlib's axes."""
    xs = sorted({x for curve in chart.curves for x, _ in curve.points})
    for index, curve in enumerate(chart.curves):
        color, marker = _COLORS[index % len(_COLORS)], _MARKERS[index % len(_MARKERS)]
        ax.plot(*_columns(_dense(curve)), color=color)
        ax.plot(*_columns(curve.points), color=color, marker=marker, linestyle="", markersize=5)
        # the legend shows line and marker together
        ax.plot([], [], color=color, marker=marker, label=_label(curve), markersize=5)
        if curve.best is not None and xs and xs[0] <= curve.best[0] <= xs[-1]:
            x, y, _ = curve.best
            ax.plot([x], [y], "*", color=color, markersize=14, markeredgecolor=look["back"], zorder=5)
    if chart.limit is not None:
        ax.axhline(chart.limit, color=look["limit"], linestyle="--", linewidth=1.5)
        ax.annotate(f"{chart.limit_name} GiB", (0.01, chart.limit), xycoords=("axes fraction", "data"),
                    xytext=(0, 4), textcoords="offset points", color=look["limit"], fontsize=9)  # fmt: skip
    if xs and xs[0] > 0 and xs[-1] >= xs[0] * _LOG_SPAN:
        ax.set_xscale("log", base=2)
    ax.set_xticks([x for x, _ in chart.ticks], [label for _, label in chart.ticks], minor=False)
    ax.minorticks_off()
    ax.set_ylim(bottom=0, top=max(ax.get_ylim()[1], (chart.limit or 0) * 1.12))
    ax.set_title(chart.title.partition(",")[0], loc="left", color=look["text"])
    ax.set_ylabel("GiB", color=look["text"])
    ax.set_xlabel(AXIS_NAMES[found.axis], color=look["text"])
    _theme(ax, look)
    if any(_label(curve) for curve in chart.curves):
        ax.legend(facecolor=look["back"], edgecolor=look["faint"], labelcolor=look["text"], loc="best")


def _label(curve: Curve) -> str | None:
    """The curve in the legend, with the largest context that fits."""
    best = "" if curve.best is None else f"fits up to -c {curve.best[2].replace(',', '')}"
    return ": ".join(text for text in (curve.name, best) if text) or None


def _dense(curve: Curve) -> list[tuple[float, float]]:
    """Many points on the line, so that it bends as it must on a logarithmic axis."""
    line = curve.line
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


def _data_uri(svg: bytes) -> str:
    """The picture inside the page: an image of its own, so that names in two pictures cannot collide."""
    from base64 import b64encode

    return f"data:image/svg+xml;base64,{b64encode(svg).decode()}"


def _answers(found: Sweep) -> list[str]:
    """The largest context of each series as list items."""
    if found.axis != "ctx":
        return []
    return [
        f"<li>{escape(s.name + ': ' if s.name else '')}"
        f"{'no context fits' if s.max_ctx is None else f'largest context that fits: <b>{s.max_ctx:,}</b>'}</li>"
        for s in found.series
    ]


def _tables(found: Sweep) -> list[str]:
    devices, rest = devices_of(found)
    if len(found.series) == 1:
        named = [("", device_table(found, devices))]
    else:
        named = [(f"<h2>{escape(device)}</h2>", grid_table(found, device)) for device in devices]
    parts = []
    for title, table in named:
        head = "".join(f"<th>{escape(h.strip())}</th>" for h in table.headers)
        body = "".join(f"<tr>{''.join(map(_td, row))}</tr>" for row in table.rows)
        parts.append(f"{title}<table><tr>{head}</tr>{body}</table>")
    return [*parts, *(f"<p>{escape(text)}</p>" for text in rest)]


def _td(cell: Cell) -> str:
    text, style = (cell, "") if isinstance(cell, str) else cell
    short = ' class="short"' if style == "bad" else ""
    return f"<td{short}>{escape(text.rstrip('! '))}</td>"
