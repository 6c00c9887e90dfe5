"""The map of layers and tensor groups to devices, as data and as a screen."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from budget.memory.buffer_types import padded_bytes
from budget.memory.layout import cache_buffer_type
from budget.memory.placement import PlacedTensor
from budget.memory.weights import placed_bytes
from budget.planning.fit import Plan
from budget.render.json import ENGINE
from budget.render.plain import table
from budget.units import format_size

_GROUPS = (
    ("experts", ("_exps.", "_chexps.")),
    ("attention", ("attn", "ssm", "time_mix", "shortconv", "indexer", "cross")),
    ("ffn", ("ffn", "channel_mix")),
)
"""Tensor groups by what their names contain; the first that matches wins."""


def group_of(placed: PlacedTensor) -> str:
    """`experts attention ffn other` for a block, else `input` or `output`."""
    if placed.tensor_class != "repeating":
        return placed.tensor_class
    return next((g for g, words in _GROUPS if any(w in placed.tensor.name for w in words)), "other")


def place_object(answer: Plan, *, path: str) -> dict[str, Any]:
    """`budget/place/v1`: every tensor, every cache."""
    layout = answer.layout
    placement = layout.placement
    names = [None if d is None else placement.devices[d].name for d in placement.layer_device]
    return {
        "schema": "budget/place/v1",
        "engine": ENGINE,
        "path": path,
        "n_gpu_layers": placement.n_gpu_layers,
        "split_mode": placement.split_mode,
        "layers": [{"layer": il, "device": name or "CPU"} for il, name in enumerate(names[:-1])],
        "output_device": names[-1] or "CPU",
        "tensors": [
            {
                "name": p.tensor.name,
                "type": p.tensor.type.name,
                "buffer": p.buffer_type.name,
                "class": p.tensor_class,
                "layer": p.layer,
                "duplicate": p.is_duplicate,
                "allocated_bytes": placed_bytes(p),
            }
            for p in placement.weights
        ],
        "skipped": [{"name": t.name, "tensor_bytes": t.nbytes} for t in placement.skipped],
        "caches": [
            {
                "name": c.name,
                "type": c.type.name,
                "layer": c.layer,
                "buffer": (buffer := cache_buffer_type(placement, layout.params, c.layer)).name,
                "allocated_bytes": padded_bytes(buffer, c.type, c.ne),
            }
            for c in layout.caches
        ],
    }


def place_text(answer: Plan, *, name: str) -> str:
    """A row for each run of layers that look alike."""
    layout = answer.layout
    placement = layout.placement
    rows_by_layer = [_layer_row(answer, il) for il in range(len(placement.layer_device) - 1)]
    rows = []
    for key, group in groupby(enumerate(rows_by_layer), key=lambda item: item[1]):
        layers = [il for il, _ in group]
        span = str(layers[0]) if len(layers) == 1 else f"{layers[0]}-{layers[-1]}"
        rows.append([span, *key])
    for tensor_class in ("input", "output"):
        size, where = _sum(p for p in placement.weights if p.tensor_class == tensor_class)
        rows.insert(
            0 if tensor_class == "input" else len(rows), [tensor_class, where, format_size(size), "-"]
        )
    lines = [
        name,
        "",
        *table(["layer", "buffer", "weights each", "cache each"], [[r[0], *r[1:]] for r in rows]),
    ]
    groups: dict[tuple[str, str], int] = {}
    for placed in placement.weights:
        key = (group_of(placed), placed.buffer_type.name)
        groups[key] = groups.get(key, 0) + placed_bytes(placed)
    lines += [
        "",
        *table(["tensors", "buffer", "size"], [[g, b, format_size(s)] for (g, b), s in groups.items()]),
    ]
    if placement.skipped:
        size = sum(t.nbytes for t in placement.skipped)
        lines.append(f"Not loaded: {len(placement.skipped)} tensors, {format_size(size)}")
    return "\n".join(lines)


def _layer_row(answer: Plan, layer: int) -> tuple[str, str, str]:
    layout = answer.layout
    size, where = _sum(
        p for p in layout.placement.weights if p.layer == layer and p.tensor_class == "repeating"
    )
    buffer = cache_buffer_type(layout.placement, layout.params, layer)
    cache = sum(padded_bytes(buffer, c.type, c.ne) for c in layout.caches if c.layer == layer)
    if cache and buffer.name not in where.split("+"):
        return where, format_size(size), f"{format_size(cache)} on {buffer.name}"
    return where, format_size(size), format_size(cache) if cache else "-"


def _sum(placed: Any) -> tuple[int, str]:
    total = 0
    names: dict[str, None] = {}
    for p in placed:
        total += placed_bytes(p)
        names[p.buffer_type.name] = None
    return total, "+".join(names) or "-"
