"""From values to places on an axis, and which labels have room there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


def share_of(x: float, low: float, high: float, *, log: bool) -> float:
    """Where `x` lies on an axis: 0 at the left end, 1 at the right."""
    if high == low:
        return 0.5
    if log:
        return math.log(max(x, low) / low) / math.log(high / low)
    return (x - low) / (high - low)


def spread(places: Sequence[tuple[int, str]], width: int) -> list[tuple[int, int]]:
    """Which labels have room, as (index, column where it starts): every one, or every second, ..., and the last.

    Args:
        places: the column of each label's middle, rising, and its text.
        width: columns there are.
    """
    starts = [max(0, min(at - len(text) // 2, width - len(text))) for at, text in places]
    ends = [start + len(text) for start, (_, text) in zip(starts, places, strict=True)]
    last = len(places) - 1
    for step in range(1, len(places) + 1):
        chosen = list(range(0, len(places), step))
        if all(ends[a] < starts[b] for a, b in pairwise(chosen)):
            while chosen[-1] != last and len(chosen) > 1 and ends[chosen[-1]] >= starts[last]:
                chosen.pop()
            if chosen[-1] != last and ends[chosen[-1]] < starts[last]:
                chosen.append(last)
            return [(i, starts[i]) for i in chosen]
    return []


def steps(top: float) -> list[float]:
    """Four to eight round numbers from 0 up to `top`."""
    raw = top / 5
    base = 10 ** math.floor(math.log10(raw))
    step = next(m * base for m in (1, 2, 2.5, 5, 10) if m * base >= raw)
    return [i * step for i in range(int(top / step) + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Data to cells and dots."""

    low: float
    high: float
    log: bool
    top: float
    width: int
    height: int

    def x_at(self, share: float) -> float:
        """The inverse of `share_of`."""
        if self.log:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)

    def column(self, x: float) -> int:
        """Column of `width`."""
        share = share_of(x, self.low, self.high, log=self.log)
        return min(self.width - 1, max(0, int(share * (self.width - 1) + 0.5)))

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Column and row, from the top."""
        return self.column(x), self.row(y, self.height)

    def row(self, y: float, rows: int) -> int:
        """Row of `rows`, from the top."""
        return min(rows - 1, max(0, rows - 1 - int(y / self.top * rows)))
