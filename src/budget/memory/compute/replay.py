"""Compute buffers of a context: build the graphs that llama.cpp reserves, split them, allocate them.

Source: llama-context.cpp, `sched_reserve`, `graph_reserve`.
"""

from __future__ import annotations

from typing import Literal

from budget.errors import BudgetError, UsageError
from budget.memory.compute import families
from budget.memory.compute.allocator import DynAllocator, allocate
from budget.memory.compute.builder import Builder
from budget.memory.compute.context import Accounting, Context, build_graph, make_context, take_graph
from budget.memory.compute.graph import Stage
from budget.memory.compute.result import ComputeBuffers, LiveTensor
from budget.memory.compute.schedule import Schedule
from budget.memory.compute.stages import stages
from budget.memory.compute.tensor import Tensor
from budget.memory.placement import Placement
from budget.model.facts import Model
from budget.record import replace
from budget.runtime.settings import ContextParams


def compute_buffers(
    model: Model,
    params: ContextParams,
    placement: Placement,
    *,
    accounting: Accounting = "real",
    want_live: bool = False,
) -> ComputeBuffers:
    """Bytes of every compute buffer that llama.cpp reserves for this context.

    Args:
        accounting: `real` is what a load allocates; `fit` what llama.cpp's `--fit` measures, which forgets the
            devices that the graph builder chose.
        want_live: also name the tensors that are alive at the peak of each buffer.

    Returns:
        `exact` where the architecture's graph is built and every backend's rules are modelled in full; `formula`
        where a backend's are not; `estimate` where the graph is not known.

    Raises:
        UsageError: settings with which llama.cpp aborts while it builds or splits the graph.
    """
    from budget.memory.compute.estimate import estimate

    build = families.builder(model)
    if build is None:
        return estimate(model, params, placement, note=f"the graph of {model.architecture} is not modelled")
    try:
        return _replay(model, params, placement, build, accounting=accounting, want_live=want_live)
    except (BudgetError, ZeroDivisionError, IndexError, KeyError) as e:
        if isinstance(e, UsageError):
            raise
        if _calm_settings_build(model, params, placement, build, accounting):
            raise UsageError(
                f"llama.cpp aborts with these settings: {e}",
                hint="use -np 1, -kvu, -fa off, or a micro-batch (-ub) that the slots divide",
            ) from e
        return estimate(model, params, placement, note=f"the graph could not be built: {e}")


def _calm_settings_build(
    model: Model,
    params: ContextParams,
    placement: Placement,
    build: families.Build,
    accounting: Accounting,
) -> bool:
    """Whether one sequence has a graph, with flash attention or without: then the settings are at fault, not the file.

    ggml asserts that shapes fit, and the process ends where they do not.
    """
    calm = replace(params, n_seq_max=1, n_stream=1, kv_unified=True, n_ctx_seq=params.n_ctx)
    n_tokens = min(calm.n_ctx, calm.n_ubatch)
    stage = Stage(
        n_tokens=n_tokens, n_seqs=1, n_outputs=min(n_tokens, calm.n_outputs_max),
        flash_attn=params.flash_attn != "off",
    )  # fmt: skip
    without = replace(calm, flash_attn="off", v_trans=True)
    for calmer, tried in ((calm, stage), (without, replace(stage, flash_attn=False))):
        try:
            build_graph(make_context(model, calmer, placement, build, accounting), tried)
        except (BudgetError, ZeroDivisionError, IndexError, KeyError):
            continue
        return True
    return False


def _replay(
    model: Model,
    params: ContextParams,
    placement: Placement,
    build: families.Build,
    *,
    accounting: Accounting,
    want_live: bool,
) -> ComputeBuffers:
    context = make_context(model, params, placement, build, accounting)
    reserved = stages(context)
    if accounting == "fit":
        for stage in reserved[1:]:
            build_graph(context, stage)  # the others are split only, but may abort
        reserved = reserved[:1]  # without memory only the first reservation is measured
    sizes = {b.name: 0 for b in context.backends}
    live: dict[str, tuple[LiveTensor, ...]] = {}
    for stage in reserved:
        schedule = _schedule(context, take_graph(context, stage))
        totals, peaks = _allocate(context, schedule, want_live=want_live)
        for name, total in totals.items():
            if total > sizes[name]:
                sizes[name] = total
                live[name] = peaks.get(name, ())
    return ComputeBuffers(
        bytes_by_buffer={name: size for name, size in sizes.items() if size},
        flash_attn=reserved[0].flash_attn,
        basis=_basis(context),
        n_copies=context.n_copies,
        live_at_peak=live if want_live else None,
        note=_note(context),
    )


def _schedule(context: Context, graph: Builder) -> Schedule:
    context.scheduler.assign(graph.nodes, graph.leafs)
    return context.scheduler.split(graph.nodes, graph.leafs, context.n_copies)


def _allocators(context: Context) -> list[DynAllocator]:
    by_buft: dict[int, DynAllocator] = {}
    result = []
    for b in context.backends:
        if b.buft not in by_buft:
            by_buft[b.buft] = DynAllocator(b.alignment_bytes, b.alloc_size, b.max_chunk_bytes)
        result.append(by_buft[b.buft])
    return result


def _allocate(
    context: Context, schedule: Schedule, *, want_live: bool
) -> tuple[dict[str, int], dict[str, tuple[LiveTensor, ...]]]:
    allocators = _allocators(context)
    if want_live:
        for a in allocators:
            a.clock = -1
    allocate(schedule.nodes, schedule.leafs, allocators)
    totals = {b.name: a.total() for b, a in zip(context.backends, allocators, strict=True)}
    peaks: dict[str, tuple[LiveTensor, ...]] = {}
    if want_live:
        for b, a in zip(context.backends, allocators, strict=True):
            again = _allocators(context)
            allocate(schedule.nodes, schedule.leafs, again, stop_at=max(a.peak_at, 0))
            peaks[b.name] = _alive(schedule, again[b.index])
    return totals, peaks


def _alive(schedule: Schedule, allocator: DynAllocator) -> tuple[LiveTensor, ...]:
    seen: dict[int, Tensor] = {}
    for t in (*schedule.leafs, *schedule.nodes):
        if t.owned and t.alloc is allocator:
            seen[id(t)] = t
    return tuple(
        LiveTensor(name=t.name or t.op.lower(), op=t.op, ne=t.ne, size_bytes=t.size)
        for t in sorted(seen.values(), key=lambda t: -t.size)
    )


def _basis(context: Context) -> Literal["exact", "formula", "estimate"]:
    if context.shared.params.backend_sampling:
        return "estimate"
    if context.shared.model.architecture in families.UNCHECKED:
        return "formula"
    return "exact" if all(b.exact == "exact" for b in context.backends) else "formula"


def _note(context: Context) -> str | None:
    if context.shared.params.backend_sampling:
        return "sampling on the device is counted as its default settings need it"
    if context.shared.model.architecture in families.UNCHECKED:
        return f"the graph of {context.shared.model.architecture} was never compared with a measurement"
    inexact = [b.name for b in context.backends if b.exact != "exact"]
    return f"the rules of {', '.join(inexact)} are not modelled in full" if inexact else None
