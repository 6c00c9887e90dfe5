"""A grid of plans: as tables, as plots in text, as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from budget.planning.fit import DevicePlan, Plan
from budget.planning.parts import Row, rows_of
from budget.planning.sweep import Point, Series, Sweep
from budget.render.json import ENGINE, device_object, model_object
from budget.render.lines import Line, Look
from budget.render.plot import Chart, Curve, marker, plot, series_style
from budget.render.screen import GAP, Block, Cell, Drawing, Table, Text, Title
from budget.render.words import gib
from budget.units import GiB, format_count, format_size

AXIS_NAMES = {
    "ctx": "context (-c)",
    "ngl": "layers on GPUs (-ngl)",
    "np": "slots (-np)",
    "ub": "micro-batch (-ub)",
}
_CHANGES = 1 << 20
"""A device whose need moves by less over the grid counts as unchanged, bytes."""
_SHARE = 20
"""A device has a plot where the grid moves its need by one part in so many of what it may use."""


def sweep_screen(found: Sweep, *, name: str) -> list[Block]:
    """Largest contexts first, then a plot and a table for each device that the grid changes."""
    changing, rest = devices_of(found)
    blocks: list[Block] = [Title(f"memory by {AXIS_NAMES[found.axis]}", "", name), *_answers(found)]
    single = len(found.series) == 1
    for device in changing:
        blocks += [GAP, Text(f"{device}, GiB by {AXIS_NAMES[found.axis]}", "bold"), _drawing(found, device)]
        if not single:
            blocks += [GAP, grid_table(found, device)]
    if single and changing:
        blocks += [GAP, device_table(found, changing)]
    if any(d.fits is False for answer in found.plans for d in rows_of(answer) if d.name in changing):
        blocks.append(Text("! more than the device may use", "dim"))
    blocks += [GAP, *(Text(text, "dim") for text in rest)] if rest else []
    return blocks + [Text(f"Note: {problem}", "dim") for problem in problems(found)]


def devices_of(found: Sweep) -> tuple[list[str], list[str]]:
    """Devices that the grid changes enough for a plot, and what the others need in words."""
    needs: dict[str, list[Row]] = {}
    for answer in found.plans:
        for row in rows_of(answer):
            needs.setdefault(row.name, []).append(row)
    changing, rest = [], []
    for name, rows in needs.items():
        low, high = min(r.required_bytes for r in rows), max(r.required_bytes for r in rows)
        cap = rows[0].available if isinstance(rows[0].available, int) else high
        if (high - low) * _SHARE >= cap and high - low >= _CHANGES:
            changing.append(name)
        elif high:
            span = (
                format_size(high) if high - low < _CHANGES else f"{format_size(low)} to {format_size(high)}"
            )
            of = f" of {format_size(cap)}" if cap != high else ""
            rest.append(f"{name} needs {span}{of}")
    if not changing and needs:
        # nothing moves much: the device that moves most is still what was asked for
        changing = [max(needs, key=lambda n: max(r.required_bytes for r in needs[n]) - min(r.required_bytes for r in needs[n]))]  # fmt: skip # noqa: E501
        rest = [text for text in rest if not text.startswith(f"{changing[0]} needs")]
    return changing, rest


def charts(found: Sweep) -> list[Chart]:
    """The chart of each device that the grid changes."""
    return [_chart(found, device) for device in devices_of(found)[0]]


def tick(axis: str, value: object) -> str:
    """A value of an axis for people: contexts in steps of 1024 where they are whole."""
    if axis == "ctx" and isinstance(value, int):
        return f"{value // 1024}k" if value % 1024 == 0 else format_count(value)
    return str(value)


def problems(found: Sweep) -> list[str]:
    """Why points are missing or not known, each reason once."""
    texts: dict[str, None] = {}
    for series in found.series:
        for point in series.points:
            reasons = [point.problem] if point.plan is None else list(point.plan.reasons)
            for reason in reasons:
                texts[f"{series.name}: {reason}" if series.name else str(reason)] = None
    return list(texts)


def _answers(found: Sweep) -> list[Block]:
    """What each series says: the largest context that fits, or the values that do."""
    blocks: list[Block] = []
    for series in found.series:
        if found.axis == "ctx":
            good = series.max_ctx is not None
            text = (
                f"largest context that fits: {format_count(series.max_ctx)}"
                if series.max_ctx
                else "no context fits"
            )
        else:
            fitting = [p.values[found.axis] for p in series.points if p.plan is not None and p.plan.fits]
            good = bool(fitting)
            text = f"fits at {', '.join(map(str, fitting))}" if fitting else "nothing fits"
        blocks.append(Text(f"{series.name}: {text}" if series.name else text, "good" if good else "bad"))
    return blocks


def _row(answer: Plan | None, device: str) -> Row | None:
    return None if answer is None else next((r for r in rows_of(answer) if r.name == device), None)


def _chart(found: Sweep, device: str) -> Chart:
    limit = next(
        (r.available for a in found.plans for r in rows_of(a) if r.name == device and isinstance(r.available, int)),
        None,
    )  # fmt: skip
    numbers = [v for v in found.axes[found.axis] if isinstance(v, int)]
    return Chart(
        title=f"{device}, GiB by {AXIS_NAMES[found.axis]}",
        curves=tuple(_curve(found, series, device) for series in found.series),
        limit=None if limit is None else limit / GiB,
        limit_name="" if limit is None else f"may use {gib(limit)}",
        ticks=tuple((v, tick(found.axis, v)) for v in numbers),
    )


def _curve(found: Sweep, series: Series, device: str) -> Curve:
    points = []
    for point in series.points:
        x, row = point.values[found.axis], _row(point.plan, device)
        if isinstance(x, int) and row is not None:
            points.append((x, row.required_bytes / GiB))
    best = None
    row = _row(series.at_max, device)
    if series.max_ctx is not None and row is not None:
        best = (series.max_ctx, row.required_bytes / GiB, format_count(series.max_ctx))
    return Curve(name=series.name, points=tuple(sorted(points)), best=best)


def _drawing(found: Sweep, device: str) -> Drawing:
    """The plot and its key; nothing where there are not two points."""
    chart = _chart(found, device)
    if len({x for curve in chart.curves for x, _ in curve.points}) < 2:
        return Drawing(lambda _look: ())
    return Drawing(lambda look: [*plot(chart, look), *_key(found, look)])


def _key(found: Sweep, look: Look) -> list[Line]:
    """The marker of each series."""
    spans = [(" " * 4, "")]
    for index, series in enumerate(found.series):
        if series.name:
            spans += [(marker(index, look), series_style(index)), (f" {series.name}   ", "")]
    if any(s.max_ctx for s in found.series):
        spans += [("★" if look.unicode else "@", "good"), (" largest that fits", "")]
    return [tuple(spans)] if len(spans) > 1 else []


def grid_table(found: Sweep, device: str) -> Table:
    """What `device` needs at each point, in GiB; `!` where it is more than it may use."""
    headers = [found.axis, *(f"{s.name or device} " for s in found.series)]
    rows = [
        [tick(found.axis, value), *(_cell(s.points[i], device) for s in found.series)]
        for i, value in enumerate(found.axes[found.axis])
    ]
    return Table(headers, rows)


def device_table(found: Sweep, devices: Sequence[str]) -> Table:
    """The same for a single series: a column per device."""
    (series,) = found.series
    rows = [
        [tick(found.axis, value), *(_cell(point, device) for device in devices)]
        for value, point in zip(found.axes[found.axis], series.points, strict=True)
    ]
    return Table([found.axis, *(f"{device} " for device in devices)], rows)


def _cell(point: Point, device: str) -> Cell:
    row = _row(point.plan, device)
    if row is None:
        return "- "
    mark, style = {False: ("!", "bad"), None: ("?", "warn"), True: (" ", "")}[row.fits]
    return f"{gib(row.required_bytes)}{mark}", style


def sweep_object(found: Sweep, *, path: str, file_bytes: int | None) -> dict[str, Any]:
    """`budget/sweep/v1`; there is at least one plan."""
    model = found.plans[0].request.model
    return {
        "schema": "budget/sweep/v1",
        "engine": ENGINE,
        "model": model_object(model, path=path, file_bytes=file_bytes),
        "axis": found.axis,
        "axes": {name: list(values) for name, values in found.axes.items()},
        "series": [{"settings": dict(s.values), "max_ctx": s.max_ctx} for s in found.series],
        "points": [_point_object(point) for series in found.series for point in series.points],
    }


def _point_object(point: Point) -> dict[str, Any]:
    answer = point.plan
    return {
        "settings": dict(point.values),
        "n_ctx": None if answer is None else answer.layout.params.n_ctx,
        "verdict": "unknown" if answer is None else answer.verdict,
        "problem": point.problem if answer is None else "; ".join(answer.reasons) or None,
        "devices": [] if answer is None else [device_object(d) for d in answer.devices],
    }


def sweep_rows(found: Sweep) -> list[dict[str, Any]]:
    """A row per point and device for CSV, with the names of the JSON."""
    rows: list[dict[str, Any]] = []
    for point in (point for series in found.series for point in series.points):
        first = {**point.values, "verdict": "unknown" if point.plan is None else point.plan.verdict}
        devices = [] if point.plan is None else point.plan.devices
        rows += [first | _device_row(device) for device in devices] or [first]
    return rows


def _device_row(device: DevicePlan) -> dict[str, Any]:
    found = device_object(device)
    sizes = {key: value for key, value in found.items() if key.endswith("_bytes")}
    return {"device": found["name"], **sizes, "fits": found["fits"]}
