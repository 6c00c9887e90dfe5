"""The largest number that still fits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache


def largest(
    headroom: Callable[[int], int],
    *,
    low: int,
    high: int,
    step: int = 1,
    regain: Callable[[int], int] = lambda _n: 0,
) -> int | None:
    """The largest `n` in `low, low + step, ... <= high` with `headroom(n) >= 0`; None if none has it.

    `headroom` is the bytes left on the device that binds. It need not be a straight line: interpolation only chooses
    where to look, and the answer is always between a neighbour that fits and one that does not.

    Args:
        headroom: bytes left, negative where `n` does not fit.
        low: first number.
        high: last number.
        step: between numbers.
        regain: most bytes by which `headroom` may grow beyond `n`, 0 for no search there. Where it never grows, the
            answer is the largest there is. Else numbers beyond the end that was found are tried, ever further apart,
            until more than this is lacking: what fits again only between two of them is missed.
    """
    last = max((high - low) // step, 0)

    @cache
    def room(n: int) -> int:
        return headroom(low + n * step)

    fits = _end(room, 0, last) if room(0) >= 0 else -1
    while True:
        again = _fits_again(room, fits, last, lambda n: regain(low + n * step))
        if again is None:
            return None if fits < 0 else low + fits * step
        fits = _end(room, again, last)


def _end(room: Callable[[int], int], n_low: int, n_high: int) -> int:
    """A number from `n_low`, which fits, up to `n_high`: itself that, or followed by one that does not fit."""
    if room(n_high) >= 0:
        return n_high
    bisect = False
    while n_high - n_low > 1:
        if bisect:
            n = (n_low + n_high) // 2
        else:
            n = n_low + room(n_low) * (n_high - n_low) // (room(n_low) - room(n_high))
            n = min(max(n, n_low + 1), n_high - 1)
        width = n_high - n_low
        n_low, n_high = (n, n_high) if room(n) >= 0 else (n_low, n)
        # interpolation that does not halve the interval is followed by a bisection, so it always ends soon
        bisect = not bisect and (n_high - n_low) * 2 > width
    return n_low


def _fits_again(room: Callable[[int], int], fits: int, last: int, regain: Callable[[int], int]) -> int | None:
    """The first number tried beyond `fits`, and beyond the one behind it that does not fit, that fits."""
    n, ahead = max(fits, 0), 2
    while regain(n) and room(n) >= -regain(n) and fits + ahead <= last:
        n = fits + ahead
        if room(n) >= 0:
            return n
        ahead += max(ahead // 3, 1)
    return None
