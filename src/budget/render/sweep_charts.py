"""The points of a sweep as charts, for plots in text and for pictures."""

from __future__ import annotations

from collections.abc import Sequence

from budget.planning.grid import Series, Sweep
from budget.planning.parts import binding
from budget.render.chart import Chart, Curve, Limit
from budget.render.sweep_devices import devices_of, limit_bytes, rows_along
from budget.render.sweep_words import AXIS_NAMES, tick
from budget.units import GiB, MiB, format_count, format_size


def charts(found: Sweep) -> list[Chart]:
    """What is plotted: for a single line all devices in one chart, else a chart for each device."""
    devices = devices_of(found)[0]
    if len(found.series) == 1:
        return [_chart(found, devices)] if devices else []
    return [_chart(found, [device]) for device in devices]


def _chart(found: Sweep, devices: Sequence[str]) -> Chart:
    """A curve for each line and device."""
    highest = max((row.required_bytes for d in devices for row in rows_along(found, d)), default=0)
    unit, unit_bytes = ("GiB", GiB) if highest >= GiB else ("MiB", MiB)
    head = f"{devices[0]}: " if len(devices) == 1 else ""
    return Chart(
        title=f"{head}{unit} by {AXIS_NAMES[found.axis]}",
        unit=unit,
        curves=tuple(
            _curve(found.axis, series, device, devices, unit_bytes)
            for series in found.series
            for device in devices
        ),
        limits=_limits(found, devices, unit_bytes),
        ticks=_ticks(found),
    )


def _limits(found: Sweep, devices: Sequence[str], unit_bytes: int) -> tuple[Limit, ...]:
    """What the devices may use, those that may use the same in one."""
    shared: dict[int, list[str]] = {}
    for device in devices:
        size_bytes = limit_bytes(found, device)
        if size_bytes is not None:
            shared.setdefault(size_bytes, []).append(device)
    return tuple(
        Limit(
            value=size_bytes / unit_bytes,
            name=f"{'' if len(devices) == 1 else ', '.join(names) + ' '}may use {format_size(size_bytes)}",
        )
        for size_bytes, names in shared.items()
    )


def _ticks(found: Sweep) -> tuple[tuple[int, str], ...]:
    """A label for each place along the axis where there is a point."""
    ticks: dict[int, str] = {}
    for series in found.series:
        for point in series.points:
            x = point.position(found.axis)
            if x is not None:
                ticks.setdefault(x, tick(found.axis, point.values[found.axis]))
    return tuple(sorted(ticks.items()))


def _curve(axis: str, series: Series, device: str, devices: Sequence[str], unit_bytes: int) -> Curve:
    """One line on one of the `devices` that share its chart."""
    points: dict[int, float] = {}
    for point in series.points:
        x, row = point.position(axis), point.rows.get(device)
        if x is not None and row is not None:
            points.setdefault(x, row.required_bytes / unit_bytes)
    best = None
    row = None if series.best is None else series.best.rows.get(device)
    if series.max_ctx is not None and row is not None and device in _binding(series, devices):
        best = (series.max_ctx, row.required_bytes / unit_bytes, format_count(series.max_ctx))
    name = series.name if len(devices) == 1 else device
    return Curve(name=name, points=tuple(sorted(points.items())), best=best)


def _binding(series: Series, devices: Sequence[str]) -> Sequence[str]:
    """Of the devices that share a chart, the one that ends the context; all of them where another does."""
    tightest = None if series.best is None else binding(tuple(series.best.rows.values()))
    return devices if tightest is None or tightest.name not in devices else [tightest.name]
