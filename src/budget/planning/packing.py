"""Dividing a model's layers and tensors over devices of known room: sums only, no plans."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from budget.memory.devices import f32
from budget.planning.fit import Request
from budget.planning.movable import Item, Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """One way to divide a model."""

    counts: tuple[int, ...]
    """Layers per device, the output layer counted; layers before them are on the host."""
    hosted: frozenset[Item]
    """Items of offloaded layers that stay on the host."""
    lifted: frozenset[tuple[Item, int]] = frozenset()
    """(item of a host layer, index of the device it goes to)."""

    @property
    def largest_hosted(self) -> int:
        """Bytes of the largest tensor that stays on the host alone, 0 without."""
        return max((t.largest for t in self.hosted), default=0)


# What goes to the host together, and in which order.
Order = Callable[[Sizes, range], list[list[Item]]]


def first_layers(sizes: Sizes, layers: range) -> list[list[Item]]:
    """Layers as they come: what `-ncmoe` does."""
    return [sizes.experts[il] for il in layers if sizes.experts[il]]


def small_items(sizes: Sizes, layers: range) -> list[list[Item]]:
    """Single projections, the smallest kind first, so that the large kinds stay on the GPU everywhere."""
    items = [t for il in layers for t in sizes.experts[il]]
    return [[t] for t in sorted(items, key=lambda t: t.size)]


ORDERS: tuple[Order, ...] = (first_layers, small_items)
"""Those worth a search: from the last layer back, or by the largest tensor of a layer, never beat both."""


def pack(
    request: Request,
    sizes: Sizes,
    rooms: Sequence[int],
    order: Order,
    pinned: frozenset[str],
    *,
    at_least: int = 0,
) -> Packing | None:
    """The packing with the most layers on devices; None if none has room.

    Args:
        rooms: bytes per device.
        order: in which experts go to the host.
        at_least: layers that stay on the host whole.
    """
    n_layers = len(sizes.fixed)
    free = "tensor_buft_overrides" not in pinned
    movable = free and any(sizes.experts)
    starts: Iterable[int] = range(at_least, n_layers + 1)
    if "n_gpu_layers" in pinned:
        n_gpu_layers = request.settings.n_gpu_layers
        starts = (0 if n_gpu_layers < 0 else max(n_layers - n_gpu_layers, 0),)
    for start in starts:
        counts, hosted = _segment(request, sizes, rooms, start, pinned, order if movable else None)
        if counts is None:
            continue
        packing = Packing(counts=tuple(counts), hosted=frozenset(hosted))
        return _lift(sizes, rooms, packing, start) if free and start > 0 else packing
    return None


def _segment(
    request: Request,
    sizes: Sizes,
    rooms: Sequence[int],
    start: int,
    pinned: frozenset[str],
    order: Order | None,
) -> tuple[list[int] | None, set[Item]]:
    """Layers `start` and later, in runs, to devices; then the experts that must stay on the host."""
    n_layers = len(sizes.fixed)
    expert_bytes = [sum(t.size for t in items) for items in sizes.experts]

    def counts_at(kept: float) -> list[int] | None:
        cost = [f + int(kept * e) for f, e in zip(sizes.fixed, expert_bytes, strict=True)]
        return _fill(cost, rooms, start)

    if "tensor_split" in pinned and len(rooms) > 1:
        counts: list[int] | None = _counts_of_split(
            request.settings.tensor_split, n_layers - start, len(rooms)
        )
    elif order is None:
        counts = counts_at(1.0)
    else:
        counts = _most(counts_at)
    if counts is None:
        return None, set()
    hosted: set[Item] = set()
    for room, layers in zip(rooms, layer_runs(counts, n_layers), strict=True):
        left = room - sum(sizes.fixed[il] for il in layers)
        if left < 0 or (order is None and left < sum(expert_bytes[il] for il in layers)):
            return None, set()
        if order is not None:
            hosted |= _host(sizes, layers, left, order)
    return counts, hosted


def layer_runs(counts: Sequence[int], n_layers: int) -> list[range]:
    """The layers of each device."""
    runs, first = [], n_layers - sum(counts)
    for count in counts:
        runs.append(range(first, first + count))
        first += count
    return runs


def _most(counts_at: Callable[[float], list[int] | None]) -> list[int] | None:
    """The division that keeps the largest share of each layer's experts on its device."""
    best = counts_at(0.0)
    if best is None:
        return None
    full = counts_at(1.0)
    if full is not None:
        return full
    low, high = 0.0, 1.0
    for _ in range(24):
        middle = (low + high) / 2
        counts = counts_at(middle)
        low, high, best = (middle, high, counts) if counts is not None else (low, middle, best)
    return best


