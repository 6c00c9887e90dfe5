"""The plots of a sweep as pictures, through matplotlib, which the extra `plot` installs."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from budget import __version__
from budget.errors import UsageError
from budget.planning.grid import Sweep
from budget.render.chart import Chart, Curve, between, is_log
from budget.render.scale import share_of, spread
from budget.render.screen import Cell, Table
from budget.render.sweep_charts import charts
from budget.render.sweep_devices import devices_of
from budget.render.sweep_tables import caption, device_table, grid_table
from budget.render.sweep_words import AXIS_NAMES, answer_of, facts, fixed_text, problems

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#808080")
"""Okabe and Ito's palette, which people who see fewer colours can tell apart; grey in place of its yellow and black,
of which one cannot be seen on white and the other on black."""
_MARKERS = ("o", "D", "s", "^", "v", "P", "X", "p", "h", "<", ">")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MAX_LINES = len(_COLORS) * len(_DASHES)
"""More lines would repeat a colour with its dashes."""
_LIGHT: Mapping[str, str] = {"back": "#ffffff", "text": "#1f2328", "faint": "#d1d9e0", "limit": "#9a3b00"}
_DARK: Mapping[str, str] = {"back": "#0d1117", "text": "#e6edf3", "faint": "#3d444d", "limit": "#ffa657"}
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Noto Sans SC",
    "Noto Sans JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "PingFang HK",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
    "Microsoft YaHei",
    "SimSun",
    "Yu Gothic",
    "Meiryo",
    "Malgun Gothic",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Emoji",
)
"""Tried in order for each letter, those that are installed."""
_WIDTH = 8.5
"""Inches."""
_INCHES_PER_CHART = 3.4
_TALLER = 1.4
"""With more lines than colours."""
_PAD = 0.1
"""Around each chart and the picture, inches."""
_LABEL_COLUMNS = 84
"""Digits that stand side by side below a chart."""
_TITLE_COLUMNS = 80
_SETTINGS_COLUMNS = 98
_KEY_COLUMNS = 96
_LIMIT_COLUMNS = 18
_BETWEEN = 16
"""Points drawn from one point to the next."""
_NEXT_TO = "\N{NO-BREAK SPACE}GiB"
_DPI = 160
_SAME = 0.01
"""Lines closer to each other than this share of the y axis hide one another."""
_MOST_BELOW = 2
"""Steps by which a line is widened at most."""


def figure_svg(found: Sweep, name: str) -> bytes:
    """The charts as one SVG document; equal sweeps give equal bytes."""
    return _saved(found, name, "svg", _LIGHT)


def figure_png(found: Sweep, name: str) -> bytes:
    """The charts as a PNG picture."""
    return _saved(found, name, "png", _LIGHT)


def figure_html(found: Sweep, name: str) -> bytes:
    """Charts and tables as one HTML document that needs no network and follows the reader's colour scheme."""
    light, dark = (_data_uri(_saved(found, name, "svg", look)) for look in (_LIGHT, _DARK))
    title = f"{_shown(name)}: memory by {AXIS_NAMES[found.axis]}"
    answers = [f"{name}: {text}" if name else text for name, text in _answers(found)]
    page = _PAGE.format(
        title=escape(title),
        light=light,
        dark=dark,
        alt=escape(_alt(found)),
        answers="".join(f"<li>{escape(text)}</li>" for text in answers),
        tables="".join(_tables(found)),
        facts="".join(f"<dt>{escape(k)}</dt><dd>{escape(_shown(v))}</dd>" for k, v in facts(found, name)),
        version=escape(__version__),
    )
    return page.encode("utf-8", "replace")


def check_lines(n_lines: int) -> None:
    """Refuse more lines than can be told apart.

    Raises:
        UsageError: there are more than `MAX_LINES`.
    """
    if n_lines > MAX_LINES:
        raise UsageError(
            f"{n_lines} lines in a picture, at most {MAX_LINES} can be told apart",
            hint="give fewer values, or several pictures",
        )


