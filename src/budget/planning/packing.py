"""Dividing a model's layers and tensors over devices of known room: sums only, no plans."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

from budget.memory.buffer_types import padded_bytes
from budget.memory.devices import f32, model_devices
from budget.memory.kv_cache import cache_tensors
from budget.memory.layout import HOST, Layout
from budget.memory.placement import PlacedTensor
from budget.memory.recurrent import state_tensors
from budget.planning.fit import Request
from budget.runtime.handlers import EXPERTS_REGEX
from budget.runtime.settings import Settings, resolve

_EXPERTS = re.compile(r"\.ffn_(up|down|gate|gate_up)_(ch|)exps\.")
_FFN = re.compile(r"\.ffn_(up|down|gate)(_shexp)?\.weight\Z")
SMALL_BYTES = 1 << 20
"""Smaller FFN matrices are not worth a pattern."""
MAX_BACK, MAX_OUT = 4, 4
"""Tensors that change places in one exchange."""
MAX_KINDS = 8
"""Different sizes that one exchange looks at."""


@dataclass(frozen=True, slots=True)
class Item:
    """What one pattern moves: the tensors of one projection of one layer."""

    layer: int
    part: str
    """Such as `ffn_gate_exps`."""
    size: int
    """Bytes on a device, padding and biases included."""
    largest: int
    """Bytes of the largest single tensor: what a compute buffer copies when it is on the host."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What can be moved, bytes per layer, the output layer last."""

    fixed: list[int]
    """Weights that follow the layer, and its caches."""
    experts: list[list[Item]]
    """Routed experts; not in `fixed`."""
    ffn: list[list[Item]]
    """Dense and shared FFN matrices; counted in `fixed` as well."""


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


def item_sizes(request: Request, layout: Layout) -> Sizes:
    """Sizes of everything a packing of `request` moves, as the first device allocates it.

    Args:
        layout: of `request`, or of one that differs in its context and K/V types only.
    """
    n_layers = len(layout.placement.layer_device)
    fixed = [0] * n_layers
    groups: dict[tuple[int, str, bool], list[int]] = {}
    device_type = layout.placement.device_buffer_types[0]
    for placed in layout.placement.weights:
        if placed.tensor_class == "input":
            continue
        name = placed.tensor.name
        layer = n_layers - 1 if placed.tensor_class == "output" else placed.layer or 0
        size = padded_bytes(device_type, placed.tensor.type, placed.tensor.ne)
        experts = _EXPERTS.search(name) is not None
        if not experts and not _is_copy(placed):
            fixed[layer] += size
        if experts or (_FFN.search(name) and size >= SMALL_BYTES):
            groups.setdefault((layer, name.split(".")[2], experts), []).append(size)
    params = resolve(request.settings, request.model)
    if params.offload_kqv:
        for cache in (*cache_tensors(request.model, params), *state_tensors(request.model, params)):
            fixed[cache.layer] += padded_bytes(device_type, cache.type, cache.ne)
    items: dict[bool, list[list[Item]]] = {kind: [[] for _ in range(n_layers)] for kind in (True, False)}
    for (layer, part, experts), sizes in groups.items():
        items[experts][layer].append(Item(layer, part, sum(sizes), max(sizes)))
    return Sizes(fixed, items[True], items[False])


def _is_copy(placed: PlacedTensor) -> bool:
    """A further copy of a rope table: a few hundred bytes that no packing moves."""
    return placed.is_duplicate and placed.tensor_class == "repeating"


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


def packed_settings(
    request: Request, packing: Packing, item_layers: Sequence[Sequence[Item]], pinned: frozenset[str]
) -> Settings:
    """The settings that make llama.cpp place a model as `packing` does.

    Args:
        item_layers: every expert item of each layer, the output layer last.
    """
    settings = request.settings
    n_offloaded = sum(packing.counts)
    changes: dict[str, object] = {}
    if "n_gpu_layers" not in pinned:
        changes["n_gpu_layers"] = n_offloaded
    if "tensor_split" not in pinned and len(packing.counts) > 1 and n_offloaded:
        changes["tensor_split"] = tuple(float(c) for c in packing.counts)
    if "tensor_buft_overrides" not in pinned:
        overrides = _overrides(request, packing, item_layers)
        changes["tensor_buft_overrides"] = (*settings.tensor_buft_overrides, *overrides)
    return replace(settings, **changes)  # type: ignore[arg-type]


def _overrides(
    request: Request, packing: Packing, experts: Sequence[Sequence[Item]]
) -> list[tuple[str, str]]:
    """(pattern, buffer type): what is lifted first, then `-ncmoe` for whole layers from 0 on, then the rest."""
    names = [d.name for d in model_devices(request.settings, request.machine)]
    start = len(experts) - sum(packing.counts)
    lifted: dict[str, list[Item]] = {}
    for item, device in packing.lifted:
        lifted.setdefault(names[device], []).append(item)
    n_whole = 0
    while n_whole < len(experts) and (n_whole < start or packing.hosted.issuperset(experts[n_whole])):
        n_whole += 1
    whole = [t for items in experts[:n_whole] for t in items if t in packing.hosted]
    rest = packing.hosted.difference(whole)
    return [
        *((pattern, name) for name in sorted(lifted) for pattern in _patterns(lifted[name])),
        *((f"blk\\.{il}{EXPERTS_REGEX}", HOST) for il in range(max((t.layer + 1 for t in whole), default=0))),
        *((pattern, HOST) for pattern in _patterns(rest)),
    ]


def _patterns(items: Iterable[Item]) -> list[str]:
    """Patterns that match exactly the tensors of `items`: one per set of projections, layers joined."""
    by_layer: dict[int, set[str]] = {}
    for item in items:
        by_layer.setdefault(item.layer, set()).add(item.part)
    groups: dict[tuple[str, ...], list[int]] = {}
    for layer in sorted(by_layer):
        groups.setdefault(tuple(sorted(by_layer[layer])), []).append(layer)
    return [_pattern(layers, parts) for parts, layers in groups.items()]


def _pattern(layers: Sequence[int], parts: Sequence[str]) -> str:
    blocks = "|".join(map(str, layers))
    names = "|".join(parts)
    blocks = f"({blocks})" if len(layers) > 1 else blocks
    return f"blk\\.{blocks}\\.{f'({names})' if len(parts) > 1 else names}\\."
