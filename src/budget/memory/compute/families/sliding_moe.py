"""Mixtures of experts whose layers alternate between a sliding window and the whole context."""

from __future__ import annotations

from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.decoder import expert_gating
from budget.memory.compute.families.layers import (
    Heads,
    dense,
    dense_or_experts,
    fused_heads,
    gate_of,
    gated_output,
    mapped_deepstack,
    normed_heads,
    pre_norm_layers,
    rope_attention,
    routed,
    routed_and_shared,
    shared_expert,
)
from budget.memory.compute.tensor import Tensor


def smallthinker(g: Builder) -> None:
    """Source: src/models/smallthinker.cpp: experts are chosen from the input of the layer."""
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = g.attn_inp_kv_auto()
    out_ids = g.inp_out_ids()
    step = g.n_layer if g.model.swa_type == "none" else 4
    for il in range(g.n_layer):
        probs = g.mul_mat(g.w(il, "ffn_gate_inp"), x, "ffn_moe_logits")
        q, k, v = g.qkv(il, g.norm_w(x, il, "attn_norm"))
        if step == g.n_layer or il % step:
            q, k = g.rope(q, pos), g.rope(k, pos)
        cur = g.attn(inp, il, q, k, v)
        cur, x, probs = g.select_rows(il, out_ids, cur, x, probs)
        skip = g.add(cur, x)
        cur = g.norm_w(skip, il, "ffn_norm")
        gating = expert_gating(g, "")
        cur = g.moe(il, cur, act="relu", gating=gating, norm_w=True, scale_w=0.0, probs_in=probs)
        x = g.add(cur, skip)
    g.finish(g.head_norm(x))


def afmoe(g: Builder) -> None:
    """Source: src/models/afmoe.cpp: scaled embedding, gated attention, norms after the blocks."""
    x = g.scale(g.inp_embd(), "inp_scaled")
    pos = g.inp_pos()
    inp = g.attn_inp_kv_auto()
    out_ids = g.inp_out_ids()
    n_dense = g.model.number("leading_dense_block_count")
    n_shared = g.model.number("expert_shared_count")
    for il in range(g.n_layer):
        normed = g.norm_w(x, il, "attn_norm")
        q, k, v = normed_heads(g, il, normed)
        if (il + 1) % 4:
            q, k = g.rope(q, pos), g.rope(k, pos)
        cur = g.attn(inp, il, q, k, v, wo_name="")
        cur = gated_output(g, il, cur, gate_of(g, il, normed))
        cur = g.norm_w(cur, il, "post_attention_norm")
        cur, x = g.select_rows(il, out_ids, cur, x)
        skip = g.add(cur, x)
        cur = g.norm_w(skip, il, "ffn_norm")
        experts = routed_and_shared if n_shared else routed
        cur = g.ffn(il, cur) if il < n_dense else experts(g, il, cur)
        x = g.add(g.norm_w(cur, il, "post_ffw_norm"), skip)
    g.finish(g.head_norm(x))


def exaone_moe(g: Builder) -> None:
    """Source: src/models/exaone-moe.cpp."""
    attention = rope_attention(normed=True, rope="swa", factors=True)
    g.finish(g.head_norm(pre_norm_layers(g, g.attn_inp_kv_iswa(), attention, dense_or_experts)))


def cohere2moe(g: Builder) -> None:
    """Source: src/models/cohere2moe.cpp: blocks beside each other; rows are selected after the last norm."""
    kind = "rms" if g.model.key("attention.layer_norm_rms_epsilon") else "layer"
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = g.attn_inp_kv_iswa()
    out_ids = g.inp_out_ids()
    n_dense = g.model.number("leading_dense_block_count")
    for il in range(g.n_layer):
        normed = g.norm(x, g.w(il, "attn_norm"), kind=kind, il=il)
        q, k, v = g.qkv(il, normed)
        if g.model.is_swa[il] or il < n_dense:
            factors = g.rope_factors(il)
            q, k = g.rope(q, pos, factors), g.rope(k, pos, factors)
        out = g.attn(inp, il, q, k, v)
        x = g.add(g.add(_cohere2_feed_forward(g, il, normed), x), out)
    cur = g.norm(x, g.top("output_norm"), kind=kind)
    g.t_h_nextn = cur
    logit_scale = bool(g.model.key("logit_scale"))
    g.finish(g.get_rows(cur, out_ids), logit_scale=logit_scale, scaled=False)


