"""Compute buffers of a context: build the graphs that llama.cpp reserves, split them, allocate them.

Source: llama-context.cpp, `sched_reserve`, `graph_reserve`, `resolve_fused_ops`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from budget.errors import BudgetError, UsageError
from budget.gguf.types import F32
from budget.memory import kv_cache, recurrent
from budget.memory.compute import families
from budget.memory.compute.allocator import DynAllocator, allocate
from budget.memory.compute.builder import Builder
from budget.memory.compute.graph import Shared, Stage
from budget.memory.compute.profiles import Backend, backends
from budget.memory.compute.result import ComputeBuffers, LiveTensor
from budget.memory.compute.schedule import N_COPIES, Schedule, Scheduler
from budget.memory.compute.tensor import Tensor
from budget.memory.placement import BufferType, PlacedTensor, Placement
from budget.model.facts import Model
from budget.record import record, replace
from budget.runtime.settings import ContextParams
from budget.units import round_up

Accounting = Literal["real", "fit"]
ONE_SEQUENCE_LAST = frozenset({"kimi-linear", "minimax-01"})
"""Architectures whose third reservation is for one sequence (llama-context.cpp, TAG_RESERVE_DIAG_DECAY)."""
FUSED_PROBES = (("hc_pre", 1), ("hc_comb", 1), ("hc_post", 1))
"""Fused operations in the order they are settled, with the tokens per sequence of the probe.

