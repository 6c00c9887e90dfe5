"""Tensors that change places between the host and a device, so that the device is as full as it gets."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations_with_replacement

from budget.planning.movable import Item, Sizes
from budget.planning.packing import Packing, layer_runs

MAX_BACK, MAX_OUT = 4, 4
"""Tensors that change places in one exchange."""
MAX_KINDS = 8
"""Different sizes that one exchange looks at."""


def exchange(sizes: Sizes, packing: Packing, rooms: Sequence[int]) -> Packing:
    """The packing with what is free on each device, `rooms` bytes, filled from the host.

    First tensors only come back; then some leave for larger ones. None leaves that is larger than what is on the
    host already: the compute buffer has room to copy the largest one.
    """
    largest = packing.largest_hosted
    for device, room in enumerate(rooms):
        left = room
        for n_out in (0, 1, MAX_OUT):
            while left > 0:
                back, out = _swap(*_sides(sizes, packing, device), left, n_out, largest)
                if not back:
                    break
                left -= sum(t.size for t in back) - sum(t.size for t in out)
                packing = _moved(packing, device, back, out)
    return packing


def _sides(sizes: Sizes, packing: Packing, device: int) -> tuple[list[Item], list[Item]]:
    """What `device` could take from the host, and what it could give."""
    runs = layer_runs(packing.counts, len(sizes.fixed))
    mine = [t for il in runs[device] for t in (*sizes.experts[il], *sizes.ffn[il])]
    lifted = dict(packing.lifted)
    start = runs[0].start
    above = [t for il in range(start - 1, -1, -1) for t in (*sizes.experts[il], *sizes.ffn[il])]
    outside = [t for t in mine if t in packing.hosted] + [t for t in above if t not in lifted]
    inside = [t for t in mine if t not in packing.hosted] + [t for t in above if lifted.get(t) == device]
    return outside, inside


def _moved(packing: Packing, device: int, back: Sequence[Item], out: Sequence[Item]) -> Packing:
    lifted = dict(packing.lifted)
    hosted = set(packing.hosted)
    for item in back:
        if item in hosted:
            hosted.remove(item)
        else:
            lifted[item] = device
    for item in out:
        if lifted.pop(item, None) is None:
            hosted.add(item)
    return replace(packing, hosted=frozenset(hosted), lifted=frozenset(lifted.items()))


def _swap(
    outside: list[Item], inside: list[Item], left: int, n_out: int, largest: int
) -> tuple[list[Item], list[Item]]:
    """Items back to the device and out of it that fill `left` bytes best; empty lists where none does."""
    groups_back = _by_size(outside, MAX_BACK)
    groups_out = _by_size([t for t in inside if t.largest <= largest], n_out)
    sums_back, sums_out = _sums(groups_back, MAX_BACK), _sums(groups_out, n_out)
    totals = sorted(sums_back)
    best_gain = 0
    best: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    for out_size, out in sums_out.items():
        at = bisect_right(totals, left + out_size) - 1
        gain = totals[at] - out_size if at >= 0 else 0
        if gain > best_gain:
            best_gain, best = gain, (sums_back[totals[at]], out)
    return _take(groups_back, best[0]), _take(groups_out, best[1])


def _by_size(items: list[Item], n: int) -> dict[int, list[Item]]:
    """Up to `n` items of each of the largest sizes."""
    groups: dict[int, list[Item]] = {}
    for item in items:
        group = groups.setdefault(item.size, [])
        if len(group) < n:
            group.append(item)
    return {size: groups[size] for size in sorted(groups, reverse=True)[:MAX_KINDS]}


def _sums(groups: dict[int, list[Item]], n: int) -> dict[int, tuple[int, ...]]:
    """Total to the sizes that add up to it, of at most `n` items; the fewest items win."""
    result: dict[int, tuple[int, ...]] = {}
    for k in range(n + 1):
        for sizes in combinations_with_replacement(sorted(groups), k):
            if all(sizes.count(size) <= len(groups[size]) for size in set(sizes)):
                result.setdefault(sum(sizes), sizes)
    return result


def _take(groups: dict[int, list[Item]], sizes: tuple[int, ...]) -> list[Item]:
    return [groups[size][sizes[:i].count(size)] for i, size in enumerate(sizes)]
