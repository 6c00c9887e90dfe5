"""Which weights go on GPUs when not all fit: layers to devices, experts and single tensors to the host.

The sizes of layers and tensors are known before any plan is made; what is not is how the compute buffers answer.
So a packing is solved with the compute buffers of the last plan, planned exactly, and solved again with what the
plan says, until it fits. Every result is a full plan that fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from budget.machine.device import Device
from budget.memory.buffer_types import padded_bytes
from budget.memory.layout import HOST, Layout
from budget.memory.placement import PlacedTensor
from budget.model.facts import Model
from budget.planning.fit import Plan, Request, plan
from budget.runtime.settings import Settings

_EXPERTS = re.compile(r"\.ffn_(up|down|gate|gate_up)_(ch|)exps\.")
_FFN = re.compile(r"\.ffn_(up|down|gate)\.weight\Z")
MAX_ROUNDS = 6
"""Plans per packing: compute buffers settle after two or three."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    layer: int
    size: int


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What can be moved, in bytes."""

    fixed: list[int]
    """Per layer, the output layer last: weights that follow the layer, and its caches."""
    experts: list[list[_Tensor]]
    """Per layer: expert tensors, each of which may live on the host."""
    ffn: list[list[_Tensor]]
    """Per layer: dense FFN tensors, each of which may be lifted to a GPU when its layer is on the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """One way to divide a model."""

    counts: tuple[int, ...]
    """Layers per device, the output layer counted; layers before them are on the host."""
    hosted: frozenset[str]
    """Expert tensors of offloaded layers that stay on the host."""
    lifted: tuple[tuple[str, int], ...] = ()
    """(tensor, device): tensors of host layers that go to a GPU."""


def offload(request: Request, pinned: frozenset[str] = frozenset()) -> Plan | None:
    """The plan that puts most weights on GPUs within the budget; None if none fits.

    Args:
        request: its context, K/V types, batches and slots stay as they are.
        pinned: names of settings that must not change (`n_gpu_layers`, `tensor_split`, `tensor_buft_overrides`).
    """
    first = plan(request)
    if first.fits or not first.layout.placement.devices or first.layout.placement.meta_devices:
        return first if first.fits else None
    if {"n_gpu_layers", "tensor_split", "tensor_buft_overrides"} <= pinned:
        return None
    best: Plan | None = None
    for order in _ORDERS if "tensor_buft_overrides" not in pinned else _ORDERS[:1]:
        answer = _settle(request, first, pinned, order)
        if answer is not None and (
            best is None or gpu_weight_bytes(answer.layout) > gpu_weight_bytes(best.layout)
        ):
            best = answer
        if not _has_experts(request.model):
            break
    return best if best is not None else _fallback(request, pinned)


def _has_experts(model: Model) -> bool:
    return any(_EXPERTS.search(t.name) for t in model.tensors)


def _settle(request: Request, first: Plan, pinned: frozenset[str], order: _Order) -> Plan | None:
    """Pack and plan until the compute buffers that the packing counted are those that the plan has."""
    best: tuple[int, Plan, Packing] | None = None
    answer = first
    slack = [0] * len(first.layout.placement.devices)
    seen: set[Packing] = set()
    for _ in range(MAX_ROUNDS):
        packing = _pack(request, answer, slack, pinned, order)
        if packing is None or packing in seen:
            break
        seen.add(packing)
        answer = plan(replace(request, settings=_settings(request, packing, pinned)))
        if answer.fits and (best is None or gpu_weight_bytes(answer.layout) > best[0]):
            best = (gpu_weight_bytes(answer.layout), answer, packing)
        slack = _slack(answer, slack)
    if best is None:
        return None
    return _refine(request, best[1], best[2], pinned) if "tensor_buft_overrides" not in pinned else best[1]


