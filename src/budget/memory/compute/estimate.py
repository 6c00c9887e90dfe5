"""Closed forms for architectures whose graph is not modelled: rounded up, and called estimates."""

from __future__ import annotations

from budget.memory.compute.result import ComputeBuffers
from budget.memory.placement import Placement
from budget.model.facts import Model
from budget.runtime.settings import ContextParams
from budget.units import MiB, round_up

GUARD = 1.35
"""Largest error of the closed forms against measured mixture-of-experts models; llama.cpp has no such factor."""


def estimate(model: Model, params: ContextParams, placement: Placement, *, note: str) -> ComputeBuffers:
    """The largest of the phases' sums: that of full offload to one GPU, and as much on every device otherwise."""
    n_tokens = min(params.n_ctx, params.n_ubatch)
    peak = round_up(int(GUARD * _peak(model, params, n_tokens)), MiB)
    host = round_up(int(GUARD * (_inputs(model, params, n_tokens) + 8 * n_tokens * model.n_embd)), MiB)
    sizes = {t.name: peak for t in placement.device_buffer_types}
    if not sizes:
        host = peak
    elif any(d is None for d in placement.layer_device):
        host = max(host, peak)
    name = placement.cpu_buffer_type.name
    if placement.devices and placement.host_buffer_type is not None:
        name = placement.host_buffer_type.name
    sizes[name] = host
    return ComputeBuffers(
        bytes_by_buffer=sizes, flash_attn=params.flash_attn != "off", basis="estimate", note=note
    )


def _inputs(model: Model, params: ContextParams, n_tokens: int) -> int:
    mask = (4 if params.flash_attn == "off" else 2) * params.n_ctx_seq * n_tokens
    v_idxs = 8 * n_tokens
    if params.v_trans:
        v_idxs *= max(model.n_head_kv, default=0) * model.n_embd_head_v
    return mask * (1 if model.swa_type == "none" else 2) + 4 * n_tokens * 4 + 8 * n_tokens + v_idxs


def _peak(model: Model, params: ContextParams, n_tokens: int) -> int:
    e, f = model.n_embd, max(model.n_ff, default=0)
    q = max(model.n_head, default=0) * max(model.n_embd_head_k, model.n_embd_head_v)
    base = _inputs(model, params, n_tokens)
    outputs = min(n_tokens, params.n_outputs_max)
    logits = 4 * outputs * ((model.n_vocab or 0) + e) + 4 * n_tokens * e
    ffn = base + 4 * n_tokens * (3 * f + 2 * e + q)
    phases = [logits, ffn]
    if model.n_expert:
        u, fe = model.n_expert_used, model.number("expert_feed_forward_length") or f
        phases.append(base + 4 * n_tokens * (max(2 * u * e + e, 3 * u * fe) + 2 * e + q))
    if params.flash_attn == "off":
        kq = max(model.n_head, default=0) * params.n_ctx_seq
        phases.append(base + 4 * n_tokens * (kq + 2 * e + 2 * q))
    else:
        width = max(model.n_head_kv, default=0) * (model.n_embd_head_k + model.n_embd_head_v)
        scratch = 2 * params.n_ctx_seq * params.n_stream * width
        phases.append(base + 4 * n_tokens * (2 * e + 2 * q) + (scratch if params.type_k.name != "f16" else 0))
    if any(model.is_recurrent):
        inner = model.number("ssm.inner_size") or e
        channels = inner + 2 * model.number("ssm.group_count") * model.number("ssm.state_size")
        state = 4 * model.number("ssm.state_size") * inner * params.n_seq_max
        phases.append(base + 4 * n_tokens * (2 * e + 2 * inner + 4 * channels) + state)
    return max(phases)
