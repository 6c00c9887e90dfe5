"""What can be moved between devices and the host, and its size: layers, experts, single FFN matrices."""

from __future__ import annotations

import re
from dataclasses import dataclass

from budget.memory.buffer_types import padded_bytes
from budget.memory.kv_cache import cache_tensors
from budget.memory.layout import Layout
from budget.memory.placement import PlacedTensor
from budget.memory.recurrent import state_tensors
from budget.planning.fit import Request
from budget.runtime.handlers import EXPERTS_REGEX
from budget.runtime.settings import resolve

EXPERTS = re.compile(rf"{EXPERTS_REGEX}\.")
_FFN = re.compile(r"\.ffn_(up|down|gate)(_shexp)?\.weight\Z")
SMALL_BYTES = 1 << 20
"""Smaller FFN matrices are not worth a pattern."""


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
        experts = EXPERTS.search(name) is not None
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
