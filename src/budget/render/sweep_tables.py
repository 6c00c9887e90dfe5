"""The points of a sweep as tables: what each device needs, in GiB."""

from __future__ import annotations

from collections.abc import Sequence

from budget.planning.grid import Point, Sweep
from budget.planning.parts import unlimited
from budget.planning.usage import TOTAL
from budget.render.screen import Cell, Table
from budget.render.sweep_devices import limit_bytes, rows_along
from budget.render.sweep_words import tick
from budget.render.words import gib, verdict_cell
from budget.units import format_count


def caption(found: Sweep, device: str) -> str:
    """What the table of one device shows."""
    limit = limit_bytes(found, device)
    name = f"{device} (one pool)" if device == TOTAL else device
    return f"GiB on {name}" + ("" if limit is None else f", which may use {gib(limit)}")


def grid_table(found: Sweep, device: str) -> Table:
    """What `device` needs at each point, in GiB; `!` where it is more than it may use."""
    headers = [found.axis, *(f"{s.name} " for s in found.series)]
    rows = [
        [tick(found.axis, value), *(_cell(s.points[i], device) for s in found.series)]
        for i, value in enumerate(found.axes[found.axis])
    ]
    return Table(headers, rows)


def device_table(found: Sweep, devices: Sequence[str]) -> Table:
    """The same for a single line: a column per device, and the verdict; what devices may use is the last row."""
    (series,) = found.series
    rows: list[list[Cell]] = [
        [tick(found.axis, point.values[found.axis]), *_cells(point, devices), verdict_cell(point.verdict)]
        for point in series.points
    ]
    best, n_max = series.best, series.max_ctx
    if best is not None and n_max is not None and n_max not in found.axes["ctx"]:
        at = sum(isinstance(v, int) and v < n_max for v in found.axes["ctx"])
        rows.insert(at, [format_count(n_max), *_cells(best, devices), ("largest", "good")])
    rows.append(["may use", *(_limit_cell(found, device) for device in devices), ""])
    headers = [found.axis, *(f"{device} GiB " for device in devices), "verdict"]
    return Table(headers, rows, left=(0, len(headers) - 1))


def _limit_cell(found: Sweep, device: str) -> Cell:
    limit = limit_bytes(found, device)
    if limit is not None:
        return f"{gib(limit)} "
    return "no limit " if any(map(unlimited, rows_along(found, device))) else "unknown "


def _cells(point: Point, devices: Sequence[str]) -> list[Cell]:
    return [_cell(point, device) for device in devices]


def _cell(point: Point, device: str) -> Cell:
    row = point.rows.get(device)
    if row is None:
        return "- "
    mark, style = {False: ("!", "bad"), None: ("?", "warn"), True: (" ", "")}[row.fits]
    return f"{gib(row.required_bytes)}{mark}", style


def marks(found: Sweep, devices: Sequence[str]) -> str:
    """What the marks in the tables mean, those that there are."""
    fits = {row.fits for device in devices for row in rows_along(found, device)}
    texts = [
        "! more than the device may use" if False in fits else "",
        "? not known what the device may use" if None in fits else "",
        "- no plan" if any(p.plan is None for p in found.points) else "",
    ]
    return ", ".join(text for text in texts if text)
