"""T5: an encoder, and a decoder that also attends to the encoder's result. No rope, but a bias by distance."""

from __future__ import annotations

from budget.errors import UnknownAnswerError
from budget.gguf.types import F16, F32, I32
from budget.memory.compute.attention_inputs import AttnInput, KvInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.layers import pre_norm_layers
from budget.memory.compute.tensor import Tensor


def t5(g: Builder) -> None:
    """The decoder, whose buffers are reserved when a context is made.

    Source: src/models/t5.cpp, `graph<false>`.
    """
    m, n_tokens = g.model, g.n_tokens
    if g.n_stream > 1:
        raise UnknownAnswerError("T5 needs one cache for all sequences: with one for each, llama.cpp aborts")
    g.side = "dec."
    n_layer = m.number("decoder_block_count", g.n_layer)
    n_enc = m.n_ctx_train
    x = g.inp_embd()
    encoded = g.input(F32, g.n_embd_inp(), n_enc, name="cross_embd")
    n_kv = g.n_kv("base")
    bucket = g.input(I32, n_kv, n_tokens, name="pos_bucket_dec")
    inp = g.attn_inp_kv()
    cross = _cross_input(g, n_enc)
    out_ids = g.inp_out_ids()
    for il in range(n_layer):
        q, k, v = g.qkv(il, g.norm_w(x, il, "attn_norm"))
        bias = _distance_bias(g, il, bucket)
        x = g.add(g.attn(inp, il, q, k, v, kq_b=bias, wo_name="attn_o", wo_bias=False), x)
        cur = _cross_attention(g, cross, il, g.norm_w(x, il, "cross_attn_norm"), encoded)
        if il == n_layer - 1:
            cur, x = g.get_rows(cur, out_ids), g.get_rows(x, out_ids)
        skip = g.add(cur, x)
        x = g.add(_feed_forward(g, il, g.norm_w(skip, il, "ffn_norm")), skip)
    g.finish(g.head_norm(x, name="dec.output_norm"), bias=False)


def t5encoder(g: Builder) -> None:
    """Source: src/models/t5.cpp, `graph<true>`."""
    g.side = "enc."
    bucket = g.input(I32, g.n_tokens, g.n_tokens, name="pos_bucket_enc")

    def attention(g: Builder, inp: AttnInput, _: Tensor, il: int, cur: Tensor) -> Tensor:
        q = _heads(g, il, "attn_q", cur, g.n_head)
        k = _heads(g, il, "attn_k", cur, g.n_head_kv)
        v = _heads(g, il, "attn_v", cur, g.n_head_kv)
        bias = _distance_bias(g, il, bucket)
        return g.attn(inp, il, q, k, v, kq_b=bias, wo_name="attn_o", wo_bias=False)

    x = pre_norm_layers(g, g.attn_inp_no_cache(), attention, _feed_forward)
    g.finish_embedding(g.head_norm(x, name="enc.output_norm"))


def _cross_input(g: Builder, n_enc: int) -> AttnInput:
    """Source: llama-graph.cpp, `build_attn_inp_cross`: before a prompt, as long as the training context."""
    mask = g.input(F16 if g.flash_attn else F32, n_enc, g.n_tokens, name="cross_kq_mask")
    return AttnInput(KvInput(mask, None, mask, n_enc), kind="none")


def _cross_attention(g: Builder, inp: AttnInput, il: int, cur: Tensor, encoded: Tensor) -> Tensor:
    q = _heads(g, il, "cross_attn_q", cur, g.n_head)
    k = _heads(g, il, "cross_attn_k", encoded, g.n_head_kv)
    v = _heads(g, il, "cross_attn_v", encoded, g.n_head_kv)
    return g.attn(inp, il, q, k, v, wo_name="cross_attn_o", wo_bias=False)


def _heads(g: Builder, il: int, name: str, cur: Tensor, n_head: int) -> Tensor:
    return g.reshape(g.mul_mat(g.w(il, name), cur), g.n_embd_head_v, n_head, cur.ne[1])


def _distance_bias(g: Builder, il: int, bucket: Tensor) -> Tensor:
    """Source: llama-graph.cpp, `build_pos_bias`; layers without a table use that of the first."""
    table = g.opt(il, "attn_rel_b")
    if table is None:
        table = g.w(0, "attn_rel_b")
    n, n_tokens = bucket.ne[0], bucket.ne[1]
    bias = g.get_rows(table, g.reshape(bucket, n * n_tokens), "pos_bias")
    bias = g.permute(g.reshape(bias, bias.ne[0], n, n_tokens), 2, 0, 1, 3)
    return g.cont(bias, name="pos_bias")


def _feed_forward(g: Builder, il: int, cur: Tensor) -> Tensor:
    gated = g.opt(il, "ffn_gate") is not None
    return g.ffn(il, cur, "gelu" if gated else "relu", parallel=gated, biases=False)
