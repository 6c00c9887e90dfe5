"""Every measured load of tests/data and what budget says of it, planned once for all tables of one process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import truth
from budget.memory.layout import lay_out

COLUMNS = (("weights", "model"), ("context", "context"), ("compute", "compute"))
"""What budget calls a column, and what the measured rows call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What budget says of one load."""

    basis: str
    """That of its compute buffers."""
    buffers: dict[str, dict[str, int]]
    """By name and column, bytes."""

    def pairs(self, row: dict[str, Any]) -> list[tuple[str, str, int, int]]:
        """Buffer, column, measured bytes and ours, where either is more than 0."""
        found = []
        for name in sorted(set(self.buffers) | set(row["buffers"])):
            for column, key in COLUMNS:
                if column == "compute" and row["accounting"] == "no_alloc":
                    continue
                want = row["buffers"].get(name, {}).get(key, 0)
                have = self.buffers.get(name, {}).get(column, 0)
                if want or have:
                    found.append((name, column, want, have))
        return found


@cache
def rows() -> list[dict[str, Any]]:
    return truth.rows()


@cache
def said(i: int) -> Said:
    """Of the `i`-th row; a BudgetError where budget refuses it."""
    row = rows()[i]
    layout = lay_out(truth.model(row["model"]), truth.settings(row), truth.machine(row))
    return Said(
        basis=layout.compute.basis,
        buffers={b.name: {c: getattr(b, f"{c}_bytes") for c, _ in COLUMNS} for b in layout.buffers},
    )