def require_matplotlib() -> Callable[..., Figure]:
    """The class of figures: no display, no global state.

    Raises:
        UsageError: matplotlib is not installed.
    """
    # what it says of its caches and fonts is for who plots by hand
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        from matplotlib.figure import Figure
    except ImportError as e:
        raise UsageError(
            "--svg, --png and --html need matplotlib, which is not installed",
            hint="pip install 'gguf-budget[plot]'",
        ) from e
    return Figure


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="budget {version}">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --back: #ffffff; --text: #1f2328; --faint: #d1d9e0; --bad: #b3261e; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --back: #0d1117; --text: #e6edf3; --faint: #3d444d; --bad: #ff7b72; }}
}}
body {{
  background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif;
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere;
}}
h1 {{ font-size: 1.5rem; }}
img {{ max-width: 100%; height: auto; }}
.table {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; overflow-wrap: normal; }}
caption {{ text-align: left; white-space: nowrap; font-weight: 600; padding: .2rem 0; }}
th, td {{ padding: .2rem .8rem; text-align: right; border-bottom: 1px solid var(--faint); white-space: nowrap; }}
th:first-child {{ text-align: left; }}
th[scope=row] {{ position: sticky; left: 0; background: var(--back); }}
td.bad {{ color: var(--bad); font-weight: 600; }}
dt {{ font-weight: 600; }}
dd {{ margin: 0 0 .4rem 1rem; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<ul>{answers}</ul>
<picture>
<source srcset="{dark}" media="(prefers-color-scheme: dark)">
<img src="{light}" alt="{alt}">
</picture>
{tables}
<h2>What this holds for</h2>
<dl>{facts}</dl>
</main>
</body>
</html>
"""


def _saved(found: Sweep, name: str, form: str, look: Mapping[str, str]) -> bytes:
    figure_class = require_matplotlib()
    import matplotlib as mpl

    options: Any = {
        "svg.hashsalt": "budget",
        "svg.fonttype": "none",  # letters stay letters: found, read aloud, and drawn in fonts that the reader has
        "font.size": 10,
        "font.family": _fonts(),
        "figure.constrained_layout.w_pad": _PAD,
        "figure.constrained_layout.h_pad": _PAD,
    }
    with mpl.rc_context(options), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure = _figure(figure_class, found, name, look)
        out = io.BytesIO()
        title = f"{_shown(name)}: memory by {AXIS_NAMES[found.axis]}"
        maker = f"budget {__version__}"
        metadata: dict[str, str | None] = {"Title": title, "Description": _alt(found)}
        metadata |= {"Date": None, "Creator": maker} if form == "svg" else {"Software": maker}
        figure.savefig(out, format=form, dpi=_DPI, metadata=metadata, facecolor=look["back"])
        return out.getvalue()


def _fonts() -> list[str]:
    """The families of `_FONTS` that are here: matplotlib complains about others."""
    from matplotlib.font_manager import fontManager

    here = {font.name for font in fontManager.ttflist}
    return [name for name in _FONTS if name in here]


def _figure(figure_class: Callable[..., Figure], found: Sweep, name: str, look: Mapping[str, str]) -> Figure:
    panels = charts(found)
    check_lines(max(len(chart.curves) for chart in panels))
    title = wrap(_shown(name), _TITLE_COLUMNS, break_long_words=True)
    entries = [_label(curve) for curve in panels[0].curves]
    has_key = any(entries)
    n_columns = max(1, min(4, _KEY_COLUMNS // (max(map(len, entries)) + 6))) if has_key else 1
    n_key_lines = -(-len(entries) // n_columns) if has_key else 0
    each = _INCHES_PER_CHART * (_TALLER if len(entries) > len(_COLORS) else 1)
    height = each * len(panels) + 0.2 * (len(title) + n_key_lines) + 0.3
    figure = figure_class(figsize=(_WIDTH, height), layout="constrained")
    figure.set_facecolor(look["back"])
    figure.suptitle("\n".join(title), color=look["text"], fontweight="bold", parse_math=False)
    axes = figure.subplots(len(panels), 1, squeeze=False)
    for (ax,), chart in zip(axes, panels, strict=True):
        _draw(ax, chart, found, look)
    axes[0][0].set_title(
        "\n".join(wrap(fixed_text(found), _SETTINGS_COLUMNS)), loc="right", color=look["text"], fontsize=8,
        parse_math=False,
    )  # fmt: skip
    if has_key:
        handles = [_sample(ax, index, curve) for index, curve in enumerate(panels[0].curves)]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=n_columns, facecolor=look["back"],
            edgecolor=look["faint"], labelcolor=look["text"], handlelength=3.5,
        )  # fmt: skip
    return figure


def _style(index: int) -> dict[str, Any]:
    """Colour, marker and dashes of a line: no two lines have the same colour and dashes."""
    dashes = _DASHES[index // len(_COLORS) % len(_DASHES)]
    return {
        "color": _COLORS[index % len(_COLORS)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "linestyle": dashes,
    }


def _sample(ax: Any, index: int, curve: Curve) -> Any:
    """Line and marker together, for the key alone."""
    (line,) = ax.plot([], [], **_style(index), markersize=5, label=_label(curve))
    return line


def _draw(ax: Any, chart: Chart, found: Sweep, look: Mapping[str, str]) -> None:
    """One chart on matplotlib's axes."""
    xs = _places(chart)
    for index, curve in enumerate(chart.curves):
        style, line = _style(index), curve.line_within(xs[0], xs[-1])
        below = min(_n_above(chart, index), _MOST_BELOW)
        ax.plot(*_columns(_dense(line)), **style | {"marker": ""}, linewidth=1.6 + 2.4 * below)
        ax.plot(*_columns(curve.points), **style | {"linestyle": ""}, markersize=5 + 4 * below)
        if curve.best is not None and xs[0] <= curve.best[0] <= xs[-1]:
            star = {"color": style["color"], "markersize": 14 + 6 * below, "markeredgecolor": look["back"]}
            ax.plot([curve.best[0]], [curve.best[1]], "*", **star, zorder=5 - below / 10)
    for limit in chart.near:
        ax.axhline(limit.value, color=look["limit"], linestyle="--", linewidth=1.5)
    _name_limits(ax, chart, look)
    if is_log(xs):
        ax.set_xscale("log", base=2)
    _ticks(ax, chart, xs)
    ax.set_ylim(bottom=0, top=chart.top)
    ax.set_title(chart.title.partition(":")[0] if ": " in chart.title else "", loc="left", color=look["text"])
    ax.set_ylabel(chart.unit, color=look["text"])
    ax.set_xlabel(AXIS_NAMES[found.axis], color=look["text"])
    _theme(ax, look)


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


def _label(curve: Curve) -> str:
    """The curve in the key, with the largest context that fits."""
    best = "" if curve.best is None else f"fits up to -c {curve.best[2].replace(',', '')}"
    return ": ".join(text for text in (curve.name, best) if text)


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


def _shown(text: str) -> str:
    """`text` on one line, without what no document may hold."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _data_uri(svg: bytes) -> str:
    """The picture inside the page: an image of its own, so that names in two pictures cannot collide."""
    from base64 import b64encode

    return f"data:image/svg+xml;base64,{b64encode(svg).decode()}"


def _answers(found: Sweep) -> list[tuple[str, str]]:
    """Each line and what it says."""
    return [(series.name, answer_of(found, series)[0]) for series in found.series]


def _alt(found: Sweep) -> str:
    """The picture in words."""
    answers = "; ".join(f"{name}: {text}" if name else text for name, text in _answers(found))
    devices = ", ".join(devices_of(found)[0])
    return f"Plot of the memory on {devices} by {AXIS_NAMES[found.axis]}. {answers}."


def _tables(found: Sweep) -> list[str]:
    devices, rest = devices_of(found)
    if len(found.series) == 1:
        named: list[tuple[str, Table]] = [("GiB by device", device_table(found, devices))]
    else:
        named = [(caption(found, device), grid_table(found, device)) for device in devices]
    notes = [*rest, *(f"Note: {problem}" for problem in problems(found))]
    if any(_mark(cell) for _, table in named for row in table.rows for cell in row):
        notes.insert(0, "! is more than the device may use, ? not known.")
    return [*(_table(title, table) for title, table in named), *(f"<p>{escape(text)}</p>" for text in notes)]


def _table(title: str, table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(h.strip())}</th>' for h in table.headers)
    body = "".join(
        f'<tr><th scope="row">{escape(_text(row[0]))}</th>{"".join(map(_td, row[1:]))}</tr>'
        for row in table.rows
    )
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{escape(title)}">'
        f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n"
    )


def _td(cell: Cell) -> str:
    bad = ' class="bad"' if not isinstance(cell, str) and cell[1] == "bad" else ""
    return f"<td{bad}>{escape(_text(cell))}</td>"


def _text(cell: Cell) -> str:
    return (cell if isinstance(cell, str) else cell[0]).strip()


def _mark(cell: Cell) -> bool:
    return _text(cell).endswith(("!", "?"))
