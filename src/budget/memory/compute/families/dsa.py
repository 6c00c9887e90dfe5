"""Latent attention on the tokens that an indexer chooses: DeepSeek V3.2 and GLM-5."""

from __future__ import annotations

from budget.memory.compute.builder import Builder
from budget.memory.compute.families.mla import absorbed, dense_or_experts, latent_sizes, low_rank_query
from budget.memory.compute.indexer import SparseInput, indexer_top_k, sparse_input
from budget.memory.compute.tensor import Tensor
from budget.model.layers import indexer_full_layers


def deepseek32(g: Builder) -> None:
    """Source: src/models/deepseek32.cpp, glm-dsa.cpp: layers without an indexer take the choice of the last one."""
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = sparse_input(g)
    out_ids = g.inp_out_ids()
    full = indexer_full_layers(g.model)
    top_k = None
    for il in range(g.n_layer):
        skip = x
        cur = g.norm_w(x, il, "attn_norm")
        query = low_rank_query(g, il, cur)
        if top_k is None or full[il]:
            top_k = indexer_top_k(g, inp, il, cur, query, pos)
        cur = _attention(g, inp, il, cur, query, pos, top_k)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        cur = dense_or_experts(g, il, g.norm_w(skip, il, "ffn_norm"), scales=True)
        x = g.add(cur, skip)
    cur = g.head_norm(x)
    g.t_h_nextn = cur
    g.finish(cur, scaled=False)


def _attention(
    g: Builder, inp: SparseInput, il: int, cur: Tensor, query: Tensor, pos: Tensor, top_k: Tensor
) -> Tensor:
    """Attention of one layer to the cells of `top_k`."""
    q = g.mul_mat(g.w(il, "attn_q_b"), query)
    q, k, v = absorbed(g, il, q, cur, pos, latent_sizes(g, il))
    return g.attn(inp.attention(g, top_k), il, q, k, v, wo_bias=False, v_mla=g.w(il, "attn_v_b"))
