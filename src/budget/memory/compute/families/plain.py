"""Decoders with a K/V cache that differ only in details: one builder, and what it has to know (`plain_table`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.decoder import expert_gating, uses_mrope
from budget.memory.compute.families.layers import deepstack, mapped_deepstack
from budget.memory.compute.tensor import Tensor

NormKind = Literal["rms", "layer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moe:
    """The mixture of experts in layers that have a router; the dense block is beside it in the source."""

    act: str = "silu"
    norm_w: bool | None = True
    """Weights of the chosen experts are normalised; None: as the header says (`expert_weights_norm`)."""
    gating: str = "softmax"
    gating_key: bool = False
    """The header's `expert_gating_func` decides; `gating` where it has none."""
    scale_key: bool = False
    """The loader reads `expert_weights_scale`."""
    probs_bias: bool = False
    """The builder passes the selection bias (`exp_probs_b`)."""
    shared: Literal["", "added", "gated", "dense"] = ""
    """Shared experts beside the routed ones, where the file has them; `dense`: the dense block, and the sum scaled."""
    gate_up: bool = False
    """The builder passes merged gate and up experts."""
    scales: bool = False
    """The builder passes the scales of NVFP4 files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """How a decoder differs from the plain one: norm, attention, residual, norm, feed-forward, residual."""

    norm: NormKind = "rms"
    weighted: bool = True
    """Norms have weights."""
    embd_scale: Literal["", "key", "always"] = ""
    """The embedding is scaled: where the header says so (`embedding_scale`), or always."""
    embd_norm: bool = False
    """The embedding is normalised (`token_embd_norm`)."""
    learned_positions: Literal["", "always", "if present"] = ""
    rope: Literal["all", "none", "finetuned", "3 of 4", "n_layer==32"] = "all"
    """Layers with rope; `finetuned`: the header can switch it off (`rope.scaling.finetuned`)."""
    mrope: Literal["", "always", "sections"] = ""
    """Positions have four dimensions: always, or where the header has sections."""
    factors: bool = False
    """The builder passes rope tables."""
    alibi: Literal["", "always", "key", "n_layer==40"] = ""
    clamp: bool = False
    """The loader reads `attention.clamp_kqv`."""
    qk_norm: Literal["", "before", "after", "rows"] = ""
    """Q and K are normalised before or after rope where the file has weights; `rows`: before heads are split."""
    temperature: bool = False
    """Q is scaled by position where the header says so (`attention.temperature_scale`)."""
    q_scale: bool = False
    wo_bias: bool = True
    """False where the builder ignores the bias that its loader accepts."""
    post_attn_norm: str = ""
    ffn_norm: str = "ffn_norm"
    post_ffn_norm: tuple[str, ...] = ()
    """The first name that the file has."""
    act: str = "silu"
    gated: bool = True
    """A parallel gate; otherwise none."""
    biases: bool = True
    """False where the builder ignores biases of the feed-forward block that its loader accepts."""
    scales: bool = False
    """The builder passes the feed-forward scales of NVFP4 files."""
    moe: Moe | None = None
    residual_scale: Literal["", "key", "always"] = ""
    deepstack: Literal["", "after", "mapping"] = ""
    """Inputs beside the embedding are added after the first layers, or before the layers that the header maps."""
    loops: bool = False
    """The blocks run `num_loops` times, with caches of their own."""
    nextn: bool = False
    """The last norm is also what a multi-token-prediction head reads."""
    late_rows: bool = False
    """Rows that become outputs are selected after the last norm."""
    logit_scale: bool = False
    softcap: bool = False
    """Logits are capped where the header says so (`final_logit_softcapping`)."""
    pad_logits: bool = False
    """An output matrix with fewer rows than the embedding is padded."""
    output_scale: bool = True
    """The builder passes the scale of the output matrix of NVFP4 files."""
    output_bias: bool = True


def plain(g: Builder) -> None:
    """Source: src/models/<file of the architecture>.cpp; `plain_table` has what each says."""
    from budget.memory.compute.families.plain_table import PLAIN

    build(g, PLAIN[g.arch])


def build(g: Builder, f: Plain) -> None:
    """The graph of the decoder that `f` describes."""
    x = embed(g, f)
    pos = g.inp_pos(4 if f.mrope == "always" or (f.mrope == "sections" and uses_mrope(g)) else 1)
    inp = g.attn_inp_kv()
    scale = g.inp_attn_scale() if f.temperature and g.model.key("attention.temperature_scale") else None
    if f.learned_positions == "always" or (f.learned_positions and g.weight("position_embd.weight")):
        x = g.add(x, g.get_rows(g.top("position_embd"), pos))
    out_ids = g.inp_out_ids()
    n_blocks = g.n_layer // (g.model.number("num_loops", 1) or 1) if f.loops else g.n_layer
    g.alias = {il: il % n_blocks for il in range(n_blocks, g.n_layer)}
    for il in range(g.n_layer):
        skip = x = mapped_deepstack(g, il, x) if f.deepstack == "mapping" else x
        cur = attention(g, f, inp, il, norm(g, f, x, il, "attn_norm"), pos, scale)
        if not f.late_rows:
            cur, skip = g.select_rows(il, out_ids, cur, skip)
        if f.post_attn_norm:
            cur = g.norm_w(cur, il, f.post_attn_norm)
        skip = g.add(residual(g, f, cur), skip)
        cur = feed_forward(g, f, il, norm(g, f, skip, il, f.ffn_norm))
        if f.post_ffn_norm:
            cur = g.norm_w(cur, il, next(n for n in f.post_ffn_norm if g.opt(il, n) is not None))
        x = g.add(residual(g, f, cur), skip)
        if f.deepstack == "after" and il < g.model.number("n_deepstack_layers"):
            x = g.add(x, deepstack(g, il + 1))
        if (il + 1) % n_blocks == 0 and il + 1 < g.n_layer and not g.model.key("skip_loop_final_norm"):
            x = g.norm(x, g.top("output_norm"), il=il)
    finish(g, f, x, out_ids)


def embed(g: Builder, f: Plain) -> Tensor:
    """The embedding, scaled and normalised; ALiBi is noted here since it belongs to the whole graph."""
    g.alibi = (
        f.alibi == "always"
        or (f.alibi == "key" and bool(g.model.key("attention.max_alibi_bias")))
        or (f.alibi == "n_layer==40" and g.n_layer == 40)
    )
    x = g.inp_embd(
        scale=f.embd_scale == "always" or (f.embd_scale == "key" and bool(g.model.key("embedding_scale")))
    )
    if f.embd_norm:
        x = g.norm(x, g.top("token_embd_norm"), g.weight("token_embd_norm.bias"), kind=f.norm, il=0)
    return x


def norm(g: Builder, f: Plain, x: Tensor, il: int, name: str) -> Tensor:
    """A norm of block `il`, or one without weights."""
    return g.norm_w(x, il, name, kind=f.norm) if f.weighted else g.norm(x, None, kind=f.norm)


def attention(
    g: Builder, f: Plain, inp: AttnInput, il: int, cur: Tensor, pos: Tensor, scale: Tensor | None = None
) -> Tensor:
    """Projections, norms and rope, attention and its output."""
    clamp = f.clamp and bool(g.model.key("attention.clamp_kqv"))
    head = g.n_embd_head_v
    if f.qk_norm == "rows":
        q, k, v = g.qkv(il, cur, reshape=False)
        q, k = _qk_norm(g, f, il, q, k)
        q, k, v = (g.reshape(t, head, t.ne[0] // head, g.n_tokens) for t in (q, k, v))
    else:
        q, k, v = g.qkv(il, cur, clamp=clamp)
        if f.qk_norm == "before":
            q, k = _qk_norm(g, f, il, q, k)
    if _has_rope(g, f, il):
        factors = g.rope_factors(g.alias.get(il, il)) if f.factors else None
        q, k = g.rope(q, pos, factors), g.rope(k, pos, factors)
    if f.qk_norm == "after":
        q, k = _qk_norm(g, f, il, q, k)
    if scale is not None:
        q = g.mul(q, scale)
    if f.q_scale:
        q = g.scale(q)
    return g.attn(inp, il, q, k, v, wo_bias=f.wo_bias)


def _qk_norm(g: Builder, f: Plain, il: int, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    wq, wk = g.opt(il, "attn_q_norm"), g.opt(il, "attn_k_norm")
    if wq is not None:
        q = g.norm(q, wq, kind=f.norm, il=il)
    if wk is not None:
        k = g.norm(k, wk, kind=f.norm, il=il)
    return q, k


def _has_rope(g: Builder, f: Plain, il: int) -> bool:
    if f.rope == "finetuned":
        return bool(g.model.key("rope.scaling.finetuned", True))
    if f.rope == "3 of 4":
        return (il + 1) % 4 != 0
    if f.rope == "n_layer==32":
        return g.n_layer == 32
    return f.rope == "all"


def residual(g: Builder, f: Plain, cur: Tensor) -> Tensor:
    """What a block adds to the residual stream."""
    if f.residual_scale == "always" or (f.residual_scale and g.model.key("residual_scale")):
        return g.scale(cur)
    return cur


def feed_forward(g: Builder, f: Plain, il: int, cur: Tensor) -> Tensor:
    """The dense block, or the experts where the layer has a router."""
    moe = f.moe
    if moe is None or g.opt(il, "ffn_gate_inp") is None:
        return g.ffn(
            il,
            cur,
            f.act,
            gate="ffn_gate" if f.gated else "",
            parallel=f.gated,
            scales=f.scales,
            biases=f.biases,
        )
    routed = g.moe(
        il,
        cur,
        act=moe.act,
        gating=expert_gating(g, moe.gating) if moe.gating_key else moe.gating,
        norm_w=bool(g.model.key("expert_weights_norm")) if moe.norm_w is None else moe.norm_w,
        scale_w=None if moe.scale_key else 0.0,
        exp_probs="exp_probs_b" if moe.probs_bias else "",
        gate_up="ffn_gate_up_exps" if moe.gate_up else "",
        scales=moe.scales,
    )
    if moe.shared == "dense" and g.opt(il, "ffn_up") is not None:
        return g.scale(g.add(g.ffn(il, cur, moe.act, scales=False, biases=False), routed))
    if not moe.shared or g.opt(il, "ffn_up_shexp") is None:
        return routed
    shared = shared_experts(g, il, cur, scales=moe.scales)
    if moe.shared == "gated":
        gate = g.mul_mat(g.w(il, "ffn_gate_inp_shexp"), cur)
        shared = g.mul(shared, g.div(g.unary("silu", gate), gate))
    return g.add(routed, shared)


def shared_experts(g: Builder, il: int, cur: Tensor, *, scales: bool = False) -> Tensor:
    """The experts that every token uses."""
    return g.ffn(
        il, cur, up="ffn_up_shexp", gate="ffn_gate_shexp", down="ffn_down_shexp", scales=scales, biases=False
    )


def finish(g: Builder, f: Plain, x: Tensor, out_ids: Tensor) -> None:
    """The last norm and the logits."""
    cur = g.head_norm(x, kind=f.norm) if f.weighted else g.norm(x, None, kind=f.norm)
    if f.nextn:
        g.t_h_nextn = cur
    if f.late_rows:
        cur = g.get_rows(cur, out_ids)

    def pad(logits: Tensor) -> Tensor:
        n_pad = g.tok_embd().ne[1] - g.output().ne[1]
        if n_pad <= 0:
            return logits
        fill = g.scale(g.view_1d(g.top("output_norm"), 1))
        return g.concat(g.repeat(fill, n_pad, logits.ne[1]), logits, 0)

    g.finish(
        cur,
        logit_scale=f.logit_scale,
        softcap=f.softcap and bool(g.model.key("final_logit_softcapping")),
        scaled=f.output_scale,
        bias=f.output_bias,
        then=pad if f.pad_logits else None,
    )