Source: llama-context.cpp; the constructor leaves gated delta nets and the lightning indexer fused, unprobed.
"""
SMALL_BATCH = 32
"""Below this many tokens per sequence the reservation for token generation can need more than that for prompts."""
SMALL_SHARE = 64
"""A prompt of this many tokens for each sequence needs more host memory for its inputs alone than a token of each
sequence for what it computes: about 40 rows of the embedding, where a prompt keeps two for each token."""


@record(frozen=False, kw_only=False)
class Plan:
    """What all stages of one context share."""

    shared: Shared
    backends: tuple[Backend, ...]
    scheduler: Scheduler
    build: families.Build
    n_copies: int
    has_overrides: bool
    """Some weights were sent elsewhere than their layer."""
    made: dict[Stage, Builder]
    """Graphs that settling the stages made, each to be reserved once where its stage is."""


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
            _build(_plan(model, calmer, placement, build, accounting), tried)
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
    plan = _plan(model, params, placement, build, accounting)
    stages = _stages(plan)
    if accounting == "fit":
        for stage in stages[1:]:
            _build(plan, stage)  # the others are split only, but may abort
        stages = stages[:1]  # without memory only the first reservation is measured
    sizes = {b.name: 0 for b in plan.backends}
    live: dict[str, tuple[LiveTensor, ...]] = {}
    schedule = None
    for stage in stages:
        schedule = _schedule(plan, _taken(plan, stage))
        totals, peaks = _allocate(plan, schedule, want_live=want_live)
        for name, total in totals.items():
            if total > sizes[name]:
                sizes[name] = total
                live[name] = peaks.get(name, ())
    return ComputeBuffers(
        bytes_by_buffer={name: size for name, size in sizes.items() if size},
        flash_attn=stages[0].flash_attn,
        basis=_basis(plan),
        n_copies=plan.n_copies,
        live_at_peak=live if want_live else None,
        note=_note(plan),
    )


def _plan(
    model: Model, params: ContextParams, placement: Placement, build: families.Build, accounting: Accounting
) -> Plan:
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
    shared = _shared(model, params, placement, index, cpu)
    shared.pin_norms = accounting == "real"
    n_copies = N_COPIES if _pipelines(placement, params, model, made) else 1
    return Plan(shared, made, scheduler, build, n_copies, placement.has_overrides, {})


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
    cpu: int,
) -> Shared:
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
    cpu_buft = index[placement.cpu_buffer_type.name]
    device_bufts = [index[t.name] for t in placement.device_buffer_types]
    rows = {}
    for name, cache in caches.items():
        device = placement.layer_device[cache.layer] if params.offload_kqv else None
        rows[name] = cpu_buft if device is None else device_bufts[device]
    return Shared(
        model=model,
        params=params,
        weights=weights,
        duplicates=duplicates,
        caches=caches,
        cache_rows=rows,
        buffer_index=index,
        layer_backend=tuple(cpu if d is None else d for d in placement.layer_device),
        n_backends=cpu + 1,
        pin_norms=True,
        full_offload=placement.n_gpu_layers > model.n_layer_all,
        n_kv=params.n_ctx_seq,
        n_kv_swa=params.n_ctx_seq if model.swa_type == "none" else kv_cache.swa_cells(model, params),
    )


def _stages(plan: Plan) -> list[Stage]:
    """The stages to reserve."""
    params, model = plan.shared.params, plan.shared.model
    n_tokens = min(params.n_ctx, params.n_ubatch)
    n_seqs = params.n_seq_max
    prompt = Stage(
        n_tokens=round_up(n_tokens, n_seqs),
        n_seqs=n_seqs,
        n_outputs=min(n_tokens, params.n_outputs_max),
        flash_attn=params.flash_attn != "off",
    )
    prompt = _resolve(plan, prompt)
    stages = [prompt]
    if prompt.n_tokens < SMALL_BATCH * n_seqs or _token_needs_host(plan, prompt):
        stages.append(replace(prompt, n_tokens=n_seqs, n_outputs=n_seqs))
    if model.arch is not None and model.arch.name in ONE_SEQUENCE_LAST:
        stages.append(replace(prompt, n_tokens=n_tokens, n_seqs=1))
    return stages


def _token_needs_host(plan: Plan, prompt: Stage) -> bool:
    """Whether one token may need more memory than a prompt, where some of the model lies on the host.

    A prompt's operations move to a device even where their weights lie in host memory, a token's do not. Then what
    grows with the context (attention without flash attention, caches in f32 that it casts, caches that cross to a
    device), with the state, or with many sequences beside a small batch is as large for a token or larger.
    """
    shared = plan.shared
    params = shared.params
    host = shared.n_backends - 1
    if host == 0:
        return False
    if not params.offload_kqv:
        return True
    if host > 1 and (host in shared.layer_backend or plan.has_overrides):
        return True  # a prompt's operations all move to the first device
    if host not in shared.layer_backend and not plan.has_overrides:
        return False
    return (
        not prompt.flash_attn
        or any(shared.model.is_recurrent)
        or F32 in (params.type_k, params.type_v)
        or prompt.n_seqs * SMALL_SHARE > prompt.n_tokens
    )


def _resolve(plan: Plan, stage: Stage) -> Stage:
    """Settle which fused operations stay on.

    Source: llama-context.cpp, `resolve_fused_ops`.
    """
    if len(plan.backends) == 1:
        return stage
    if plan.shared.params.flash_attn == "auto":
        stage = _resolve_flash_attn(plan, stage)
    return _resolve_fused(plan, stage) if _made(plan, stage).fused else stage


def _resolve_flash_attn(plan: Plan, stage: Stage) -> Stage:
    """`auto` stays on when flash attention of each layer runs on the device of the layer."""
    shared = plan.shared
    on_devices = all(b < shared.n_backends - 1 for b in shared.layer_backend[:-1])
    stays = not (plan.has_overrides and _attention_on_host(shared))
    if shared.params.offload_kqv and on_devices and stays and not any(shared.model.is_recurrent):
        # each node stands between operations with weights and caches of its own layer's device
        fattn = _made(plan, stage).fattn
        on = all(plan.backends[shared.layer_backend[il]].supports(t) for t, il in fattn)
    else:
        on = all(t.backend == shared.layer_backend[il] for t, il in _probe(plan, stage, 1).fattn)
    return stage if on else replace(stage, flash_attn=False)


def _attention_on_host(shared: Shared) -> bool:
    """Whether weights of attention were sent to the host, so that it may run on another device than its layer's."""
    return any(".attn" in name and placed.buffer_type.is_host for name, placed in shared.weights.items())