def _refine(request: Request, answer: Plan, packing: Packing, pinned: frozenset[str]) -> Plan:
    """Fill what a plan that fits leaves free: hosted experts come back, then some change places."""
    for n_out in (0, 2):
        margin = 0
        for _ in range(MAX_ROUNDS):
            tried = replace(packing, hosted=_exchanged(answer, packing, margin, n_out))
            if tried == packing:
                break
            next_answer = plan(replace(request, settings=_settings(request, tried, pinned)))
            if next_answer.fits:
                answer, packing, margin = next_answer, tried, 0
            else:
                # the compute buffers grew: ask for less
                margin += max(1, *(-(d.headroom_bytes or 0) for d in next_answer.devices))
    return answer


def _exchanged(answer: Plan, packing: Packing, margin: int, n_out: int) -> frozenset[str]:
    """What stays on the host when each device's free bytes, less `margin`, are filled with hosted experts.

    A few tensors come back to the device for a few others that leave it, so that its free bytes shrink most.
    """
    sizes = _sizes(answer.layout)
    hosted = set(packing.hosted)
    first = len(sizes.fixed) - sum(packing.counts)
    for device, count in zip(answer.layout.placement.devices, packing.counts, strict=True):
        row = next(d for d in answer.devices if d.name == device.name)
        left = (row.headroom_bytes or 0) - margin
        here = [t for il in range(first, first + count) for t in sizes.experts[il]]
        first += count
        while True:
            inside = [t for t in here if t.name not in hosted]
            back, out = _swap([t for t in here if t.name in hosted], inside, left, n_out)
            if not back:
                break
            left -= sum(t.size for t in back) - sum(t.size for t in out)
            hosted = (hosted - {t.name for t in back}) | {t.name for t in out}
    return frozenset(hosted)


def _swap(
    hosted: list[_Tensor], kept: list[_Tensor], left: int, n_out: int
) -> tuple[list[_Tensor], list[_Tensor]]:
    """At most three tensors back and `n_out` out that fill `left` bytes best; empty lists where none does."""
    by_size = [_by_size(hosted, 3), _by_size(kept, n_out)]
    sums = [_sums(groups, n) for groups, n in zip(by_size, (3, n_out), strict=True)]
    best_gain = 0
    best: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    largest = max((t.size for t in hosted), default=0)
    for back_size, back in sums[0].items():
        for out_size, out in sums[1].items():
            gain = back_size - out_size
            # a larger tensor on the host would make the compute buffer copy it
            if best_gain < gain <= left and all(size <= largest for size in out):
                best_gain, best = gain, (back, out)
    return _take(by_size[0], best[0]), _take(by_size[1], best[1])


def _by_size(tensors: list[_Tensor], n: int) -> dict[int, list[_Tensor]]:
    """Up to `n` tensors of each size."""
    groups: dict[int, list[_Tensor]] = {}
    for tensor in tensors:
        group = groups.setdefault(tensor.size, [])
        if len(group) < n:
            group.append(tensor)
    return groups


def _sums(groups: dict[int, list[_Tensor]], n: int) -> dict[int, tuple[int, ...]]:
    """Total to the sizes that add up to it, of at most `n` tensors; the fewest tensors win."""
    from itertools import combinations_with_replacement

    result: dict[int, tuple[int, ...]] = {}
    for k in range(n + 1):
        for sizes in combinations_with_replacement(sorted(groups), k):
            if all(sizes.count(size) <= len(groups[size]) for size in set(sizes)):
                result.setdefault(sum(sizes), sizes)
    return result


def _take(groups: dict[int, list[_Tensor]], sizes: tuple[int, ...]) -> list[_Tensor]:
    return [groups[size][sizes[:i].count(size)] for i, size in enumerate(sizes)]


def gpu_weight_bytes(layout: Layout) -> int:
    """Bytes of weights that are not in host memory."""
    return sum(b.weights_bytes for b in layout.buffers if b.device != HOST)


def _slack(answer: Plan, slack: Sequence[int]) -> list[int]:
    """Bytes to keep free per device beyond what the packing counts: what the plan missed last time."""
    result = []
    for i, device in enumerate(answer.layout.placement.devices):
        row = next(d for d in answer.devices if d.name == device.name)
        room = row.headroom_bytes
        result.append(slack[i] - room if room is not None and room < 0 else slack[i])
    return result


