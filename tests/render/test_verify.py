"""What `budget verify` says: the count first, whose buffer a row is, and what a small difference means."""

from __future__ import annotations

import pytest

from budget.planning.verify import Comparison, Verification
from budget.render.lines import Look, to_text
from budget.render.screen import to_lines
from budget.render.verify import verify_screen
from budget.units import MiB


def row(difference_bytes=0, *, scope="main", agrees=True):
    return Comparison(
        scope=scope, buffer="CUDA0", kind="weights", planned_bytes=MiB + difference_bytes, printed_bytes=MiB,
        agrees=agrees,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "title", "explained"),
    [
        ((row(), row()), "AGREES: 2 sizes", False),
        ((row(9),), "AGREES: 1 size", True),
        ((row(), row(MiB, agrees=False)), "DIFFERS: 1 of 2 sizes", False),
    ],
)
def test_the_verdict_counts_and_small_differences_are_explained(rows, title, explained):
    text = to_text(to_lines(verify_screen(Verification(rows=rows)), Look()))
    assert text.splitlines()[0] == title
    assert ("rounding" in text) is explained


def test_a_companions_buffers_say_whose_they_are():
    text = to_text(to_lines(verify_screen(Verification(rows=(row(), row(scope="draft")))), Look()))
    assert [line.split("weights")[0].strip() for line in text.splitlines()[3:]] == ["CUDA0", "CUDA0 (draft)"]
