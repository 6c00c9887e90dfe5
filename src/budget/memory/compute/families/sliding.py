"""Dense decoders whose layers alternate between a sliding window and the whole context."""

from __future__ import annotations

from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.layers import (
    Heads,
    fused_heads,
    gate_of,
    gated_output,
    normed_heads,
    pre_norm_layers,
)
from budget.memory.compute.tensor import Tensor


def cohere2(g: Builder) -> None:
    """Source: src/models/cohere2.cpp: attention and feed-forward beside each other."""
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = g.attn_inp_kv_iswa()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        normed = g.norm(x, g.w(il, "attn_norm"), kind="layer", il=il)
        factors = g.rope_factors(il)
        q, k, v = g.qkv(il, normed)
        if g.model.is_swa[il]:
            q, k = g.rope(q, pos, factors), g.rope(k, pos, factors)
        cur = g.attn(inp, il, q, k, v)
        cur, x, normed = g.select_rows(il, out_ids, cur, x, normed)
        x = g.add(g.add(g.ffn(il, normed, scales=True), x), cur)
    cur = g.norm(x, g.top("output_norm"), kind="layer")
    g.finish(cur, logit_scale=bool(g.model.key("logit_scale")))


def exaone4(g: Builder) -> None:
    """Source: src/models/exaone4.cpp: norms after the blocks."""
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = g.attn_inp_kv_auto()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        skip = x
        factors = g.rope_factors(il)
        q, k, v = normed_heads(g, il, x)
        if g.model.is_swa[il] or g.model.swa_type == "none":
            q, k = g.rope(q, pos, factors), g.rope(k, pos, factors)
        cur = g.attn(inp, il, q, k, v, wo_bias=False)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(g.norm_w(cur, il, "post_attention_norm"), skip)
        cur = g.norm_w(g.ffn(il, skip), il, "post_ffw_norm", pin=False)
        x = g.add(cur, skip)
    g.finish(g.head_norm(x))


def plamo3(g: Builder) -> None:
    """Source: src/models/plamo3.cpp."""
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = g.attn_inp_kv_auto()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        cur = g.norm_w(x, il, "attn_norm")
        q, k, v = _plamo3_heads(g, il, cur)
        q = g.rope(g.norm_w(q, il, "attn_q_norm"), pos)
        k = g.rope(g.norm_w(k, il, "attn_k_norm"), pos)
        cur = g.attn(inp, il, q, k, v, wo_bias=False)
        cur, x = g.select_rows(il, out_ids, cur, x)
        skip = g.add(_plamo3_post_norm(g, il, cur, "post_attention_norm"), x)
        cur = g.ffn(il, g.norm_w(skip, il, "ffn_norm"), "swiglu", gate="", parallel=False)
        x = g.add(_plamo3_post_norm(g, il, cur, "post_ffw_norm"), skip)
    g.finish(g.head_norm(x))


def _plamo3_post_norm(g: Builder, il: int, cur: Tensor, name: str) -> Tensor:
    """The weight's name does not end in `.weight` here."""
    return g.norm(cur, g.named(f"blk.{il}.{name}"), il=il, name=name)


def _plamo3_heads(g: Builder, il: int, cur: Tensor) -> Heads:
    m = g.model
    head_k, head_v = m.n_embd_head_k, m.n_embd_head_v
    return fused_heads(g, il, g.mul_mat(g.w(il, "attn_qkv"), cur), head_k, head_v)


def muse_glimmer(g: Builder) -> None:
    """Source: src/models/muse-glimmer.cpp: a norm on the embedding, gated attention, norms after the blocks."""
    x = g.rms_norm(g.inp_embd())
    pos = g.inp_pos()
    inp = g.attn_inp_kv_iswa()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        normed = g.norm_w(x, il, "attn_norm")
        q, k, v = normed_heads(g, il, normed)
        if g.model.is_swa[il]:
            q, k = g.rope(q, pos), g.rope(k, pos)
        cur = g.attn(inp, il, q, k, v, wo_name="")
        cur = gated_output(g, il, cur, gate_of(g, il, normed))
        cur = g.mul(g.rms_norm(cur), g.w(il, "post_attention_norm"))
        cur, x = g.select_rows(il, out_ids, cur, x)
        skip = g.add(cur, x)
        cur = g.ffn(il, g.norm_w(skip, il, "ffn_norm"))
        x = g.add(g.mul(g.rms_norm(cur), g.w(il, "post_ffw_norm")), skip)
    g.finish(g.head_norm(x), logit_scale=True, softcap=bool(g.model.key("final_logit_softcapping")))


def spark2_5(g: Builder) -> None:
    """Source: src/models/spark2-5.cpp: a gate per head."""

    def attention(g: Builder, inp: AttnInput, pos: Tensor, il: int, cur: Tensor) -> Tensor:
        q, k, v = g.qkv(il, cur)
        out = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, wo_name="")
        return gated_output(g, il, out, gate_of(g, il, cur))

    x = pre_norm_layers(g, g.attn_inp_kv_iswa(), attention, lambda g, il, cur: g.ffn(il, cur, "gelu"))
    g.finish(g.head_norm(x), scaled=False)