def _pack(
    request: Request, answer: Plan, slack: Sequence[int], pinned: frozenset[str], order: _Order
) -> Packing | None:
    sizes = _sizes(answer.layout)
    rooms = _rooms(request, answer, slack)
    n_layers = len(sizes.fixed)
    if "n_gpu_layers" in pinned:
        starts = range(max(n_layers - answer.layout.placement.n_gpu_layers, 0), n_layers + 1)
        starts = range(starts.start, starts.start + 1)
    else:
        starts = range(n_layers + 1)
    movable = "tensor_buft_overrides" not in pinned and any(sizes.experts)
    for start in starts:
        counts, hosted = _segment(request, sizes, rooms, start, pinned, order if movable else None)
        if counts is None:
            continue
        lifted: tuple[tuple[str, int], ...] = ()
        if "tensor_buft_overrides" not in pinned and start > 0:
            lifted = _lift(sizes, rooms, counts, start, hosted)
        return Packing(counts=tuple(counts), hosted=frozenset(hosted), lifted=lifted)
    return None


def _sizes(layout: Layout) -> _Sizes:
    n_layers = len(layout.placement.layer_device)
    fixed = [0] * n_layers
    experts: list[list[_Tensor]] = [[] for _ in range(n_layers)]
    ffn: list[list[_Tensor]] = [[] for _ in range(n_layers)]
    device_type = layout.placement.device_buffer_types[0]
    for placed in layout.placement.weights:
        if placed.tensor_class == "input":
            continue
        layer = n_layers - 1 if placed.tensor_class == "output" else placed.layer or 0
        size = padded_bytes(device_type, placed.tensor.type, placed.tensor.ne)
        tensor = _Tensor(placed.tensor.name, layer, size)
        if _EXPERTS.search(placed.tensor.name):
            experts[layer].append(tensor)
            continue
        if not _is_copy(placed):
            fixed[layer] += size
        if _FFN.search(placed.tensor.name):
            ffn[layer].append(tensor)
    if layout.params.offload_kqv:
        for cache in layout.caches:
            fixed[cache.layer] += padded_bytes(device_type, cache.type, cache.ne)
    return _Sizes(fixed, experts, ffn)


def _is_copy(placed: PlacedTensor) -> bool:
    """A further copy of a rope table: a few hundred bytes that no packing moves."""
    return placed.is_duplicate and placed.tensor_class == "repeating"


def _rooms(request: Request, answer: Plan, slack: Sequence[int]) -> list[int]:
    """Bytes per device for layers: the cap without compute buffers, overhead, and what the last plan missed."""
    rooms = []
    for i, device in enumerate(answer.layout.placement.devices):
        row = next(d for d in answer.devices if d.name == device.name)
        cap = row.available_bytes
        if cap is None:
            cap = device.total_bytes if device.total_bytes is not None else 1 << 62
        rooms.append(cap - row.compute_bytes - row.overhead_bytes - row.reserve_bytes - slack[i])
    pool = request.budget.combined_bytes
    if pool is not None:
        host = next(d for d in answer.devices if d.name == HOST)
        left = pool - host.compute_bytes - host.output_bytes
        rooms = [min(room, left) for room in rooms]
    return rooms


def _segment(
    request: Request,
    sizes: _Sizes,
    rooms: Sequence[int],
    start: int,
    pinned: frozenset[str],
    order: _Order | None,
) -> tuple[list[int] | None, set[str]]:
    """Layers `start` and later, in runs, to devices; then the experts that must stay on the host."""
    n_layers = len(sizes.fixed)
    expert_bytes = [sum(t.size for t in tensors) for tensors in sizes.experts]

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
    hosted: set[str] = set()
    first = start
    for room, count in zip(rooms, counts, strict=True):
        layers = range(first, first + count)
        first += count
        left = room - sum(sizes.fixed[il] for il in layers)
        if left < 0:
            return None, set()
        if order is None:
            if left < sum(expert_bytes[il] for il in layers):
                return None, set()
            continue
        hosted |= _host(sizes, layers, left, order)
    return counts, hosted


