"""The catalogue as data and as a screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from budget.machine.hardware import HardwareRow
from budget.planning.fit import Plan
from budget.render.screen import Block, Table, Text, Title
from budget.render.words import size_or_unknown
from budget.units import format_size

Rows = Sequence[tuple[HardwareRow, Plan | None]]


def hardware_object(rows: Rows) -> dict[str, Any]:
    """`budget/hardware/v1`."""
    return {
        "schema": "budget/hardware/v1",
        "hardware": [
            {
                "id": row.id,
                "kind": row.kind,
                "name": row.name,
                "memory_bytes": row.memory_bytes,
                "ram_bytes": row.ram_bytes,
                "bandwidth_bytes_per_second": row.bandwidth_bytes_per_second,
                "confidence": row.confidence,
                "notes": row.notes,
                "required_bytes": None
                if answer is None
                else {d.name: d.required_bytes for d in answer.devices},
            }
            for row, answer in rows
        ],
    }


def hardware_screen(rows: Rows, *, asked_for: str | None = None, tried: Rows = ()) -> list[Block]:
    """A row each; an entry of low confidence is marked. Where nothing of what was tried runs the model, the nearest."""
    if not rows:
        return [Title("NONE RUNS IT", "bad", asked_for or ""), Text(f"{len(tried)} tried{_nearest(tried)}")]
    cells = [
        [
            f"{row.id}{' ?' if row.confidence == 'low' else ''}",
            row.kind,
            size_or_unknown(row.memory_bytes),
            "-"
            if row.bandwidth_bytes_per_second is None
            else f"{row.bandwidth_bytes_per_second / 1e9:.0f} GB/s",
            *([] if answer is None else [_tightest(answer)]),
        ]
        for row, answer in rows
    ]
    headers = ["name", "kind", "memory", "bandwidth", *(["tightest"] if rows[0][1] is not None else [])]
    blocks: list[Block] = [Table(headers, cells)]
    if any(row.confidence == "low" for row, _ in rows):
        blocks.append(Text("? low confidence: a nominal size that no driver output confirms", "dim"))
    return blocks


def _tightest(answer: Plan) -> str:
    """The device with the least room, and how full it is."""
    full = [
        (d.required_bytes / d.available_bytes, d.name)
        for d in answer.devices
        if d.available_bytes and d.required_bytes
    ]
    if not full:
        return "-"
    share, name = max(full)
    return f"{name} {100 * share:.0f} %"


def _nearest(tried: Rows) -> str:
    """What falls short by the least, and by how much."""
    short = [
        (sum(f.short_bytes for f in a.failures), row.id) for row, a in tried if a is not None and a.failures
    ]
    if not short:
        return ""
    size, name = min(short)
    return f"; the nearest, {name}, is short by {format_size(size)}"
