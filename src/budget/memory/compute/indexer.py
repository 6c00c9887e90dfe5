"""Sparse attention with a lightning indexer: the inputs, the choice of tokens, and the mask that keeps only those.

Source: llama-graph.cpp, `build_attn_inp_k_dsa_impl`, `build_attn` of llm_graph_input_attn_k_dsa; the graphs of
src/models/{deepseek32,glm-dsa,dots3note,hy-v4}.cpp have the same indexer.
"""

from __future__ import annotations

from dataclasses import dataclass

from budget.gguf.types import F32, GGMLType
from budget.memory.compute.attention_inputs import AttnInput, KvInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.tensor import Tensor, strides


@dataclass(slots=True)
class SparseInput:
    """Inputs of the main cache and of the indexer's key cache."""

    main: KvInput
    k_idxs: Tensor
    mask: Tensor
    """What the indexer may see; F16 for the fused operation."""
    rot: Tensor | None
    """Rotates the indexer's heads."""

    def attention(self, g: Builder, top_k: Tensor) -> AttnInput:
        """The main cache, cut down to the chosen tokens."""
        main = self.main
        return AttnInput(KvInput(main.k_idxs, None, top_k_mask(g, main.mask, top_k), main.n_kv), kind="k")


def sparse_input(g: Builder) -> SparseInput:
    """Inputs for a cache that keeps only K, and an indexer's."""
    n_kv = g.n_kv("base")
    main = KvInput(g.k_idxs(), None, g.kq_mask(n_kv), n_kv)
    return SparseInput(main, g.k_idxs(), g.kq_mask(n_kv, flash_attn=g.stage.fused_lid), indexer_rot(g))


def indexer_rot(g: Builder) -> Tensor:
    """The matrix that rotates the indexer's heads (llama-kv-cache.cpp, `build_input_k_rot`)."""
    head, n = g.model.number("attention.indexer.key_length"), 128
    while head and head % n == 0:
        n *= 2
    return g.input(F32, n // 2, n // 2, name="attn_inp_k_rot")


def indexer_top_k(
    g: Builder, inp: SparseInput, il: int, cur: Tensor, query: Tensor, pos: Tensor, *, rotate: bool = True
) -> Tensor:
    """Cells that layer `il` attends to, [best, tokens, 1, streams].

    Args:
        query: the compressed query of the layer.
        rotate: keys and queries are rotated by a Hadamard matrix.
    """
    m, n_tokens = g.model, g.n_tokens
    n_head, head = m.number("attention.indexer.head_count"), m.number("attention.indexer.key_length")
    q = g.reshape(g.mul_mat(g.w(il, "indexer.attn_q_b"), query), head, n_head, n_tokens)
    q = g.rope(q, pos)
    k = g.norm_w(g.mul_mat(g.w(il, "indexer.attn_k"), cur), il, "indexer.k_norm", kind="layer")
    k = g.rope(g.reshape(k, head, 1, n_tokens), pos)
    if rotate and inp.rot is not None:
        q, k = g.mul_mat(inp.rot, q), g.mul_mat(inp.rot, k)
    cache = g.cache(f"cache_idx_k_l{il}")
    g.expand(g.cpy_k(k, inp.k_idxs, cache))
    weights = g.mul_mat(g.w(il, "indexer.proj"), cur)
    cached = g.get_k(cache, head, 1, inp.main.n_kv)
    n_stream = cached.ne[3]
    q, weights = split_streams(g, q, 2, n_stream), split_streams(g, weights, 1, n_stream)
    return best_cells(g, indexer_score(g, il, q, cached, g.scale(weights), inp.mask))


def best_cells(g: Builder, score: Tensor) -> Tensor:
    """As many cells as the header wants, or all."""
    best = min(score.ne[0], g.model.number("attention.indexer.top_k"))
    return g.cont(g.top_k(score, best, "top_k"))


def split_streams(g: Builder, t: Tensor, dim: int, n_stream: int) -> Tensor:
    """`t` with the tokens of its dimension `dim` (1 or 2) parted by stream, which become dimension 3."""
    ne, (_, nb1, nb2, nb3) = list(t.ne), strides(t)
    ne[dim] //= n_stream
    if dim == 1:
        nb2 //= n_stream
    return g.view_4d(t, ne[0], ne[1], ne[2], n_stream, nb1, nb2, nb3 // n_stream)


def indexer_score(g: Builder, il: int, q: Tensor, k: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
    """Scores of all cells, [cells, tokens, 1, streams]: as one operation or step by step."""
    if g.stage.fused_lid:
        score = g.lightning_indexer(q, k, weights, mask)
        g.add_fused("lid", score, il)
        return score
    kq = g.mul_mat(g.permute(k, 0, 2, 1, 3), g.permute(q, 0, 2, 1, 3), "indexer_kq")
    score = g.unary("relu", g.cont(g.permute(kq, 2, 1, 0, 3)), "indexer_score")
    score = g.sum_rows(g.mul(score, weights))
    return g.add(g.cont(g.permute(score, 2, 1, 0, 3)), mask)


def top_k_mask(g: Builder, mask: Tensor, top_k: Tensor, zero: GGMLType = F32) -> Tensor:
    """`mask` where a token was chosen, minus infinity elsewhere; `zero` is the type of what is written."""
    every = g.fill(mask, "kq_mask_all")
    ne, nb = every.ne, strides(every)
    every = g.view_4d(every, 1, ne[0], ne[1], ne[3], nb[0], nb[1], nb[2])
    ne, nb = top_k.ne, strides(top_k)
    chosen = g.view_4d(top_k, ne[0], ne[1], ne[3], 1, nb[1], nb[2], ne[3] * nb[3])
    zeros = g.fill(g.new(zero, 1, chosen.ne[0], chosen.ne[1], chosen.ne[2], name="zeros"))
    kept = g.set_rows(every, zeros, chosen)
    ne, nb = kept.ne, strides(kept)
    kept = g.view_4d(kept, ne[1], ne[2], 1, ne[3], nb[2], nb[3], nb[3])
    return g.add(kept, mask, "kq_mask_top_k")
