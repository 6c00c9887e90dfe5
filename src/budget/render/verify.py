"""Plan against reality, as data and as a screen."""

from __future__ import annotations

from typing import Any

from budget.planning.verify import Verification
from budget.render.json import ENGINE
from budget.render.screen import GAP, Block, Cell, Table, Text, Title
from budget.units import counted, format_size


def verify_object(answer: Verification) -> dict[str, Any]:
    """`budget/verify/v1`."""
    return {
        "schema": "budget/verify/v1",
        "engine": ENGINE,
        "agrees": answer.agrees,
        "rows": [
            {
                "scope": row.scope,
                "buffer": row.buffer,
                "kind": row.kind,
                "planned_bytes": row.planned_bytes,
                "printed_bytes": row.printed_bytes,
                "difference_bytes": row.difference_bytes,
                "agrees": row.agrees,
            }
            for row in answer.rows
        ],
    }


def verify_screen(answer: Verification) -> list[Block]:
    """The verdict first, then a row per buffer and kind; a companion model's rows say whose they are."""
    rows: list[list[Cell]] = [
        [
            row.buffer if row.scope == "main" else f"{row.buffer} ({row.scope})",
            row.kind,
            format_size(row.planned_bytes),
            format_size(row.printed_bytes),
            f"{row.difference_bytes:+,} B",
            "" if row.agrees else ("DIFFERS", "bad"),
        ]
        for row in answer.rows
    ]
    n_differ = sum(not row.agrees for row in answer.rows)
    of = counted(len(rows), "size")
    title = Title("DIFFERS", "bad", f"{n_differ} of {of}") if n_differ else Title("AGREES", "good", of)
    table = Table(["buffer", "kind", "plan", "llama.cpp", "difference", ""], rows, left=(0, 1))
    rounded = any(row.agrees and row.difference_bytes for row in answer.rows)
    return [title, GAP, table, *([Text(_ROUNDED, "dim")] if rounded else [])]


_ROUNDED = "Smaller differences are llama.cpp's rounding, or within --tolerance."
