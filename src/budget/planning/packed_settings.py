"""A packing as llama.cpp's settings: `-ngl`, `-ts`, and `-ot` patterns for what does not follow its layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from budget.memory.devices import model_devices
from budget.memory.layout import HOST
from budget.planning.fit import Request
from budget.planning.movable import Item
from budget.planning.packing import Packing
from budget.runtime.handlers import EXPERTS_REGEX
from budget.runtime.settings import Settings


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