def _fill(cost: Sequence[int], rooms: Sequence[int], start: int) -> list[int] | None:
    """Runs of layers from `start` on, each device as full as it gets; None if the last layers find no room."""
    counts = [0] * len(rooms)
    layer = start
    for i, room in enumerate(rooms):
        left = room
        while layer < len(cost) and cost[layer] <= left:
            left -= cost[layer]
            counts[i] += 1
            layer += 1
    return counts if layer == len(cost) else None


def _counts_of_split(shares: Sequence[float], n_layers: int, n_devices: int) -> list[int]:
    """Layers per device of a pinned `-ts`: llama-model.cpp, `load_tensors`, in single precision."""
    running: list[float] = []
    for i in range(n_devices):
        share = f32(shares[i]) if i < len(shares) else 0.0
        running.append(f32(share + running[-1]) if running else share)
    points = [f32(point / running[-1]) for point in running]
    counts = [0] * n_devices
    for il in range(n_layers):
        counts[min(bisect_right(points, f32(f32(il) / f32(n_layers))), n_devices - 1)] += 1
    return counts


def _host(sizes: Sizes, layers: range, left: int, order: Order) -> set[Item]:
    """Experts of `layers` that go to the host so that the others take at most `left` bytes.

    Whole units in the given order, then the few items that are just enough.
    """
    over = sum(t.size for il in layers for t in sizes.experts[il]) - left
    hosted: set[Item] = set()
    units = order(sizes, layers)
    for i, unit in enumerate(units):
        if over <= 0:
            break
        whole = sum(t.size for t in unit)
        if whole <= over:
            hosted |= set(unit)
            over -= whole
            continue
        # the fewest bytes of this unit, or of any later one, that are enough
        choices = [_fewest(later, over) for later in units[i:]]
        return hosted | min((c for c in choices if c is not None), key=lambda c: c[0])[1]
    return hosted


def _fewest(items: Sequence[Item], over: int) -> tuple[int, set[Item]] | None:
    """The subset of a layer's few expert items with the fewest bytes that is at least `over`."""
    best: tuple[int, set[Item]] | None = None
    for mask in range(1, 1 << len(items)):
        chosen = {t for i, t in enumerate(items) if mask >> i & 1}
        size = sum(t.size for t in chosen)
        if size >= over and (best is None or size < best[0]):
            best = (size, chosen)
    return best


def _lift(sizes: Sizes, rooms: Sequence[int], packing: Packing, start: int) -> Packing:
    """FFN matrices of host layers that fill what the devices have left, the nearest layer first."""
    candidates = [t for il in range(start - 1, -1, -1) for t in (*sizes.ffn[il], *sizes.experts[il])]
    lifted: dict[Item, int] = {}
    for device, room in enumerate(rooms):
        left = room - device_bytes(sizes, packing, device)
        for item in candidates:
            if item.size <= left and item not in lifted:
                lifted[item] = device
                left -= item.size
    return replace(packing, lifted=frozenset(lifted.items()))


def device_bytes(sizes: Sizes, packing: Packing, device: int) -> int:
    """Weights and caches that a packing puts on device number `device`, bytes."""
    layers = layer_runs(packing.counts, len(sizes.fixed))[device]
    total = sum(sizes.fixed[il] + sum(t.size for t in sizes.experts[il]) for il in layers)
    total -= sum(t.size for t in packing.hosted if t.layer in layers)
    return total + sum(t.size for t, i in packing.lifted if i == device)
