"""Encoders: no cache, results are embeddings."""

from __future__ import annotations

from budget.memory.compute.builder import Builder
from budget.memory.compute.families.layers import pre_norm_layers, rope_attention
from budget.memory.compute.tensor import Tensor

_ROPE = frozenset({"nomic-bert", "nomic-bert-moe", "jina-bert-v3"})
_GATED_FFN = {"silu": "swiglu", "swish": "swiglu", "swiglu": "swiglu", "relu": "relu", "reglu": "reglu"}
"""`hidden_activation` of ModernBERT where it is not the default (`llm_ffn_op_type_from_string`)."""
_OTHER_POOLINGS = frozenset({2, 3, 4})
"""Poolings that the classifier may name instead of the mean: cls, last, rank (llama.h, llama_pooling_type)."""
_PLAIN_FFN = frozenset({"bert", "nomic-bert-moe", "jina-bert-v3"})


def bert(g: Builder) -> None:
    """Source: src/models/bert.cpp (also Nomic BERT and Jina BERT)."""
    g.alibi = g.arch == "jina-bert-v2"
    pos = g.inp_pos()
    x = g.inp_embd()
    types = g.weight("token_types.weight")
    if types is not None:
        x = g.add(x, g.view_1d(types, g.n_embd))
    if g.arch == "bert":
        x = g.add(g.get_rows(g.top("position_embd"), pos), x)
    x = g.norm(x, g.weight("token_embd_norm.weight"), g.weight("token_embd_norm.bias"), kind="layer", il=0)
    inp = g.attn_inp_no_cache()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        q, k, v = g.qkv(il, x)
        q = _row_norm(g, il, q, "attn_q_norm")
        k = _row_norm(g, il, k, "attn_k_norm")
        if g.arch in _ROPE:
            q, k = g.rope(q, pos), g.rope(k, pos)
        cur = g.attn(inp, il, q, k, v)
        cur, x = g.select_rows(il, out_ids, cur, x)
        cur = g.norm_w(g.add(cur, x), il, "attn_output_norm", kind="layer")
        if g.opt(il, "attn_norm_2") is not None:
            cur = g.norm_w(g.add(cur, x), il, "attn_norm_2", kind="layer")
        x = g.norm_w(g.add(_bert_feed_forward(g, il, cur), cur), il, "layer_output_norm", kind="layer")
    g.finish_embedding(x)


def _row_norm(g: Builder, il: int, heads: Tensor, name: str) -> Tensor:
    """A norm over all heads of a token, where the file has it."""
    if g.opt(il, name) is None:
        return heads
    head, n_head, n_tokens, _ = heads.ne
    rows = g.norm_w(g.reshape(heads, head * n_head, n_tokens), il, name, kind="layer")
    return g.reshape(rows, head, n_head, n_tokens)


def _bert_feed_forward(g: Builder, il: int, cur: Tensor) -> Tensor:
    every = g.model.number("moe_every_n_layers") if g.arch == "nomic-bert-moe" else 0
    if every > 0 and il % every == 1:
        return g.moe(il, cur, act="gelu", gate="", scale_w=0.0)
    if g.arch in _PLAIN_FFN:
        return g.ffn(il, cur, "gelu", gate="", parallel=False)
    if g.arch == "jina-bert-v2":
        holds_gate = g.opt(il, "ffn_gate") is None and g.w(il, "ffn_up").ne[1] != g.model.n_ff[il]
        return g.ffn(il, cur, "geglu" if holds_gate else "gelu")
    return g.ffn(il, cur, biases=False)


def modern_bert(g: Builder) -> None:
    """Source: src/models/modern-bert.cpp."""
    if g.model.number("classifier.pooling_type") not in _OTHER_POOLINGS:
        g.pooling_cls = "mean"
    pos = g.inp_pos()
    x = g.norm(g.inp_embd(), g.weight("token_embd_norm.weight"), kind="layer", il=0)
    out_ids = g.inp_out_ids()
    inp = g.attn_inp_no_cache()
    act = _GATED_FFN.get(str(g.model.key("hidden_activation")), "geglu")
    for il in range(g.n_layer):
        cur = x if g.opt(il, "attn_norm") is None else g.norm(x, g.w(il, "attn_norm"), kind="layer", il=il)
        q, k, v = g.qkv(il, cur)
        cur = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, wo_bias=False)
        cur, x = g.select_rows(il, out_ids, cur, x)
        skip = g.add(cur, x)
        cur = g.norm(skip, g.w(il, "ffn_norm"), kind="layer", il=il)
        x = g.add(g.ffn(il, cur, act, gate="", parallel=False, biases=False), skip)
    g.finish_embedding(g.norm(x, g.top("output_norm"), kind="layer"))


def neo_bert(g: Builder) -> None:
    """Source: src/models/neo-bert.cpp."""

    def feed_forward(g: Builder, il: int, cur: Tensor) -> Tensor:
        return g.ffn(il, cur, "swiglu", gate="", parallel=False, biases=False)

    x = pre_norm_layers(g, g.attn_inp_no_cache(), rope_attention(), feed_forward)
    g.finish_embedding(g.head_norm(x, name="enc.output_norm"))


def eurobert(g: Builder) -> None:
    """Source: src/models/eurobert.cpp."""
    x = pre_norm_layers(
        g, g.attn_inp_no_cache(), rope_attention(), lambda g, il, cur: g.ffn(il, cur, biases=False)
    )
    g.finish_embedding(g.head_norm(x))
