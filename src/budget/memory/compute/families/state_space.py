"""State-space models and their mixtures with attention."""

from __future__ import annotations

from budget.memory.compute.builder import Builder
from budget.memory.compute.tensor import Tensor


def mamba2(g: Builder) -> None:
    """Source: src/models/mamba.cpp (mamba2 shares it)."""
    x = g.inp_embd()
    rs = g.rs_inp()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        cur = g.mamba2(rs, g.norm_w(x, il, "attn_norm"), il)
        cur, x = g.select_rows(il, out_ids, cur, x)
        x = g.add(cur, x)
    g.finish(g.head_norm(x))


def granite_hybrid(g: Builder) -> None:
    """Source: src/models/granite-hybrid.cpp."""
    x = g.inp_embd(scale=bool(g.model.key("embedding_scale")))
    rs, inp = g.rs_inp(), g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    pos = g.inp_pos() if g.model.key("rope.scaling.finetuned", True) else None
    for il in range(g.n_layer):
        skip = x
        cur = g.norm_w(x, il, "attn_norm")
        if g.model.is_recurrent[il]:
            cur = g.mamba2(rs, cur, il)
        else:
            factors = g.rope_factors(il)
            q, k, v = g.qkv(il, cur)
            if pos is not None:
                q, k = g.rope(q, pos, factors), g.rope(k, pos, factors)
            cur = g.attn(inp, il, q, k, v)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        x = _granite_ffn(g, il, cur, skip)
    g.finish(g.head_norm(x), logit_scale=bool(g.model.key("logit_scale")))


def _granite_ffn(g: Builder, il: int, cur: Tensor, skip: Tensor) -> Tensor:
    residual = bool(g.model.key("residual_scale"))
    if residual:
        cur = g.scale(cur)
    skip = g.add(cur, skip)
    cur = g.norm_w(skip, il, "ffn_norm")
    if g.opt(il, "ffn_gate_inp") is None:
        cur = g.ffn(il, cur)
    else:
        routed = g.moe(il, cur, norm_w=True)
        if g.model.number("expert_shared_feed_forward_length"):
            shared = g.ffn(il, cur, up="ffn_up_shexp", gate="ffn_gate_shexp", down="ffn_down_shexp")
            routed = g.add(routed, shared)
        cur = routed
    if residual:
        cur = g.scale(cur)
    return g.add(cur, skip)