def _most(counts_at: Callable[[float], list[int] | None]) -> list[int] | None:
    """The division that keeps the largest share of each layer's experts on its device."""
    best = counts_at(0.0)
    if best is None:
        return None
    low, high = 0.0, 1.0
    full = counts_at(1.0)
    if full is not None:
        return full
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
    from bisect import bisect_right

    from budget.memory.devices import f32

    running: list[float] = []
    for i in range(n_devices):
        share = f32(shares[i]) if i < len(shares) else 0.0
        running.append(f32(share + running[-1]) if running else share)
    points = [f32(point / running[-1]) for point in running]
    counts = [0] * n_devices
    for il in range(n_layers):
        counts[min(bisect_right(points, f32(f32(il) / f32(n_layers))), n_devices - 1)] += 1
    return counts


def _host(sizes: _Sizes, layers: range, left: int, order: _Order) -> set[str]:
    """Expert tensors of `layers` that go to the host so that the others take at most `left` bytes.

    Whole units in the given order, then the few tensors that fill what is left best.
    """
    over = sum(t.size for il in layers for t in sizes.experts[il]) - left
    hosted: set[str] = set()
    units = order(sizes, layers)
    for i, unit in enumerate(units):
        if over <= 0:
            break
        whole = sum(t.size for t in unit)
        if whole <= over:
            hosted |= {t.name for t in unit}
            over -= whole
            continue
        # the fewest bytes of this unit, or of any later one, that are enough
        choices = [_fewest(later, over) for later in units[i:]]
        return hosted | min((c for c in choices if c is not None), key=lambda c: c[0])[1]
    return hosted


_Order = Callable[[_Sizes, range], list[list[_Tensor]]]
"""What goes to the host together, and in which order."""


def _first_layers(sizes: _Sizes, layers: range) -> list[list[_Tensor]]:
    """Layers as they come: what `-ncmoe` does."""
    return [sizes.experts[il] for il in layers if sizes.experts[il]]


def _last_layers(sizes: _Sizes, layers: range) -> list[list[_Tensor]]:
    """Layers from the last one back: what llama.cpp's own fit does."""
    return _first_layers(sizes, layers)[::-1]


def _small_layers(sizes: _Sizes, layers: range) -> list[list[_Tensor]]:
    """Layers with the smallest tensors first: the largest one on the host is what the compute buffer must copy."""
    return sorted(_first_layers(sizes, layers), key=lambda unit: max(t.size for t in unit))


def _small_tensors(sizes: _Sizes, layers: range) -> list[list[_Tensor]]:
    """Single tensors, the smallest kind first, so that the large kinds stay on the GPU everywhere."""
    tensors = [t for il in layers for t in sizes.experts[il]]
    return [[t] for t in sorted(tensors, key=lambda t: t.size)]


_ORDERS: tuple[_Order, ...] = (_first_layers, _last_layers, _small_layers, _small_tensors)


def _fewest(tensors: Sequence[_Tensor], over: int) -> tuple[int, set[str]] | None:
    """The subset of a layer's few expert tensors with the fewest bytes that is at least `over`."""
    best: tuple[int, set[str]] | None = None
    for mask in range(1, 1 << len(tensors)):
        chosen = [t for i, t in enumerate(tensors) if mask >> i & 1]
        size = sum(t.size for t in chosen)
        if size >= over and (best is None or size < best[0]):
            best = (size, {t.name for t in chosen})
    return best