def _cohere2_feed_forward(g: Builder, il: int, cur: Tensor) -> Tensor:
    if g.opt(il, "ffn_gate_inp") is None:
        return g.ffn(il, cur, scales=True)
    gating, norm_w = expert_gating(g, "sigmoid"), bool(g.model.key("expert_weights_norm"))
    out = g.moe(il, cur, gating=gating, norm_w=norm_w, gate_up="ffn_gate_up_exps", scales=True)
    if g.opt(il, "ffn_up_shexp") is None:
        return out
    return g.scale(g.add(out, shared_expert(g, il, cur, scales=True)))


def mimo2(g: Builder) -> None:
    """Source: src/models/mimo2.cpp: V has heads of its own size."""
    scaled = g.model.key("attention.value_scale") not in (None, 0.0, 1.0)

    def attention(g: Builder, inp: AttnInput, pos: Tensor, il: int, cur: Tensor) -> Tensor:
        q, k, v = _mimo2_heads(g, il, cur)
        sinks = g.opt(il, "attn_sinks")
        cur = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, sinks=sinks, wo_bias=False)
        return g.scale(cur) if scaled else cur

    def feed_forward(g: Builder, il: int, cur: Tensor) -> Tensor:
        if g.opt(il, "ffn_gate_inp") is None:
            return dense(g, il, cur)
        return g.moe(il, cur, gating="sigmoid", norm_w=True, scale_w=0.0, exp_probs="exp_probs_b")

    g.finish(g.head_norm(pre_norm_layers(g, g.attn_inp_kv_iswa(), attention, feed_forward)))


def _mimo2_heads(g: Builder, il: int, cur: Tensor) -> Heads:
    m = g.model
    head_k, head_v = m.n_embd_head_k, m.n_embd_head_v
    wqkv = g.opt(il, "attn_qkv")
    if wqkv is not None:
        return fused_heads(g, il, g.mul_mat(wqkv, cur), head_k, head_v)
    q, k, v = (g.mul_mat(g.w(il, name), cur) for name in ("attn_q", "attn_k", "attn_v"))
    return (
        g.reshape(q, head_k, m.n_head[il], g.n_tokens),
        g.reshape(k, head_k, m.n_head_kv[il], g.n_tokens),
        g.reshape(v, head_v, m.n_head_kv[il], g.n_tokens),
    )


def granite_swa(g: Builder) -> None:
    """Source: src/models/granite-swa.cpp."""
    m = g.model
    x = g.inp_embd(scale=bool(m.key("embedding_scale")))
    pos = g.inp_pos()
    inp = g.attn_inp_kv_iswa()
    out_ids = g.inp_out_ids()
    ropes = m.array("attention.rope_pattern")
    residual_scale = bool(m.key("residual_scale"))
    for il in range(g.n_layer):
        x = mapped_deepstack(g, il, x)
        q, k, v = g.qkv(il, g.norm_w(x, il, "attn_norm"))
        if ropes is None or ropes[il]:
            factors = g.rope_factors(il)
            q, k = g.rope(q, pos, factors), g.rope(k, pos, factors)
        cur = g.attn(inp, il, q, k, v, sinks=g.opt(il, "attn_sinks"))
        cur, x = g.select_rows(il, out_ids, cur, x)
        skip = g.add(g.scale(cur) if residual_scale else cur, x)
        cur = _granite_feed_forward(g, il, g.norm_w(skip, il, "ffn_norm"))
        x = g.add(g.scale(cur) if residual_scale else cur, skip)
    g.finish(g.head_norm(x), logit_scale=True)


