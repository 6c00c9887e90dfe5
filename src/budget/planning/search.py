"""The largest number that still fits."""

from __future__ import annotations

from collections.abc import Callable


def largest(headroom: Callable[[int], int], *, low: int, high: int, step: int = 1) -> int | None:
    """The largest `n` in `low, low + step, ... <= high` with `headroom(n) >= 0`; None if not even `low` has it.

    `headroom` is the bytes left on the device that binds. It must never grow with `n`, but need not be a
    straight line: interpolation only chooses where to look, and the answer is always between a neighbour
    that fits and one that does not.
    """
    room_low = headroom(low)
    if room_low < 0:
        return None
    n_low, n_high = 0, (high - low) // step
    if n_high <= 0:
        return low
    room_high = headroom(low + n_high * step)
    if room_high >= 0:
        return low + n_high * step
    bisect = False
    while n_high - n_low > 1:
        if bisect:
            n = (n_low + n_high) // 2
        else:
            n = n_low + room_low * (n_high - n_low) // (room_low - room_high)
            n = min(max(n, n_low + 1), n_high - 1)
        room = headroom(low + n * step)
        width = n_high - n_low
        if room >= 0:
            n_low, room_low = n, room
        else:
            n_high, room_high = n, room
        # interpolation that does not halve the interval is followed by a bisection, so it always ends soon
        bisect = not bisect and (n_high - n_low) * 2 > width
    return low + n_low * step
