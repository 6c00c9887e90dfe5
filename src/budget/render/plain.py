"""Plain text: what a pipe, a log and a terminal without colour get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from budget.units import format_size

if TYPE_CHECKING:
    from budget.planning.fit import Plan


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: tuple[int, ...] = (0,)
) -> list[str]:
    """Aligned columns: those numbered in `left` to the left, the rest to the right."""
    columns = [list(column) for column in zip(headers, *rows, strict=True)]
    widths = [max(len(cell) for cell in column) for column in columns]
    lines = []
    for row in (headers, *rows):
        cells = [
            cell.ljust(w) if i in left else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def wrap(text: str, width: int = 80) -> list[str]:
    """`text` in lines of at most `width` columns, later ones indented."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}" if lines else word)
    return lines


def shortfall_lines(answer: Plan) -> list[str]:
    """What is missing where, one line per device that falls short."""
    return [
        f"{f.device}: needs {format_size(f.required_bytes)}, may use {format_size(f.available_bytes)}, "
        f"short by {format_size(f.short_bytes)}"
        for f in answer.failures
    ]
