"""Words and numbers that several screens share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from budget.units import GiB, counted, format_size

if TYPE_CHECKING:
    from budget.planning.fit import Request
    from budget.planning.usage import Shortfall

VERDICT = {"fits": "FITS", "does_not_fit": "DOES NOT FIT", "unknown": "UNKNOWN"}
VERDICT_STYLE = {"fits": "good", "does_not_fit": "bad", "unknown": "warn"}
MARK = {"fits": "fits", "does_not_fit": "no", "unknown": "unknown", "unavailable": "unavailable"}
"""A verdict as one of many in a table."""


def verdict_cell(verdict: str) -> tuple[str, str]:
    """The verdict in a table, in its colour."""
    return MARK[verdict], VERDICT_STYLE.get(verdict, "warn")


def gib(size_bytes: int) -> str:
    """`size_bytes` in GiB with two decimals; what is there but rounds to nothing is `<0.01`."""
    text = f"{size_bytes / GiB:.2f}"
    return "<0.01" if size_bytes > 0 and text == "0.00" else text


def size_or_unknown(size_bytes: int | None) -> str:
    """A size, or that it is not known."""
    return "unknown" if size_bytes is None else format_size(size_bytes)


def layers_text(request: Request) -> str:
    """`32 layers`, or that a model described by numbers does not say how many."""
    described = request.described
    n_layer = request.model.n_layer if described is None else described.n_layer
    return "layers not known" if n_layer is None else counted(n_layer, "layer")


def shortfall_lines(failures: Sequence[Shortfall], needs: str = "needs") -> list[str]:
    """What is missing where, a sentence per device that falls short."""
    return [
        f"{f.device}: {needs} {format_size(f.required_bytes)}, may use {format_size(f.available_bytes)}, "
        f"short by {format_size(f.short_bytes)}"
        for f in failures
    ]


def runs_text(numbers: Sequence[int]) -> str:
    """`0-6, 9, 12` for rising numbers."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), key=lambda item: item[1] - item[0])]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