def _lift(
    sizes: _Sizes, rooms: Sequence[int], counts: Sequence[int], start: int, hosted: set[str]
) -> tuple[tuple[str, int], ...]:
    """FFN tensors of host layers that fill what the devices have left, the nearest layer first."""
    left = []
    first = start
    for room, count in zip(rooms, counts, strict=True):
        used = sum(sizes.fixed[il] for il in range(first, first + count))
        used += sum(
            t.size for il in range(first, first + count) for t in sizes.experts[il] if t.name not in hosted
        )
        left.append(room - used)
        first += count
    lifted: list[tuple[str, int]] = []
    candidates = [
        t
        for il in range(min(start, len(sizes.ffn)) - 1, -1, -1)
        for t in (*sizes.ffn[il], *sizes.experts[il])
    ]
    for device in range(len(left)):
        for tensor in candidates:
            if tensor.size <= left[device] and all(tensor.name != name for name, _ in lifted):
                lifted.append((tensor.name, device))
                left[device] -= tensor.size
    return tuple(lifted)


def _settings(request: Request, packing: Packing, pinned: frozenset[str]) -> Settings:
    settings = request.settings
    n_offloaded = sum(packing.counts)
    changes: dict[str, object] = {}
    if "n_gpu_layers" not in pinned:
        changes["n_gpu_layers"] = n_offloaded
    if "tensor_split" not in pinned and len(packing.counts) > 1 and n_offloaded:
        changes["tensor_split"] = tuple(float(c) for c in packing.counts)
    if "tensor_buft_overrides" not in pinned:
        devices = request.machine.devices
        names = [d.name for d in _devices(request)] if devices else []
        overrides = [(pattern, names[device]) for device, pattern in _patterns(packing.lifted)]
        overrides += [(pattern, HOST) for pattern in _host_patterns(packing.hosted)]
        changes["tensor_buft_overrides"] = (*settings.tensor_buft_overrides, *overrides)
    return replace(settings, **changes)  # type: ignore[arg-type]


def _devices(request: Request) -> tuple[Device, ...]:
    from budget.memory.devices import model_devices

    return model_devices(request.settings, request.machine)


def _host_patterns(names: frozenset[str]) -> list[str]:
    """Patterns that match exactly `names`, one for each set of projections, layers joined."""
    from budget.runtime.handlers import EXPERTS_REGEX

    by_layer: dict[int, set[str]] = {}
    for name in names:
        by_layer.setdefault(int(name.split(".")[1]), set()).add(name.split(".")[2])
    groups: dict[tuple[str, ...], list[int]] = {}
    for layer, parts in by_layer.items():
        groups.setdefault(tuple(sorted(parts)), []).append(layer)
    patterns = []
    whole = max((len(parts) for parts in groups), default=0)
    for names_of_layer, layers in groups.items():
        layers.sort()
        if len(names_of_layer) == whole >= 2 and layers == list(range(len(layers))):
            # what -ncmoe writes
            patterns += [f"blk\\.{il}{EXPERTS_REGEX}" for il in layers]
        else:
            patterns.append(f"blk\\.({'|'.join(map(str, layers))})\\.({'|'.join(names_of_layer)})\\.")
    return patterns


def _patterns(lifted: Sequence[tuple[str, int]]) -> list[tuple[int, str]]:
    """Patterns for tensors that go to a GPU, one for each device and projection set."""
    groups: dict[tuple[int, int], list[str]] = {}
    for name, device in lifted:
        _, block, part = name.split(".")[:3]
        groups.setdefault((device, int(block)), []).append(part)
    merged: dict[tuple[int, tuple[str, ...]], list[int]] = {}
    for (device, layer), parts in groups.items():
        merged.setdefault((device, tuple(sorted(parts))), []).append(layer)
    return [
        (device, f"blk\\.({'|'.join(map(str, sorted(layers)))})\\.({'|'.join(parts)})\\.")
        for (device, parts), layers in merged.items()
    ]


def _fallback(request: Request, pinned: frozenset[str]) -> Plan | None:
    """Everything on the host, where even that was not tried."""
    if "n_gpu_layers" in pinned:
        return None
    answer = plan(replace(request, settings=replace(request.settings, n_gpu_layers=0, tensor_split=())))
    return answer if answer.fits else None
