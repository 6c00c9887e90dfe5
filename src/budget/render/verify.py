"""Plan against reality, as data and as a screen."""

from __future__ import annotations

from typing import Any

from budget.planning.verify import Verification
from budget.render.json import ENGINE
from budget.render.plain import table
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


def verify_text(answer: Verification) -> str:
    """A row per buffer and kind, the verdict first."""
    rows = [
        [
            row.buffer,
            row.kind,
            format_size(row.planned_bytes),
            format_size(row.printed_bytes),
            f"{row.difference_bytes:+,} B",
            "" if row.agrees else "DIFFERS",
        ]
        for row in answer.rows
    ]
    verdict = "AGREES" if answer.agrees else "DIFFERS"
    return "\n".join(
        [verdict, "", *table(["buffer", "kind", "plan", "llama.cpp", "difference", ""], rows, left=(0, 1))]
    )