def _granite_feed_forward(g: Builder, il: int, cur: Tensor) -> Tensor:
    if g.opt(il, "ffn_gate_inp") is None:
        return g.ffn(il, cur)
    out = g.moe(il, cur, norm_w=True, scale_w=0.0, gate_up="ffn_gate_up_exps")
    if not g.model.number("expert_shared_feed_forward_length"):
        return out
    shared = g.ffn(il, cur, "swiglu", up="ffn_up_shexp", gate="", down="ffn_down_shexp", parallel=False)
    return g.add(out, shared)


def laguna(g: Builder) -> None:
    """Source: src/models/laguna.cpp: attention gated by softplus, per head or per element."""
    n_dense = g.model.number("leading_dense_block_count")

    def attention(g: Builder, inp: AttnInput, pos: Tensor, il: int, cur: Tensor) -> Tensor:
        q, k, v = normed_heads(g, il, cur)
        out = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, wo_name="")
        return gated_output(g, il, out, gate_of(g, il, cur), act="softplus")

    def feed_forward(g: Builder, il: int, cur: Tensor) -> Tensor:
        return (dense if il < n_dense else routed_and_shared)(g, il, cur)

    x = pre_norm_layers(g, g.attn_inp_kv_auto(), attention, feed_forward)
    g.finish(g.head_norm(x), scaled=False)


def maple(g: Builder) -> None:
    """Source: src/models/maple.cpp."""

    def feed_forward(g: Builder, il: int, cur: Tensor) -> Tensor:
        return g.moe(il, cur, norm_w=True, scale_w=1.0)

    attention = rope_attention(normed=True, rope="swa")
    g.finish(g.head_norm(pre_norm_layers(g, g.attn_inp_kv_iswa(), attention, feed_forward)))


def mellum(g: Builder) -> None:
    """Source: src/models/mellum.cpp."""

    def feed_forward(g: Builder, il: int, cur: Tensor) -> Tensor:
        return g.moe(il, cur, norm_w=True, scale_w=0.0, scales=True)

    attention = rope_attention(normed=True, wo_bias=True)
    g.finish(g.head_norm(pre_norm_layers(g, g.attn_inp_kv_auto(), attention, feed_forward)))


def step35(g: Builder) -> None:
    """Source: src/models/step35.cpp: rows are selected after the last layer."""
    x = pre_norm_layers(g, g.attn_inp_kv_iswa(), _step35_attention, dense_or_experts, select=False)
    g.t_h_nextn = x
    g.finish(g.head_norm(g.get_rows(x, g.inp_out_ids())))


def _step35_attention(g: Builder, inp: AttnInput, pos: Tensor, il: int, cur: Tensor) -> Tensor:
    m, n_tokens = g.model, g.n_tokens
    head_k, head_v, n_head_kv = m.n_embd_head_k, m.n_embd_head_v, m.n_head_kv[il]
    q, k, v = g.qkv(il, cur, head=head_k, head_v=head_v, reshape=False)
    q = g.reshape(q, head_k, m.n_head[il], n_tokens)
    k = g.reshape(k, head_k, n_head_kv, n_tokens)
    v = g.reshape(v, head_v, n_head_kv, n_tokens)
    q = q if g.opt(il, "attn_q_norm") is None else g.norm_w(q, il, "attn_q_norm")
    k = k if g.opt(il, "attn_k_norm") is None else g.norm_w(k, il, "attn_k_norm")
    factors = None if m.is_swa[il] else g.rope_factors(il)
    out = g.attn(inp, il, g.rope(q, pos, factors), g.rope(k, pos, factors), v, wo_name="")
    if g.opt(il, "attn_gate") is None:
        return g.mm(il, "attn_output", out)
    return gated_output(g, il, out, gate_of(g, il, cur))