def _resolve_fused(plan: Plan, stage: Stage) -> Stage:
    for name, n_tokens_per_seq in FUSED_PROBES:
        nodes = _probe(plan, stage, n_tokens_per_seq).fused.get(name, ())
        if any(t.backend != plan.shared.layer_backend[il] for t, il in nodes):
            stage = replace(stage, **{f"fused_{name}": False})
    return stage


def _probe(plan: Plan, stage: Stage, n_tokens_per_seq: int) -> Builder:
    """A small graph, assigned to backends but not allocated.

    Even a fit keeps the devices that the graph builder chose here: it forgets them where it measures
    (`ggml_backend_sched_reserve_size` resets the scheduler, `ggml_backend_sched_split_graph` does not).
    """
    n = n_tokens_per_seq * stage.n_seqs
    small = replace(stage, n_tokens=n, n_outputs=n)
    kept, plan.shared.pin_norms = plan.shared.pin_norms, True
    graph = _made(plan, small) if kept else _build(plan, small)
    plan.shared.pin_norms = kept
    plan.scheduler.assign(graph.nodes, graph.leafs)
    return graph


def _made(plan: Plan, stage: Stage) -> Builder:
    """The graph of `stage`, kept until it is reserved."""
    if stage not in plan.made:
        plan.made[stage] = _build(plan, stage)
    return plan.made[stage]


def _build(plan: Plan, stage: Stage) -> Builder:
    graph = Builder(plan.shared, stage)
    plan.build(graph)
    graph.close()
    return graph


def _taken(plan: Plan, stage: Stage) -> Builder:
    """The graph of `stage`, no longer kept: splitting and allocating change it."""
    return plan.made.pop(stage) if stage in plan.made else _build(plan, stage)


def _schedule(plan: Plan, graph: Builder) -> Schedule:
    plan.scheduler.assign(graph.nodes, graph.leafs)
    return plan.scheduler.split(graph.nodes, graph.leafs, plan.n_copies)


def _allocators(plan: Plan) -> list[DynAllocator]:
    by_buft: dict[int, DynAllocator] = {}
    result = []
    for b in plan.backends:
        if b.buft not in by_buft:
            by_buft[b.buft] = DynAllocator(b.alignment_bytes, b.alloc_size, b.max_chunk_bytes)
        result.append(by_buft[b.buft])
    return result


def _allocate(
    plan: Plan, schedule: Schedule, *, want_live: bool
) -> tuple[dict[str, int], dict[str, tuple[LiveTensor, ...]]]:
    allocators = _allocators(plan)
    if want_live:
        for a in allocators:
            a.clock = -1
    allocate(schedule.nodes, schedule.leafs, allocators)
    totals = {b.name: a.total() for b, a in zip(plan.backends, allocators, strict=True)}
    peaks: dict[str, tuple[LiveTensor, ...]] = {}
    if want_live:
        for b, a in zip(plan.backends, allocators, strict=True):
            again = _allocators(plan)
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


def _basis(plan: Plan) -> Literal["exact", "formula", "estimate"]:
    if plan.shared.params.backend_sampling:
        return "estimate"
    if plan.shared.model.architecture in families.UNCHECKED:
        return "formula"
    return "exact" if all(b.exact == "exact" for b in plan.backends) else "formula"


def _note(plan: Plan) -> str | None:
    if plan.shared.params.backend_sampling:
        return "sampling on the device is counted as its default settings need it"
    if plan.shared.model.architecture in families.UNCHECKED:
        return f"the graph of {plan.shared.model.architecture} was never compared with a measurement"
    inexact = [b.name for b in plan.backends if b.exact != "exact"]
    return f"the rules of {', '.join(inexact)} are not modelled in full" if inexact else None
