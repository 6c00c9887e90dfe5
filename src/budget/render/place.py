"""The map of layers and tensor groups to devices, as data and as a screen."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from budget.memory.buffer_types import padded_bytes
from budget.memory.compute.result import LiveTensor
from budget.memory.placement import PlacedTensor, cache_buffer_type
from budget.memory.weights import placed_bytes
from budget.planning.fit import Plan
from budget.render.json import ENGINE
from budget.render.screen import GAP, Block, Table, Text, Title
from budget.render.words import VERDICT, VERDICT_STYLE, runs_text, shortfall_lines
from budget.units import counted, format_size

_GROUPS = (
    ("experts", ("_exps.", "_chexps.")),
    ("attention", ("attn", "ssm", "time_mix", "shortconv", "indexer", "cross", "rope_")),
    ("ffn", ("ffn", "channel_mix", "post_", "layer_output")),
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
        "compute": [
            {
                "buffer": name,
                "compute_bytes": size,
                "live_at_peak": None
                if layout.compute.live_at_peak is None
                else [_live_object(t) for t in layout.compute.live_at_peak.get(name, ())],
            }
            for name, size in layout.compute.bytes_by_buffer.items()
        ],
    }


def place_screen(answer: Plan, *, name: str) -> list[Block]:
    """A row for each run of layers whose tensors go to the same places, with the sizes of the whole run."""
    layout = answer.layout
    placement = layout.placement
    n_layer = len(placement.layer_device) - 1
    layers = [_layer(answer, il) for il in range(n_layer)]
    groups = [g for g in (*(g for g, _ in _GROUPS), "other", "cache") if any(g in layer for layer in layers)]
    rows = []
    for _, run in groupby(range(n_layer), key=lambda il: {g: layers[il][g][0] for g in layers[il]}):
        members = list(run)
        cells = []
        for group in groups:
            where = next((layers[il][group][0] for il in members if group in layers[il]), "")
            size = sum(layers[il][group][1] for il in members if group in layers[il])
            cells.append(f"{where} {format_size(size)}" if size else "-")
        rows.append([runs_text(members), *cells])
    blocks = [*_heading(answer, name), GAP, Table(["layers", *groups], rows), GAP]
    for tensor_class in ("input", "output"):
        size, where = _sum(p for p in placement.weights if p.tensor_class == tensor_class)
        blocks.append(Text(f"{tensor_class}: {where} {format_size(size)}"))
    if placement.skipped:
        size = sum(t.nbytes for t in placement.skipped)
        blocks.append(
            Text(f"not loaded: {counted(len(placement.skipped), 'tensor')}, {format_size(size)}", "dim")
        )
    return blocks


def _heading(answer: Plan, name: str) -> list[Block]:
    """The model; where it does not fit, that first."""
    if not answer.failures:
        return [Title(name, "bold")]
    return [
        Title(VERDICT[answer.verdict], VERDICT_STYLE[answer.verdict], name),
        *(Text(text, "bad") for text in shortfall_lines(answer.failures)),
        GAP,
        Text("Where it would go:", "bold"),
    ]


_SHOWN = 12
"""Rows per buffer: the largest tensors; the rest is one row."""


def compute_screen(answer: Plan, *, name: str) -> list[Block]:
    """What lies in each compute buffer when it is fullest."""
    compute = answer.layout.compute
    blocks: list[Block] = [Title(name, "bold")]
    for buffer, size in compute.bytes_by_buffer.items():
        tensors = (compute.live_at_peak or {}).get(buffer, ())
        alive = sum(t.size_bytes for t in tensors)
        rows = [[t.name, t.op, "x".join(map(str, t.ne)), format_size(t.size_bytes)] for t in tensors[:_SHOWN]]
        if len(tensors) > _SHOWN:
            rest = sum(t.size_bytes for t in tensors[_SHOWN:])
            rows.append([f"{len(tensors) - _SHOWN} more", "", "", format_size(rest)])
        heading = f"{buffer}: {format_size(size)}, {format_size(alive)} of it alive at the peak"
        blocks += [GAP, Text(heading, "bold"), Table(["tensor", "op", "shape", "size"], rows, left=(0, 1))]
    if compute.live_at_peak is None or compute.basis != "exact":
        note = compute.note or f"compute buffers are of basis {compute.basis}"
        blocks += [GAP, Text(f"Note: {note}", "dim")]
    return blocks


def live_rows(answer: Plan) -> list[dict[str, Any]]:
    """A row per tensor that is alive at the peak of a compute buffer, for CSV."""
    live = answer.layout.compute.live_at_peak or {}
    return [{"buffer": buffer, **_live_object(t)} for buffer, tensors in live.items() for t in tensors]


def _live_object(tensor: LiveTensor) -> dict[str, Any]:
    return {"name": tensor.name, "op": tensor.op, "ne": list(tensor.ne), "allocated_bytes": tensor.size_bytes}


def _layer(answer: Plan, layer: int) -> dict[str, tuple[str, int]]:
    """Tensor group to where it is and its bytes, the caches being one group; small ones join the largest."""
    layout = answer.layout
    members: dict[str, list[PlacedTensor]] = {}
    for placed in layout.placement.weights:
        if placed.layer == layer and placed.tensor_class == "repeating":
            members.setdefault(group_of(placed), []).append(placed)
    result = {}
    for group, placed_tensors in members.items():
        size, where = _sum(placed_tensors)
        result[group] = (where, size)
    buffer = cache_buffer_type(layout.placement, layout.params, layer)
    cache = sum(padded_bytes(buffer, c.type, c.ne) for c in layout.caches if c.layer == layer)
    if cache:
        result["cache"] = (buffer.name, cache)
    return result


def _sum(placed: Iterable[PlacedTensor]) -> tuple[int, str]:
    total = 0
    sizes: dict[str, int] = {}
    for p in placed:
        size = placed_bytes(p)
        total += size
        sizes[p.buffer_type.name] = sizes.get(p.buffer_type.name, 0) + size
    # the loader moves single small tensors that a device cannot use: name a buffer that holds a share worth seeing
    names = [n for n, size in sizes.items() if size * 100 >= total] or ["-"]
    return total, "+".join(names)
