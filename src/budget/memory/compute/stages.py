"""Which graphs llama.cpp reserves for, and which fused operations stay on in them.

Source: llama-context.cpp, `sched_reserve`, `resolve_fused_ops`.
"""

from __future__ import annotations

from budget.gguf.types import F32
from budget.memory.compute.builder import Builder
from budget.memory.compute.context import Context, build_graph, graph_of
from budget.memory.compute.graph import Shared, Stage
from budget.record import replace
from budget.units import round_up

ONE_SEQUENCE_LAST = frozenset({"kimi-linear", "minimax-01"})
"""Architectures whose third reservation is for one sequence (llama-context.cpp, TAG_RESERVE_DIAG_DECAY)."""
FUSED_OPS = ("hc_pre", "hc_comb", "hc_post")
"""Fused operations in the order in which they are settled.

Source: llama-context.cpp; the constructor leaves gated delta nets and the lightning indexer fused, unprobed.
"""
SMALL_BATCH = 32
"""Below this many tokens per sequence the reservation for token generation can need more than that for prompts."""
SMALL_SHARE = 64
"""A prompt of this many tokens for each sequence needs more host memory for its inputs alone than a token of each
sequence for what it computes: about 40 rows of the embedding, where a prompt keeps two for each token."""


def stages(context: Context) -> list[Stage]:
    """What to reserve for: a prompt, and what may need more than it."""
    params, model = context.shared.params, context.shared.model
    n_tokens = min(params.n_ctx, params.n_ubatch)
    n_seqs = params.n_seq_max
    prompt = Stage(
        n_tokens=round_up(n_tokens, n_seqs),
        n_seqs=n_seqs,
        n_outputs=min(n_tokens, params.n_outputs_max),
        flash_attn=params.flash_attn != "off",
    )
    prompt = _resolve(context, prompt)
    result = [prompt]
    if prompt.n_tokens < SMALL_BATCH * n_seqs or _token_needs_host(context, prompt):
        result.append(replace(prompt, n_tokens=n_seqs, n_outputs=n_seqs))
    if model.arch is not None and model.arch.name in ONE_SEQUENCE_LAST:
        result.append(replace(prompt, n_tokens=n_tokens, n_seqs=1))
    return result


def _token_needs_host(context: Context, prompt: Stage) -> bool:
    """Whether one token may need more memory than a prompt, where some of the model lies on the host.

    A prompt's operations move to a device even where their weights lie in host memory, a token's do not. Then what
    grows with the context (attention without flash attention, caches in f32 that it casts, caches that cross to a
    device), with the state, or with many sequences beside a small batch is as large for a token or larger.
    """
    shared = context.shared
    params = shared.params
    host = shared.n_backends - 1
    if host == 0:
        return False
    if not params.offload_kqv:
        return True
    if host > 1 and (host in shared.layer_backend or context.has_overrides):
        return True  # a prompt's operations all move to the first device
    if host not in shared.layer_backend and not context.has_overrides:
        return False
    return (
        not prompt.flash_attn
        or any(shared.model.is_recurrent)
        or F32 in (params.type_k, params.type_v)
        or prompt.n_seqs * SMALL_SHARE > prompt.n_tokens
    )


def _resolve(context: Context, stage: Stage) -> Stage:
    """Settle which fused operations stay on.

    Source: llama-context.cpp, `resolve_fused_ops`.
    """
    if len(context.backends) == 1:
        return stage
    if context.shared.params.flash_attn == "auto":
        stage = _resolve_flash_attn(context, stage)
    return _resolve_fused(context, stage) if graph_of(context, stage).fused else stage


def _resolve_flash_attn(context: Context, stage: Stage) -> Stage:
    """`auto` stays on when flash attention of each layer runs on the device of the layer."""
    shared = context.shared
    on_devices = all(b < shared.n_backends - 1 for b in shared.layer_backend[:-1])
    stays = not (context.has_overrides and _attention_on_host(shared))
    if shared.params.offload_kqv and on_devices and stays and not any(shared.model.is_recurrent):
        # each node stands between operations with weights and caches of its own layer's device
        fattn = graph_of(context, stage).fattn
        on = all(context.backends[shared.layer_backend[il]].supports(t) for t, il in fattn)
    else:
        on = all(t.backend == shared.layer_backend[il] for t, il in _probe(context, stage).fattn)
    return stage if on else replace(stage, flash_attn=False)


def _attention_on_host(shared: Shared) -> bool:
    """Whether weights of attention were sent to the host, so that it may run on another device than its layer's."""
    return any(".attn" in name and placed.buffer_type.is_host for name, placed in shared.weights.items())


def _resolve_fused(context: Context, stage: Stage) -> Stage:
    for name in FUSED_OPS:
        nodes = _probe(context, stage).fused.get(name, ())
        if any(t.backend != context.shared.layer_backend[il] for t, il in nodes):
            stage = replace(stage, **{f"fused_{name}": False})
    return stage


def _probe(context: Context, stage: Stage) -> Builder:
    """A graph of one token per sequence, assigned to backends but not allocated.

    Even a fit keeps the devices that the graph builder chose here: it forgets them where it measures
    (`ggml_backend_sched_reserve_size` resets the scheduler, `ggml_backend_sched_split_graph` does not).
    """
    small = replace(stage, n_tokens=stage.n_seqs, n_outputs=stage.n_seqs)
    kept, context.shared.pin_norms = context.shared.pin_norms, True
    graph = graph_of(context, small) if kept else build_graph(context, small)
    context.shared.pin_norms = kept
    context.scheduler.assign(graph.nodes, graph.leafs)
    return graph
