"""Bytes as a function of the context: straight lines, each with the range in which it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from budget.errors import UsageError
from budget.units import round_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One straight line: `fixed_bytes + bytes_per_token * n_ctx` for every context in its range."""

    first_n_ctx: int
    last_n_ctx: int | None
    """Last context it holds for, tokens; None where nothing ends it."""
    fixed_bytes: Fraction
    """Where the line meets a context of 0: a whole number of bytes unless the slope is a fraction."""
    bytes_per_token: Fraction

    def bytes_at(self, n_ctx: int) -> int:
        """Bytes at a context of its range."""
        return int(self.fixed_bytes + self.bytes_per_token * n_ctx)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Bytes against context; it never falls."""

    segments: tuple[Segment, ...]
    """In order of context, without gaps between multiples of `step`."""
    step: int = 1
    """Contexts are padded up to a multiple of this, tokens."""

    def bytes_at(self, n_ctx: int) -> int:
        """Bytes at a context of `n_ctx` tokens, padded as llama.cpp pads it.

        Raises:
            UsageError: the curve does not reach this context, or it is negative.
        """
        return self._segment(n_ctx).bytes_at(self._padded(n_ctx))

    def slope_at(self, n_ctx: int) -> Fraction:
        """Bytes that one more token costs at `n_ctx`."""
        return self._segment(n_ctx).bytes_per_token

    @property
    def fixed_bytes(self) -> int:
        """Bytes that the first token finds there already: the first line at a context of 0."""
        return int(self.segments[0].fixed_bytes)

    def largest(self, budget_bytes: int, *, limit: int | None = None) -> int | None:
        """The largest context whose bytes are within `budget_bytes`, in whole steps.

        0 where only the fixed bytes fit; None where not even those do, or where nothing bounds it: `bounded` tells.
        """
        if self.fixed_bytes > budget_bytes or (limit is not None and limit < 0):
            return None
        best = 0
        for segment in self.segments:
            reach = self._reach(segment, budget_bytes)
            if reach is not None and reach < segment.first_n_ctx:
                break
            ends = [n for n in (reach, segment.last_n_ctx, limit) if n is not None]
            if not ends:
                return None
            best = max(best, min(ends) // self.step * self.step)
            if reach is not None and (segment.last_n_ctx is None or reach < segment.last_n_ctx):
                break
        return best

    def bounded(self, *, limit: int | None = None) -> bool:
        """Whether some budget would bound the context: false for windows alone without a limit."""
        last = self.segments[-1]
        return limit is not None or last.last_n_ctx is not None or last.bytes_per_token > 0

    def plus(self, size_bytes: int) -> Curve:
        """The same curve, `size_bytes` higher."""
        segments = tuple(
            Segment(
                first_n_ctx=s.first_n_ctx,
                last_n_ctx=s.last_n_ctx,
                fixed_bytes=s.fixed_bytes + size_bytes,
                bytes_per_token=s.bytes_per_token,
            )
            for s in self.segments
        )
        return Curve(segments=segments, step=self.step)

    def _padded(self, n_ctx: int) -> int:
        return round_up(n_ctx, self.step)

    def _segment(self, n_ctx: int) -> Segment:
        if n_ctx < 0:
            raise UsageError(f"a context of {n_ctx} tokens: cannot be negative")
        padded = self._padded(n_ctx)
        for segment in self.segments:
            if segment.last_n_ctx is None or padded <= segment.last_n_ctx:
                return segment
        raise UsageError(
            f"a context of {n_ctx:,} tokens is beyond the profile, which ends at "
            f"{self.segments[-1].last_n_ctx:,}"
        )

    @staticmethod
    def _reach(segment: Segment, budget_bytes: int) -> int | None:
        if segment.bytes_per_token <= 0:
            return None if segment.fixed_bytes <= budget_bytes else -1
        return int((budget_bytes - segment.fixed_bytes) / segment.bytes_per_token)


def line(fixed_bytes: int, bytes_per_token: int, *, step: int = 1) -> Curve:
    """`fixed_bytes + bytes_per_token * n_ctx` at every context.

    Raises:
        UsageError: a negative size.
    """
    return windowed(fixed_bytes, bytes_per_token, 0, 0, step=step)


def windowed(
    fixed_bytes: int, bytes_per_token: int, window_bytes_per_token: int, n_window: int, *, step: int = 1
) -> Curve:
    """A line with layers that keep only `n_window` tokens: their slope ends there.

    Args:
        fixed_bytes: at a context of 0.
        bytes_per_token: of layers that keep the whole context.
        window_bytes_per_token: of layers with a window.
        n_window: cells that those layers keep; 0 or less keeps everything.
        step: contexts are padded to multiples of this.

    Raises:
        UsageError: a negative size.
    """
    if min(fixed_bytes, bytes_per_token, window_bytes_per_token) < 0:
        raise UsageError("sizes cannot be negative")
    dense = Fraction(bytes_per_token + window_bytes_per_token)
    if n_window <= 0 or not window_bytes_per_token:
        whole = Segment(
            first_n_ctx=0, last_n_ctx=None, fixed_bytes=Fraction(fixed_bytes), bytes_per_token=dense
        )
        return Curve(segments=(whole,), step=step)
    return Curve(
        segments=(
            Segment(
                first_n_ctx=0, last_n_ctx=n_window, fixed_bytes=Fraction(fixed_bytes), bytes_per_token=dense
            ),
            Segment(
                first_n_ctx=n_window,
                last_n_ctx=None,
                fixed_bytes=Fraction(fixed_bytes + window_bytes_per_token * n_window),
                bytes_per_token=Fraction(bytes_per_token),
            ),
        ),
        step=step,
    )


def trace(size_bytes: Callable[[int], int], *, first: int, last: int, step: int) -> Curve:
    """The curve of `size_bytes` from `first` to `last`, found by asking it.

    A range counts as straight when its ends and four contexts inside lie on one line to the byte; else it is
    halved, down to single steps. A bend that hides between all of them would be missed: what is returned is exact
    wherever it was asked, and the caller's sizes bend at windows and paddings, which are ranges, not points.

    Args:
        size_bytes: bytes at a context; asked only at multiples of `step`.
        first: first context, tokens.
        last: last context, tokens.
        step: contexts are multiples of this.
    """
    known: dict[int, int] = {}

    def at(i: int) -> int:
        if i not in known:
            known[i] = size_bytes(i * step)
        return known[i]

    low, high = -(-first // step), max(last // step, -(-first // step))
    ranges = _straight(at, low, high)
    merged: list[tuple[int, int]] = []
    for a, b in ranges:
        if merged and _same_line(at, (*merged[-1], b)):
            merged[-1] = (merged[-1][0], b)
        else:
            merged.append((a, b))
    return Curve(segments=tuple(_segment(at, a, b, step) for a, b in merged), step=step)


def _straight(at: Callable[[int], int], low: int, high: int) -> list[tuple[int, int]]:
    if high - low < 2:
        return [(low, high)]
    width = high - low
    inside = {low + 1, low + width // 3, (low + high) // 2, low + width * 2 // 3, high - 1}
    rise = at(high) - at(low)
    if all((at(i) - at(low)) * width == rise * (i - low) for i in sorted(inside)):
        return [(low, high)]
    middle = (low + high) // 2
    return [*_straight(at, low, middle), *_straight(at, middle, high)]


def _same_line(at: Callable[[int], int], points: tuple[int, int, int]) -> bool:
    a, b, c = points
    return a == b or (at(b) - at(a)) * (c - b) == (at(c) - at(b)) * (b - a)


def _segment(at: Callable[[int], int], low: int, high: int, step: int) -> Segment:
    slope = Fraction(at(high) - at(low), (high - low) * step) if high > low else Fraction(0)
    return Segment(
        first_n_ctx=low * step,
        last_n_ctx=high * step,
        fixed_bytes=at(low) - slope * low * step,
        bytes_per_token=slope,
    )
