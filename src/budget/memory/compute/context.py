"""What llama.cpp's context knows before it reserves: backends, buffer types, weights and caches.

Source: llama-context.cpp, constructor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from budget.memory import kv_cache, recurrent
from budget.memory.compute import families
from budget.memory.compute.builder import Builder
from budget.memory.compute.graph import Shared, Stage
from budget.memory.compute.profiles import Backend, backends
from budget.memory.compute.schedule import N_COPIES, Scheduler
from budget.memory.placement import BufferType, PlacedTensor, Placement, cache_buffer_type
from budget.model.facts import Model
from budget.record import record
from budget.runtime.settings import ContextParams

Accounting = Literal["real", "fit"]


@record(frozen=False, kw_only=False)
class Context:
    """What all reservations of one context share."""

    shared: Shared
    backends: tuple[Backend, ...]
    scheduler: Scheduler
    build: families.Build
    n_copies: int
    has_overrides: bool
    """Some weights were sent elsewhere than their layer."""
    made: dict[Stage, Builder]
    """Graphs that settling the stages made, each to be reserved once where its stage is."""


def make_context(
    model: Model, params: ContextParams, placement: Placement, build: families.Build, accounting: Accounting
) -> Context:
    """Backends and buffer types of `placement`, and the weights and caches in them."""
    names = list(dict.fromkeys(t.name for t in _buffer_types(placement)))
    index = {name: i for i, name in enumerate(names)}
    made = backends(placement, index)
    cpu = len(made) - 1
    device_of = {b.buft: b.index for b in made if not b.is_cpu}
    host = {index[t.name] for t in _buffer_types(placement) if t.is_host}
    shares_host = tuple(
        b.index for b in made if b.device is not None and b.device.kind == "igpu" and b.kind == "cuda"
    )
    able: list[tuple[int, ...]] = []
    for i in range(len(names)):
        if i in device_of:
            able.append((device_of[i],))
        else:
            able.append((*(shares_host if placement.host_buffer_type and i in host else ()), cpu))
    scheduler = Scheduler(made, tuple(able), op_offload=params.op_offload)
    scheduler.offload_bufts = frozenset(host)
    shared = _shared(model, params, placement, index, pin_norms=accounting == "real")
    n_copies = N_COPIES if _pipelines(placement, params, model, made) else 1
    return Context(shared, made, scheduler, build, n_copies, placement.has_overrides, {})


def _buffer_types(placement: Placement) -> Iterator[BufferType]:
    yield from placement.device_buffer_types
    yield placement.cpu_buffer_type
    if placement.host_buffer_type is not None:
        yield placement.host_buffer_type
    for placed in placement.weights:
        yield placed.buffer_type


def _pipelines(placement: Placement, params: ContextParams, model: Model, made: tuple[Backend, ...]) -> bool:
    """Source: llama-context.cpp, constructor."""
    return (
        len(placement.devices) > 1
        and placement.n_gpu_layers > model.n_layer_all
        and placement.split_mode == "layer"
        and params.offload_kqv
        and not placement.has_overrides
        and all(b.pipelines for b in made if not b.is_cpu)
    )


def _shared(
    model: Model,
    params: ContextParams,
    placement: Placement,
    index: dict[str, int],
    *,
    pin_norms: bool,
) -> Shared:
    """What every graph of the context is built from."""
    cpu = len(placement.devices)
    weights: dict[str, PlacedTensor] = {}
    duplicates: dict[str, tuple[PlacedTensor, ...]] = {}
    for placed in placement.weights:
        name = placed.tensor.name
        if placed.is_duplicate:
            duplicates[name] = (*duplicates.get(name, ()), placed)
        else:
            weights[name] = placed
    caches = {
        c.name: c for c in (*kv_cache.cache_tensors(model, params), *recurrent.state_tensors(model, params))
    }
    return Shared(
        model=model,
        params=params,
        weights=weights,
        duplicates=duplicates,
        caches=caches,
        cache_rows={n: index[cache_buffer_type(placement, params, c.layer).name] for n, c in caches.items()},
        buffer_index=index,
        layer_backend=tuple(cpu if d is None else d for d in placement.layer_device),
        n_backends=cpu + 1,
        pin_norms=pin_norms,
        full_offload=placement.n_gpu_layers > model.n_layer_all,
        n_kv=params.n_ctx_seq,
        n_kv_swa=params.n_ctx_seq if model.swa_type == "none" else kv_cache.swa_cells(model, params),
    )


def graph_of(context: Context, stage: Stage) -> Builder:
    """The graph of `stage`, kept until it is reserved."""
    if stage not in context.made:
        context.made[stage] = build_graph(context, stage)
    return context.made[stage]


def build_graph(context: Context, stage: Stage) -> Builder:
    """The graph of `stage`, made anew."""
    graph = Builder(context.shared, stage)
    context.build(graph)
    graph.close()
    return graph


def take_graph(context: Context, stage: Stage) -> Builder:
    """The graph of `stage`, no longer kept: splitting and allocating change it."""
    return context.made.pop(stage) if stage in context.made else build_graph(context, stage)
