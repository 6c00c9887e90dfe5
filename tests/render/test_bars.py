"""Bars: cells in proportion, the limit where it is, a legend of what was drawn."""

from __future__ import annotations

import pytest

from budget.planning.budget import UNLIMITED
from budget.planning.parts import KINDS, Row
from budget.render.bars import bars, gib
from budget.render.lines import Look, to_text

GiB = 1 << 30


def row(name="CUDA0", available=10 * GiB, **parts):
    sizes = {kind: int(parts.get(kind, 0) * GiB) for kind in KINDS}
    required = sum(sizes.values())
    fits = None if available is None else True if available is UNLIMITED else required <= available
    return Row(name=name, parts=sizes, available=available, fits=fits)


def bar(*rows, width=50, **look):
    """The first bar's cells: beside `CUDA0`, `7.00 of 10.00 GiB` and `ok` 50 columns leave 20."""
    text = to_text(bars(rows, Look(width=width, **look)))
    return text.splitlines()[0].split("  ")[1]


def test_cells_are_in_proportion_to_what_the_device_may_hold():
    # of 10 GiB a cell is half a GiB: 8 cells of weights, 4 of K/V, 2 of compute, 6 left
    assert bar(row(weights=4, kv=2, compute=1)) == "█" * 8 + "▓" * 4 + "▒" * 2 + "·" * 6
    assert bar(row(weights=4, kv=2, compute=1), unicode=False) == "#" * 8 + "k" * 4 + "c" * 2 + "." * 6


def test_what_does_not_fit_crosses_the_limit():
    # of 20 GiB a cell is one GiB, and the eleventh is beyond the limit; `SHORT` is longer than `ok`
    assert bar(row(weights=20), width=54) == "█" * 10 + "┃" + "█" * 9


def test_a_device_without_a_limit_is_full_of_itself():
    assert set(bar(row(weights=3, available=UNLIMITED))) == {"█"}


def test_a_cell_that_small_parts_fill_together_is_the_largest_ones():
    # half a GiB a cell: 0.2 of compute round to none, 0.01 of output tip it over
    assert bar(row(weights=4.04, compute=0.2, output=0.02)) == "█" * 8 + "▒" + "·" * 11


def test_the_legend_names_what_was_drawn_and_nothing_else():
    legend = to_text(bars([row(weights=4, kv=2, output=0.001)], Look())).splitlines()[-1]
    assert legend.split() == ["█", "weights", "▓", "K/V", "·", "free"]


def test_colours_need_no_shades():
    spans = bars([row(weights=4, kv=2)], Look(width=51, color=True))[0]
    assert [(s[0][0], s[1]) for s in spans[1:4]] == [("█", "weights"), ("█", "kv"), ("·", "dim")]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0.00"), (1, "<0.01"), (GiB // 100, "0.01"), (GiB, "1.00"), (1536 << 20, "1.50")]
)
def test_what_is_there_never_reads_as_nothing(size, text):
    assert gib(size) == text
