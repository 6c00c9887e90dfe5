"""A grid of plans: as tables, as plots in text, as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from budget.planning.fit import Plan
from budget.planning.parts import Row, rows_of
from budget.planning.sweep import Point, Series, Sweep
from budget.render.bars import gib
from budget.render.json import ENGINE, device_object, model_object
from budget.render.lines import Line, Look, plain, wrapped
from budget.render.plain import table
from budget.render.plot import Chart, Curve, marker, plot, series_style
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


def sweep_lines(found: Sweep, *, name: str, look: Look) -> list[Line]:
    """Largest contexts first, then a plot and a table for each device that the grid changes."""
    lines: list[Line] = [
        ((f"{name}", "bold"), (f": memory by {AXIS_NAMES[found.axis]}", "")),
        *_answers(found, look),
    ]
    changing, rest = devices_of(found)
    single = len(found.series) == 1
    for device in changing:
        lines += [plain(""), *_plot(found, device, look), *_key(found, look)]
        lines += [] if single else [plain(""), *_grid(*grid_table(found, device), look)]
    if single and changing:
        lines += [plain(""), *_grid(*device_table(found, changing), look)]
    if rest:
        lines += [plain(""), *(line for text in rest for line in wrapped(text, look, "dim"))]
    for problem in problems(found):
        lines += wrapped(f"Note: {problem}", look, "dim")
    return lines


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


def _answers(found: Sweep, look: Look) -> list[Line]:
    """What each series says: the largest context that fits, or the values that do."""
    lines: list[Line] = []
    width = max(len(s.name) for s in found.series)
    for series in found.series:
        head = f"{series.name.ljust(width)}  " if width else ""
        if found.axis == "ctx":
            text = "no context fits" if series.max_ctx is None else f"largest context that fits: {format_count(series.max_ctx)}"  # fmt: skip # noqa: E501
            good = series.max_ctx is not None
        else:
            fitting = [p.values[found.axis] for p in series.points if p.plan is not None and p.plan.fits]
            text = f"fits at {', '.join(map(str, fitting))}" if fitting else "nothing fits"
            good = bool(fitting)
        lines += wrapped(f"{head}{text}" if not width else f"{head.rstrip()}: {text}", look, "good" if good else "bad")  # fmt: skip # noqa: E501
    return lines


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


def _plot(found: Sweep, device: str, look: Look) -> list[Line]:
    chart = _chart(found, device)
    if len({x for curve in chart.curves for x, _ in curve.points}) < 2:
        return [plain(device, "bold")]
    return plot(chart, look)


def _key(found: Sweep, look: Look) -> list[Line]:
    """The marker of each series."""
    spans = [(" " * 4, "")]
    for index, series in enumerate(found.series):
        if series.name:
            spans += [(marker(index, look), series_style(index)), (f" {series.name}   ", "")]
    if any(s.max_ctx for s in found.series):
        spans += [("★" if look.unicode else "@", "good"), (" largest that fits", "")]
    return [tuple(spans)] if len(spans) > 1 else []


def _grid(headers: Sequence[str], rows: Sequence[Sequence[str]], look: Look) -> list[Line]:
    """The table, in blocks where the screen is too narrow for all columns."""
    lines: list[Line] = []
    first = 1
    while first < len(headers):
        last = len(headers)
        while last > first + 1 and _width(headers, rows, first, last) > look.width:
            last -= 1
        cut = [[row[0], *row[first:last]] for row in rows]
        head, *body = table([headers[0], *headers[first:last]], cut)
        lines += [plain(head, "dim"), *(_marked(text) for text in body)]
        first = last
    return lines


def _width(headers: Sequence[str], rows: Sequence[Sequence[str]], first: int, last: int) -> int:
    columns = [0, *range(first, last)]
    return sum(max(len(r[i]) for r in (headers, *rows)) + 2 for i in columns) - 2


def _marked(text: str) -> Line:
    """A row of the grid with its shortfalls in the colour of what does not fit."""
    spans: list[tuple[str, str]] = []
    rest = text
    while "!" in rest:
        at = rest.index("!") + 1
        start = rest.rstrip("!").rfind(" ", 0, at - 1) + 1
        spans += [(rest[:start], ""), (rest[start:at], "bad")]
        rest = rest[at:]
    return (*spans, (rest, ""))


def grid_table(found: Sweep, device: str) -> tuple[list[str], list[list[str]]]:
    """What `device` needs at each point, in GiB; `!` where it is more than it may use."""
    headers = [found.axis, *(f"{s.name or device} " for s in found.series)]
    rows = []
    for i, value in enumerate(found.axes[found.axis]):
        rows.append([tick(found.axis, value), *(_cell(s.points[i], device) for s in found.series)])
    return headers, rows


def device_table(found: Sweep, devices: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The same for a single series: a column per device."""
    (series,) = found.series
    values = found.axes[found.axis]
    rows = [
        [tick(found.axis, value), *(_cell(point, device) for device in devices)]
        for value, point in zip(values, series.points, strict=True)
    ]
    return [found.axis, *(f"{device} " for device in devices)], rows


def _cell(point: Point, device: str) -> str:
    row = _row(point.plan, device)
    if row is None:
        return "- "
    return f"{gib(row.required_bytes)}{'!' if row.fits is False else '?' if row.fits is None else ' '}"


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


def sweep_rows(found: Sweep) -> tuple[list[str], list[list[object]]]:
    """A row per point and device, in bytes, for CSV."""
    names = (
        "weights",
        "context",
        "compute",
        "output",
        "extras",
        "overhead",
        "reserve",
        "required",
        "available",
    )
    headers = [*found.axes, "verdict", "device", *(f"{n}_bytes" for n in names), "fits"]
    rows: list[list[object]] = []
    for series in found.series:
        for point in series.points:
            values = [point.values[axis] for axis in found.axes]
            if point.plan is None:
                rows.append([*values, "unknown", None, *[None] * (len(names) + 1)])
                continue
            for device in point.plan.devices:
                sizes = [getattr(device, f"{n}_bytes") for n in names]
                rows.append([*values, point.plan.verdict, device.name, *sizes, device.fits])
    return headers, rows


def sweep_markdown(found: Sweep, *, name: str) -> str:
    """Answers and a table per device."""
    from budget.render.markdown import code, escape, markdown_table

    lines = [
        f"**{code(name)}**: memory by {AXIS_NAMES[found.axis]}, GiB; `!` is more than the device may use",
        "",
    ]
    wide = Look(width=10_000)
    lines += [f"- {escape(''.join(text for text, _ in line))}" for line in _answers(found, wide)]
    changing, _ = devices_of(found)
    if len(found.series) == 1:
        lines += ["", *markdown_table(*device_table(found, changing))]
    else:
        for device in changing:
            lines += ["", f"**{device}**", "", *markdown_table(*grid_table(found, device))]
    lines += ["", *(f"- Note: {escape(p)}" for p in problems(found))] if problems(found) else []
    return "\n".join(lines)
