"""Bytes of weights per buffer, allocated or mapped."""

from __future__ import annotations

from collections.abc import Sequence

from budget.memory.buffer_types import padded_bytes
from budget.memory.placement import PlacedTensor, Placement
from budget.model.facts import Model

_MAPPED_BACKENDS = {"cpu": "CPU_Mapped", "metal": "{device}_Mapped"}
"""Backends with `buffer_from_host_ptr`, and the name of a mapped buffer."""


def weight_bytes(model: Model, placement: Placement) -> dict[tuple[str, int | None], int]:
    """Bytes of weights by (buffer name, device index; None is the host).

    Source: ggml-alloc.c, `ggml_backend_alloc_ctx_tensors_from_buft`; llama-model-loader.cpp,
    `get_mapping_range`, for mapped files.
    """
    groups: dict[tuple[str, int | None], list[PlacedTensor]] = {}
    for placed in placement.weights:
        if not placed.shares_with_input:
            key = (placed.buffer_type.name, placed.buffer_type.device)
            groups.setdefault(key, []).append(placed)
    result = {}
    for (name, device), group in groups.items():
        mapped = _mapped_name(group[0], placement)
        if mapped is not None:
            result[(mapped, device)] = _mapped_bytes(model, group)
        else:
            result[(name, device)] = sum(placed_bytes(p) for p in group)
    return result


def placed_bytes(placed: PlacedTensor) -> int:
    """Bytes that one placed weight takes, alignment included; 0 for one that shares another's memory."""
    if placed.shares_with_input:
        return 0
    return padded_bytes(placed.buffer_type, placed.tensor.type, placed.tensor.ne)


def _mapped_name(placed: PlacedTensor, placement: Placement) -> str | None:
    """Name of the mapped buffer that replaces an allocation, None where nothing is mapped."""
    if not placement.mmap or placed.buffer_type.name == "CPU_REPACK":
        return None
    name = _MAPPED_BACKENDS.get(placed.buffer_type.backend)
    return name.format(device=placed.buffer_type.name) if name else None


def _mapped_bytes(model: Model, group: Sequence[PlacedTensor]) -> int:
    """Bytes of file that the tensors span, gaps included, summed over shards."""
    offsets = model.header.shard_data_offsets or (model.header.data_offset,)
    total = 0
    for shard, data_offset in enumerate(offsets):
        spans = [
            (data_offset + p.tensor.offset, data_offset + p.tensor.offset + p.tensor.nbytes)
            for p in group
            if p.tensor.shard == shard
        ]
        if spans:
            total += max(end for _, end in spans) - min(start for start, _ in spans)
    return total
