"""State-space models and their mixtures with attention."""

from __future__ import annotations

from budget.memory.compute.builder import Builder
from budget.memory.compute.tensor import Tensor


def mamba(g: Builder) -> None:
    """Source: src/models/mamba.cpp (mamba2 shares it)."""
    x = g.inp_embd()
    rs = g.rs_inp()
    out_ids = g.inp_out_ids()
    layer = g.mamba2 if g.arch == "mamba2" else g.mamba1
    for il in range(g.n_layer):
        cur = layer(rs, g.norm_w(x, il, "attn_norm"), il)
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


def falcon_h1(g: Builder) -> None:
    """Source: src/models/falcon-h1.cpp: attention and state space beside each other in every layer."""
    x = g.inp_embd()
    pos = g.inp_pos()
    rs, inp = g.rs_inp(), g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        q, k, v = g.qkv(il, g.norm_w(x, il, "attn_norm"))
        attn = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, wo_bias=False)
        ssm = g.mamba2(rs, g.norm_w(x, il, "attn_norm"), il)
        (skip,) = g.select_rows(il, out_ids, g.add(g.add(attn, ssm), x))
        cur = g.norm(skip, g.named(f"blk.{il}.ffn_norm"), il=il)
        x = g.add(g.ffn(il, cur), skip)
    g.finish(g.head_norm(x))


def jamba(g: Builder) -> None:
    """Source: src/models/jamba.cpp."""
    x = g.inp_embd()
    rs, inp = g.rs_inp(), g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        cur = g.norm_w(x, il, "attn_norm")
        cur = (
            g.mamba1(rs, cur, il)
            if g.model.is_recurrent[il]
            else g.attn(inp, il, *g.qkv(il, cur), wo_bias=False)
        )
        cur, x = g.select_rows(il, out_ids, cur, x)
        skip = g.add(x, cur)
        cur = g.norm_w(skip, il, "ffn_norm")
        cur = g.ffn(il, cur) if g.opt(il, "ffn_gate_inp") is None else g.moe(il, cur)
        x = g.add(skip, cur)
    g.finish(g.head_norm(x))


def nemotron_h(g: Builder) -> None:
    """Source: src/models/nemotron-h.cpp (nemotron_h_moe shares it): one kind of block per layer."""
    x = g.inp_embd()
    rs, inp = g.rs_inp(), g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        cur = g.norm_w(x, il, "attn_norm")
        if g.model.is_recurrent[il]:
            cur = g.mamba2(rs, cur, il)
        elif g.model.n_ff[il] == 0:
            cur = g.attn(inp, il, *g.qkv(il, cur))
        elif g.opt(il, "ffn_gate_inp") is None:
            cur = g.ffn(il, cur, "relu_sqr", gate="", scales=True)
        else:
            cur = _latent_experts(g, il, cur)
        x = g.add(cur, x)
    cur = g.head_norm(x)
    g.t_h_nextn = cur
    g.finish(g.get_rows(cur, out_ids))


def _latent_experts(g: Builder, il: int, cur: Tensor) -> Tensor:
    """Experts in a narrower space where the file has one, with the router in the wide one."""
    down, up = g.opt(il, "ffn_latent_down"), g.opt(il, "ffn_latent_up")
    narrow = cur if down is None else g.mul_mat(down, cur)
    used = g.model.array("expert_used_count")
    routed = g.moe(
        il,
        narrow,
        act="relu_sqr",
        gating="sigmoid",
        norm_w=bool(g.model.key("expert_weights_norm")),
        n_used=None if used is None else int(used[il]),
        exp_probs="exp_probs_b",
        gate="",
        probs_in=g.mul_mat(g.w(il, "ffn_gate_inp"), cur),
        scales=True,
    )
    if up is not None:
        routed = g.mul_mat(up, routed)
    shared = g.ffn(il, cur, "relu_sqr", up="ffn_up_shexp", gate="", down="ffn_down_shexp", scales=True)
    return g.add(routed, shared)
