"""Gemma: scaled embeddings, norms before and after each block."""

from __future__ import annotations

from budget.memory.compute.builder import Builder
from budget.memory.compute.families.layers import normed_heads
from budget.memory.compute.tensor import Tensor


def gemma2(g: Builder) -> None:
    """Source: src/models/gemma2.cpp."""
    g.attn_soft_cap = True
    x = g.scale(g.inp_embd(), "inp_scaled")
    pos = g.inp_pos()
    inp = g.attn_inp_kv_iswa()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        q, k, v = g.qkv(il, g.norm_w(x, il, "attn_norm"), head=g.n_embd_head_k)
        q, k = g.rope(q, pos), g.rope(k, pos)
        cur = g.attn(inp, il, g.scale(q), k, v, wo_bias=False)
        x = _second_half(g, il, cur, x, out_ids)
    g.finish(g.head_norm(x), softcap=True)


def gemma3(g: Builder) -> None:
    """Source: src/models/gemma3.cpp."""
    x = g.scale(g.inp_embd(), "inp_scaled")
    pos = g.inp_pos()
    inp = g.attn_inp_kv_auto()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        q, k, v = g.qkv(il, g.norm_w(x, il, "attn_norm"), head=g.n_embd_head_k)
        q = g.rope(g.norm_w(q, il, "attn_q_norm"), pos)
        k = g.rope(g.norm_w(k, il, "attn_k_norm"), pos)
        cur = g.attn(inp, il, g.scale(q), k, v, wo_bias=False)
        x = _second_half(g, il, cur, x, out_ids)
    g.finish(g.head_norm(x), softcap=bool(g.model.key("final_logit_softcapping")))


def gemma_embedding(g: Builder) -> None:
    """Source: src/models/gemma-embedding.cpp: the encoder."""
    x = g.scale(g.inp_embd(), "inp_scaled")
    pos = g.inp_pos()
    inp = g.attn_inp_no_cache()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        q, k, v = normed_heads(g, il, g.norm_w(x, il, "attn_norm"), head=g.n_embd_head_k)
        q, k = g.rope(q, pos), g.rope(k, pos)
        cur = g.attn(inp, il, g.scale(q), k, v, wo_bias=False)
        x = _second_half(g, il, cur, x, out_ids)
    g.finish_embedding(g.head_norm(x))


def _second_half(g: Builder, il: int, cur: Tensor, x: Tensor, out_ids: Tensor) -> Tensor:
    cur, x = g.select_rows(il, out_ids, cur, x)
    skip = g.add(g.norm_w(cur, il, "post_attention_norm"), x)
    cur = g.ffn(il, g.norm_w(skip, il, "ffn_norm"), "gelu")
    return g.add(g.norm_w(cur, il, "post_ffw_norm", pin=False), skip)
