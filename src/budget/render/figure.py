"""The charts of a sweep as pictures, through matplotlib, which the extra `plot` installs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from budget import __version__
from budget.errors import UsageError
from budget.planning.grid import Sweep
from budget.render.chart import Curve
from budget.render.figure_chart import draw_chart
from budget.render.figure_look import COLORS, FONTS, LIGHT, MAX_LINES, line_style
from budget.render.figure_words import in_words, picture_title, shown
from budget.render.sweep_charts import charts
from budget.render.sweep_words import AXIS_NAMES, fixed_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 8.5
"""Inches."""
_INCHES_PER_CHART = 3.4
_TALLER = 1.4
"""With more lines than colours."""
_PAD = 0.1
"""Around each chart and the picture, inches."""
_TITLE_COLUMNS = 80
_SETTINGS_COLUMNS = 98
_KEY_COLUMNS = 96
_DPI = 160


def picture(found: Sweep, name: str, form: str, look: Mapping[str, str] = LIGHT) -> bytes:
    """The charts as a file; equal sweeps give equal bytes.

    Args:
        form: `svg` or `png`.
    """
    require_matplotlib()
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
        drawn = draw(found, name, look)
        out = io.BytesIO()
        maker = f"budget {__version__}"
        metadata: dict[str, str | None] = {
            "Title": picture_title(found, name),
            "Description": in_words(found),
        }
        metadata |= {"Date": None, "Creator": maker} if form == "svg" else {"Software": maker}
        drawn.savefig(out, format=form, dpi=_DPI, metadata=metadata, facecolor=look["back"])
        return out.getvalue()


def draw(found: Sweep, name: str, look: Mapping[str, str]) -> Figure:
    """The charts below each other under one title, with one key for all."""
    panels = charts(found)
    check_lines(max(len(chart.curves) for chart in panels))
    title = wrap(shown(name), _TITLE_COLUMNS, break_long_words=True)
    entries = [_entry(curve) for curve in panels[0].curves]
    n_columns = max(1, min(4, _KEY_COLUMNS // (max(map(len, entries)) + 6)))
    n_key_lines = -(-len(entries) // n_columns) if any(entries) else 0
    each = _INCHES_PER_CHART * (_TALLER if len(entries) > len(COLORS) else 1)
    height = each * len(panels) + 0.2 * (len(title) + n_key_lines) + 0.3
    figure = require_matplotlib()(figsize=(_WIDTH, height), layout="constrained")
    figure.set_facecolor(look["back"])
    figure.suptitle("\n".join(title), color=look["text"], fontweight="bold", parse_math=False)
    axes = [row[0] for row in figure.subplots(len(panels), 1, squeeze=False)]
    for ax, chart in zip(axes, panels, strict=True):
        draw_chart(ax, chart, AXIS_NAMES[found.axis], look)
    axes[0].set_title(
        "\n".join(wrap(fixed_text(found), _SETTINGS_COLUMNS)), loc="right", color=look["text"], fontsize=8,
        parse_math=False,
    )  # fmt: skip
    if any(entries):
        figure.legend(
            handles=[_sample(axes[-1], index, text) for index, text in enumerate(entries)],
            loc="outside lower center", ncols=n_columns, facecolor=look["back"], edgecolor=look["faint"],
            labelcolor=look["text"], handlelength=3.5,
        )  # fmt: skip
    return figure


def _entry(curve: Curve) -> str:
    """The curve in the key, with the largest context that fits."""
    best = "" if curve.best is None else f"fits up to -c {curve.best[2].replace(',', '')}"
    return ": ".join(text for text in (curve.name, best) if text)


def _sample(ax: Any, index: int, text: str) -> Any:
    """Line and marker together, for the key alone."""
    (line,) = ax.plot([], [], **line_style(index), markersize=5, label=text)
    return line


def _fonts() -> list[str]:
    """The families of `FONTS` that are here: matplotlib complains about others."""
    from matplotlib.font_manager import fontManager

    here = {font.name for font in fontManager.ttflist}
    return [name for name in FONTS if name in here]


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
    try:
        from matplotlib.figure import Figure
    except ImportError as e:
        raise UsageError(
            "--svg, --png and --html need matplotlib, which is not installed",
            hint="pip install 'gguf-budget[plot]'",
        ) from e
    return Figure
