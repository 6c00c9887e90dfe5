"""A memory profile as a screen."""

from __future__ import annotations

from typing import Any

from budget.render.screen import GAP, Block, Table, Text
from budget.units import format_count, format_size

_POOLS = (
    ("all devices", "device_local"),
    ("host", "host_visible"),
    ("both, where they are one memory", "unified"),
)

_FEW = 2
"""Ranges between the first and the last that a screen still shows."""


def profile_screen(data: dict[str, Any]) -> list[Block]:
    """`budget/profile/v1` as a table: a row per pool and per range of contexts in which a token costs the same."""
    rows = [row for title, curve in _curves(data) for row in _rows(title, curve)]
    return [
        Text(f"bytes by total context (-c), {data['basis']}"),
        GAP,
        Table(["memory", "contexts", "fixed", "bytes per token"], rows),
    ]


def profile_rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    """A row per pool or device and range of contexts, for CSV."""
    return [{"memory": title, **part} for title, curve in _curves(data) for part in curve["ranges"]]


def _curves(data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    pools = [(title, data[key]) for title, key in _POOLS]
    return pools + [(row["name"], row) for row in data["devices"]]


def _rows(title: str, curve: dict[str, Any]) -> list[list[str]]:
    """First and last range; the bends between are for `--json`."""
    rows = [_row(part) for part in curve["ranges"]]
    between = rows[1:-1]
    if len(between) > _FEW:
        rows = [rows[0], [f"{len(between)} ranges (--json)", "", ""], rows[-1]]
    return [[title if n == 0 else "", *row] for n, row in enumerate(rows)]


def _row(part: dict[str, Any]) -> list[str]:
    slope = part["bytes_per_token"]
    return [
        f"{format_count(part['first_n_ctx'])} to {format_count(part['last_n_ctx'])}",
        format_size(int(part["fixed_bytes"])),
        f"{slope:,}" if isinstance(slope, int) else f"{slope:,.2f}",
    ]
