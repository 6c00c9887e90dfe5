"""dots3-note: latent attention with a window, or on chosen tokens, behind a gate for each head."""

from __future__ import annotations

from budget.memory.compute.attention_inputs import AttnInput, KvInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.mla import absorbed, dense_or_experts, latent_sizes, low_rank_query
from budget.memory.compute.indexer import SparseInput, indexer_top_k, sparse_input
from budget.memory.compute.tensor import Tensor


def dots3note(g: Builder) -> None:
    """Source: src/models/dots3note.cpp."""
    x = g.inp_embd()
    pos = g.inp_pos()
    sparse = sparse_input(g)
    n_swa = g.n_kv("swa")
    swa = AttnInput(KvInput(g.k_idxs(), None, g.kq_mask(n_swa), n_swa), kind="k")
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        skip = x
        cur = _attention(g, sparse, swa, il, g.norm_w(x, il, "attn_norm"), pos)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        cur = dense_or_experts(g, il, g.norm_w(skip, il, "ffn_norm"), scales=True)
        x = g.add(cur, skip)
    g.finish(g.head_norm(x), scaled=False)


def _attention(
    g: Builder, sparse: SparseInput, swa: AttnInput, il: int, normed: Tensor, pos: Tensor
) -> Tensor:
    sizes = latent_sizes(g, il, swa=g.model.is_swa[il])
    query = low_rank_query(g, il, normed)
    inp = swa
    if not g.model.is_swa[il]:
        inp = sparse.attention(g, indexer_top_k(g, sparse, il, normed, query, pos))
    q = g.mul_mat(g.w(il, "attn_q_b"), query)
    q, k, v = absorbed(g, il, q, normed, pos, sizes, k_norm=True)
    cur = g.attn(inp, il, q, k, v, wo_name="", v_mla=g.w(il, "attn_v_b"))
    gate = g.unary("sigmoid", g.mul_mat(g.w(il, "attn_gate"), normed, "attn_gate"))
    n_tokens, n_head = g.n_tokens, sizes.n_head
    heads = g.reshape(cur, sizes.head_v, n_head, n_tokens)
    heads = g.mul(heads, g.reshape(gate, 1, n_head, n_tokens), "attn_gated")
    return g.mm(il, "attn_output", g.reshape(heads, sizes.head_v * n_head, n_tokens))
