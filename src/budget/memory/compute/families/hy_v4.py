"""Hunyuan V4: several residual streams, mixed before and after each block, around gated latent attention."""

from __future__ import annotations

from budget.gguf.types import F32
from budget.memory.compute import hyper
from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.mla import absorbed, dense_or_experts, latent_sizes, low_rank_query
from budget.memory.compute.indexer import SparseInput, indexer_top_k, sparse_input
from budget.memory.compute.tensor import Tensor, strides
from budget.model.layers import indexer_full_layers


def hy_v4(g: Builder) -> None:
    """Source: src/models/hy-v4.cpp."""
    embd = g.inp_embd()
    pos = g.inp_pos()
    sparse = sparse_input(g) if g.model.number("attention.indexer.top_k") > 0 else None
    dense = g.attn_inp_k() if sparse is None else None
    out_ids = g.inp_out_ids()
    full = indexer_full_layers(g.model)
    x = hyper.spread(g, embd)
    top_k: Tensor | None = None
    for il in range(g.n_layer):
        cur, post = _mix_in(g, il, "attn", x)
        cur = g.norm_w(cur, il, "attn_norm")
        query = low_rank_query(g, il, cur)
        if sparse is not None and (top_k is None or full[il]):
            top_k = indexer_top_k(g, sparse, il, cur, query, pos, rotate=False)
        x = _mix_out(g, _attention(g, _input(g, sparse, dense, top_k), il, cur, query, pos), x, post)
        cur, post = _mix_in(g, il, "ffn", x)
        cur = dense_or_experts(g, il, g.norm_w(cur, il, "ffn_norm"), merged=False)
        x = _mix_out(g, cur, x, post)
    x = hyper.select_outputs(g, x, out_ids)
    g.finish(g.head_norm(_reduce(g, x, hyper.head_gate(g, x))), scaled=False)


def _input(
    g: Builder, sparse: SparseInput | None, dense: AttnInput | None, top_k: Tensor | None
) -> AttnInput:
    if sparse is not None and top_k is not None:
        return sparse.attention(g, top_k)
    return dense if dense is not None else g.attn_inp_k()


def _attention(g: Builder, inp: AttnInput, il: int, normed: Tensor, query: Tensor, pos: Tensor) -> Tensor:
    q = g.mul_mat(g.w(il, "attn_q_b"), query)
    q, k, v = absorbed(g, il, q, normed, pos, latent_sizes(g, il))
    sinks = g.opt(il, "attn_sinks")
    cur = g.attn(inp, il, q, k, v, wo_name="", v_mla=g.w(il, "attn_v_b"), sinks=sinks)
    gate = g.unary("sigmoid", g.mul_mat(g.w(il, "attn_gate"), normed, "attn_gate"))
    return g.mul_mat(g.w(il, "attn_output"), g.mul(cur, gate, "attn_gated"))


def _mix_in(g: Builder, il: int, part: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """(one stream made of all, weights with which its block's output goes back)."""
    mixes = hyper.mixes_of(g, x, g.w(il, f"hc_{part}_fn"))
    scale, base = g.w(il, f"hc_{part}_scale"), g.w(il, f"hc_{part}_base")
    pre, post = (hyper.gate(g, mixes, scale, base, i, x.ne[1]) for i in range(2))
    return _reduce(g, x, pre), g.scale(post)


def _mix_out(g: Builder, cur: Tensor, x: Tensor, post: Tensor) -> Tensor:
    """The streams with a block's output added to each."""
    n_embd, n, n_tokens, _ = x.ne
    cur, post, streams = g.cast(cur, F32), g.cast(post, F32), g.cast(x, F32)
    post_nb = strides(post)
    parts = []
    for i in range(n):
        stream = hyper.stream(g, streams, i)
        weight = g.view_2d(post, 1, n_tokens, post_nb[1], i * post_nb[0])
        parts.append(g.reshape(g.add(stream, g.mul(cur, weight)), n_embd, 1, n_tokens))
    out = parts[0]
    for part in parts[1:]:
        out = g.concat(out, part, 1)
    return g.cast(out, x.type)


def _reduce(g: Builder, x: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum of the streams, in F32 whatever they are."""
    return g.cast(hyper.weighted_sum(g, g.cast(x, F32), weights), x.type)
