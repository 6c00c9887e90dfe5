"""Which devices a grid changes, and what a device needs at each of its points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from budget.planning.grid import Sweep
from budget.planning.parts import Row
from budget.record import record
from budget.units import format_size

_CHANGES = 1 << 20
"""A device whose need moves by less over the grid counts as unchanged, bytes."""
_SHARE = 20
"""A device has a plot where the grid moves its need by one part in so many of what it may use, and of what moves most.
"""


@record
class _Device:
    """What one device needs over the grid."""

    name: str
    low_bytes: int
    high_bytes: int
    limit_bytes: int | None
    """What it may use; None where it has no limit or it is not known."""

    @property
    def move_bytes(self) -> int:
        """By how much the grid moves it."""
        return self.high_bytes - self.low_bytes


def devices_of(found: Sweep) -> tuple[list[str], list[str]]:
    """Devices that the grid changes enough for a plot, and what the others need in words."""
    devices = _devices(found)
    most = max((d.move_bytes for d in devices), default=0)
    changing = [
        d
        for d in devices
        if d.move_bytes >= _CHANGES and d.move_bytes * _SHARE >= max(d.limit_bytes or d.high_bytes, most)
    ]
    if not changing and devices:
        # nothing moves much: the device that moves most is still what was asked for
        changing = [max(devices, key=lambda d: (d.move_bytes, d.high_bytes))]
    rest = [_in_words(d) for d in devices if d not in changing and d.high_bytes]
    return [d.name for d in changing], rest


def _devices(found: Sweep) -> list[_Device]:
    rows_by_name: dict[str, list[Row]] = {}
    for point in found.points:
        for name, row in point.rows.items():
            rows_by_name.setdefault(name, []).append(row)
    return [
        _Device(
            name=name,
            low_bytes=min(row.required_bytes for row in rows),
            high_bytes=max(row.required_bytes for row in rows),
            limit_bytes=_limit_bytes(rows),
        )
        for name, rows in rows_by_name.items()
    ]


def _in_words(device: _Device) -> str:
    low, high, limit = format_size(device.low_bytes), format_size(device.high_bytes), device.limit_bytes
    span = high if device.move_bytes < _CHANGES or low == high else f"{low} to {high}"
    of = "" if limit is None else f" of {format_size(limit)}"
    short = ": too little somewhere" if limit is not None and device.high_bytes > limit else ""
    return f"{device.name} needs {span}{of}{short}"


def rows_along(found: Sweep, device: str) -> Iterator[Row]:
    """What `device` needs at every point where there is a plan with it."""
    return (point.rows[device] for point in found.points if device in point.rows)


def limit_bytes(found: Sweep, device: str) -> int | None:
    """What `device` may use; None where it has no limit or it is not known."""
    return _limit_bytes(rows_along(found, device))


def _limit_bytes(rows: Iterable[Row]) -> int | None:
    return next((r.available for r in rows if isinstance(r.available, int)), None)
