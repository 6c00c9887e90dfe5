"""Encoders: no cache, results are embeddings."""

from __future__ import annotations

from budget.memory.compute.builder import Builder


def bert(g: Builder) -> None:
    """Source: src/models/bert.cpp."""
    head, n_tokens = g.n_embd_head_v, g.n_tokens
    pos = g.inp_pos()
    x = g.inp_embd()
    types = g.weight("token_types.weight")
    if types is not None:
        x = g.add(x, g.view_1d(types, g.n_embd))
    x = g.add(g.get_rows(g.top("position_embd"), pos), x)
    x = g.norm(x, g.weight("token_embd_norm.weight"), g.weight("token_embd_norm.bias"), kind="layer", il=0)
    inp = g.attn_inp_no_cache()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        q, k, v = g.qkv(il, x)
        if g.opt(il, "attn_q_norm") is not None:
            q = g.norm_w(g.reshape(q, head * g.n_head, n_tokens), il, "attn_q_norm", kind="layer")
            q = g.reshape(q, head, g.n_head, n_tokens)
        if g.opt(il, "attn_k_norm") is not None:
            k = g.norm_w(g.reshape(k, head * g.n_head_kv, n_tokens), il, "attn_k_norm", kind="layer")
            k = g.reshape(k, head, g.n_head_kv, n_tokens)
        cur = g.attn(inp, il, q, k, v)
        cur, x = g.select_rows(il, out_ids, cur, x)
        cur = g.norm_w(g.add(cur, x), il, "attn_output_norm", kind="layer")
        skip = cur
        cur = g.ffn(il, cur, "gelu", gate="", parallel=False)
        x = g.norm_w(g.add(cur, skip), il, "layer_output_norm", kind="layer")
    g.finish_embedding(x)
