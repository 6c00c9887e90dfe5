"""Plan against reality, as data and as a screen."""

from __future__ import annotations

from typing import Any

from budget.planning.verify import Verification
from budget.render.json import ENGINE
from budget.render.screen import GAP, Block, Cell, Table, Title
from budget.units import format_size


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
    """The verdict first, then a row per buffer and kind."""
    rows: list[list[Cell]] = [
        [
            row.buffer,
            row.kind,
            format_size(row.planned_bytes),
            format_size(row.printed_bytes),
            f"{row.difference_bytes:+,} B",
            "" if row.agrees else ("DIFFERS", "bad"),
        ]
        for row in answer.rows
    ]
    return [
        Title("AGREES", "good") if answer.agrees else Title("DIFFERS", "bad"),
        GAP,
        Table(["buffer", "kind", "plan", "llama.cpp", "difference", ""], rows, left=(0, 1)),
    ]
