"""The screen of a sweep: largest contexts, plots, tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from budget.planning.grid import Sweep
from budget.render.chart import Chart
from budget.render.plot import plot
from budget.render.plot_marks import MAX_CURVES
from budget.render.screen import GAP, Block, Cell, Drawing, Table, Text, Title
from budget.render.sweep_charts import charts
from budget.render.sweep_devices import devices_of
from budget.render.sweep_tables import caption, device_table, grid_table, marks
from budget.render.sweep_words import AXIS_NAMES, answer_of, fixed_text, problems


def sweep_screen(found: Sweep, *, name: str, suggestions: Sequence[Mapping[str, Any]] = ()) -> list[Block]:
    """Largest contexts first, then a plot and a table for each device that the grid changes.

    Args:
        suggestions: where nothing fits, what would make the point that comes closest fit (`suggestion_object`).
    """
    changing, rest = devices_of(found)
    all_charts = charts(found)
    blocks: list[Block] = [
        Title(f"memory by {AXIS_NAMES[found.axis]}", "", name),
        Text(fixed_text(found), "dim"),
        *_answers(found),
        *_what_to_do(found, name, suggestions),
    ]
    if any(len(chart.curves) > MAX_CURVES for chart in all_charts):
        blocks.append(Text(f"More than {MAX_CURVES} lines are no plot; the tables have them.", "dim"))
    if len(found.series) == 1:
        blocks += [block for chart in all_charts for block in _drawings(chart)]
        blocks += [GAP, device_table(found, changing)]
    else:
        for device, chart in zip(changing, all_charts, strict=True):
            table = grid_table(found, device)
            blocks += [*_drawings(chart), GAP, Text(caption(found, device), "bold"), table]
    if text := marks(found, changing):
        blocks.append(Text(text, "dim"))
    blocks += [GAP, *(Text(text, "dim") for text in rest)] if rest else []
    return blocks + [Text(f"Note: {problem}", "dim") for problem in problems(found)]


def _answers(found: Sweep) -> list[Block]:
    """What each line says."""
    told = [(series.name, *answer_of(found, series)) for series in found.series]
    if len(told) == 1:
        return [Text(*told[0][1:])]
    rows: list[list[Cell]] = [[name, (text, style)] for name, text, style in told]
    return [GAP, Table(_headers(found), rows, left=(0, 1), wrap=1)]


def _headers(found: Sweep) -> list[str]:
    """Of the table of answers."""
    names = ", ".join(name for name in found.axes if name != found.axis)
    return [names.replace("ctk, ctv", "K/V"), "answer"]


def _drawings(chart: Chart) -> list[Block]:
    """The plot below its title; none where a single point or too many lines make none."""
    if len(chart.xs) < 2 or len(chart.curves) > MAX_CURVES:
        return []
    return [GAP, Drawing(lambda look: [((chart.title, "bold"),), *plot(chart, look)])]


def _what_to_do(found: Sweep, name: str, suggestions: Sequence[Mapping[str, Any]]) -> list[Block]:
    """The next step where nothing fits, or nothing says what a device may use."""
    if found.outcomes == {"unknown"}:
        unknown = dict.fromkeys(d.name for a in found.plans for d in a.devices if d.fits is None)
        budgets = [[f"--budget {d}=SIZE", f"what {d} may use"] for d in unknown]
        return [Text("Next:", "bold"), Table((), budgets, left=(0, 1), indent=2)] if budgets else []
    if found.outcomes != {"does_not_fit"}:
        return []
    enough = [s for s in suggestions if s["fits"]]
    if not enough:
        of = shlex.quote(name)
        further = [
            [f"budget advise {of}", "settings that fit"],
            [f"budget hardware --fits {of}", "cards that do"],
        ]
        return [Text("Next:", "bold"), Table((), further, left=(0, 1), indent=2)]
    at = "" if found.nearest is None else f" at -c {found.nearest.layout.params.n_ctx}"
    rows: list[list[Cell]] = [[(s["flag"], "good"), f"costs {s['cost']}"] for s in enough]
    return [Text(f"What makes it fit{at}:", "bold"), Table((), rows, left=(0, 1), wrap=1, indent=2)]
