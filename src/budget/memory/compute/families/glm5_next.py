"""GLM-5 Next: delta attention beside latent attention on pools of tokens that an indexer chooses."""

from __future__ import annotations

from dataclasses import dataclass

from budget.gguf.types import F16, F32, I32, I64
from budget.memory.compute import hyper
from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.kda import kda
from budget.memory.compute.families.mla import dense_or_experts, low_rank_query
from budget.memory.compute.indexer import indexer_score
from budget.memory.compute.tensor import Tensor, nelements, strides
from budget.model.layers import indexer_full_layers
from budget.units import round_up

POOL_PADDING = 64
"""llama-memory-hybrid-idx.cpp, `kpool_pad`."""
MAX_GATHER_TOKENS = 16
"""Batches up to this size gather the chosen cells instead of masking the others (`build_inp_kpool`)."""


@dataclass(slots=True)
class Pools:
    """Inputs of the indexer over pools of `size` tokens (`llm_graph_input_kpool`)."""

    k_idxs: Tensor
    cells: Tensor
    members: Tensor
    mask: Tensor
    tail: Tensor
    slot_mask: Tensor
    new_members: Tensor
    new_cells: Tensor
    size: int
    n_best: int
    """Pools that are chosen."""
    n_chosen: int
    """Cells that are chosen."""
    with_tail: bool
    gathers: bool


def glm5_next(g: Builder) -> None:
    """Source: src/models/glm5-next.cpp."""
    x = g.inp_embd()
    rs, inp = g.rs_inp(), g.attn_inp_k()
    pools = _pools(g, inp)
    out_ids = g.inp_out_ids()
    full = indexer_full_layers(g.model)
    streams = hyper.spread(g, x)
    chosen: Tensor | None = None
    for il in range(g.n_layer):
        mixed = hyper.mix_in(g, il, "attn", streams)
        cur = g.expand(g.norm_w(mixed.cur, il, "attn_norm"))
        if g.model.is_recurrent[il]:
            cur = kda(g, rs, il, cur)
        else:
            query = low_rank_query(g, il, cur)
            if chosen is None or full[il]:
                chosen = _choose(g, inp, pools, il, cur, query)
            cur = _attention(g, inp, pools, il, cur, query, chosen)
        mixed = hyper.mix_in(g, il, "ffn", hyper.mix_out(g, il, cur, mixed))
        cur = dense_or_experts(g, il, g.norm_w(mixed.cur, il, "ffn_norm"), merged=False)
        streams = hyper.mix_out(g, il, cur, mixed)
    cur = g.head_norm(hyper.mean(g, hyper.select_outputs(g, streams, out_ids)))
    g.t_h_nextn = cur
    g.finish(cur, scaled=False)


def _pools(g: Builder, inp: AttnInput) -> Pools:
    """A graph is reserved for as many pools as the cache can hold, all of them new."""
    m, n_tokens, n_kv = g.model, g.n_tokens, inp.base.n_kv
    size = m.number("attention.indexer.kpool")
    n_new = n_kv // size * g.params.n_seq_max
    n_pool = max(POOL_PADDING, round_up(n_new + 1, POOL_PADDING))
    n_new = max(n_new, 1)
    with_tail = m.key("attention.indexer.kpool_select_tail") is not False
    n_best = min(n_pool, m.number("attention.indexer.top_k") // size)
    n_chosen = size * n_best + (size - 1 if with_tail else 0)
    pools = Pools(
        k_idxs=g.k_idxs(),
        cells=g.input(I32, n_pool, name="pool_cells"),
        members=g.input(I32, size, n_pool, name="pool_idxs"),
        mask=g.input(F16 if g.stage.fused_lid else F32, n_pool, n_tokens, name="pool_mask"),
        tail=g.input(I32, size - 1, n_tokens, name="tail_idxs"),
        slot_mask=g.input(F32, n_chosen, 1, 1, n_tokens, name="gather_mask"),
        new_members=g.input(I32, size, n_new, name="new_pool_idxs"),
        new_cells=g.input(I64, n_new, name="new_pool_rep"),
        size=size,
        n_best=n_best,
        n_chosen=n_chosen,
        with_tail=with_tail,
        gathers=n_tokens <= MAX_GATHER_TOKENS and n_kv > n_chosen,
    )
    for t in (pools.cells, pools.members, pools.mask, pools.tail, pools.slot_mask):
        g.expand(t)
    return pools


def _choose(g: Builder, inp: AttnInput, pools: Pools, il: int, cur: Tensor, query: Tensor) -> Tensor:
    """Chosen cells of each token where they are gathered, else a mask."""
    m, n_tokens = g.model, g.n_tokens
    n_head, head = m.number("attention.indexer.head_count"), m.number("attention.indexer.key_length")
    q = g.reshape(g.mul_mat(g.w(il, "indexer.attn_q_b"), query), head, n_head, n_tokens)
    cache = g.cache(f"cache_idx_k_l{il}")
    pooled = _pooled_keys(g, pools, il, cur, cache, head)
    weights = g.scale(g.mul_mat(g.w(il, "indexer.proj"), cur))
    score = indexer_score(g, il, q, pooled, weights, pools.mask)
    best = _best_pools(g, pools, score)
    cells = g.get_rows(pools.members, g.reshape(best, pools.n_best * n_tokens))
    cells = g.reshape(cells, pools.size * pools.n_best, n_tokens)
    if pools.with_tail:
        cells = g.concat(cells, pools.tail, 0)
    return cells if pools.gathers else _mask(g, inp, pools, cells)


def _pooled_keys(g: Builder, pools: Pools, il: int, cur: Tensor, cache: Tensor, head: int) -> Tensor:
    """Store key and gate of each token, pool the blocks that are complete, read all pooled keys."""
    n_tokens, n_new, n_pool = g.n_tokens, pools.new_members.ne[1], pools.cells.ne[0]
    k = g.norm_w(g.mul_mat(g.w(il, "indexer.attn_k"), cur), il, "indexer.k_norm", kind="layer")
    gates = g.mul_mat(g.w(il, "indexer_compressor_gate"), cur)
    zero = g.fill(g.new(F32, head, n_tokens, name="pool_zero"))
    packed = g.reshape(g.concat(g.concat(k, gates, 0), zero, 0), 3 * head, 1, n_tokens)
    g.expand(g.cpy_k(packed, pools.k_idxs, cache))
    n_cells, row = cache.ne[1] * cache.ne[2], strides(cache)[1]
    key_gate = g.view_2d(cache, 2 * head, n_cells, row)
    pooled = g.view_2d(cache, head, n_cells, row, g.row_bytes(cache, 2 * head))
    rows = g.get_rows(key_gate, g.reshape(pools.new_members, pools.size * n_new))
    rows = g.reshape(rows, 2 * head, pools.size, n_new)
    _, nb1, nb2, _ = strides(rows)
    keys = g.view_3d(rows, head, pools.size, n_new, nb1, nb2)
    gates = g.view_3d(rows, head, pools.size, n_new, nb1, nb2, g.row_bytes(rows, head))
    gates = g.add(gates, g.w(il, "indexer_compressor_ape"))
    gates = g.cont(g.permute(gates, 1, 0, 2, 3))
    probs = g.soft_max(g.reshape(gates, pools.size, head * n_new))
    probs = g.reshape(probs, pools.size, head, n_new)
    new = g.sum_rows(g.mul(probs, g.cont(g.permute(keys, 1, 0, 2, 3))))
    g.expand(g.set_rows(pooled, g.reshape(new, head, n_new), pools.new_cells))
    return g.reshape(g.get_rows(pooled, pools.cells), head, 1, n_pool)


def _best_pools(g: Builder, pools: Pools, score: Tensor) -> Tensor:
    """The best pools in order."""
    n_pool, n_best, n_tokens = pools.cells.ne[0], pools.n_best, g.n_tokens
    best = g.top_k(score, n_best)
    scores = g.get_rows(g.reshape(score, 1, n_pool, n_tokens), best)
    order = g.argsort(g.reshape(scores, n_best, n_tokens))
    best = g.get_rows(g.reshape(g.cast(best, F32), 1, n_best, n_tokens), order)
    return g.cast(g.cont(g.reshape(best, n_best, n_tokens)), I32)


def _mask(g: Builder, inp: AttnInput, pools: Pools, cells: Tensor) -> Tensor:
    """The causal mask of the chosen cells, [cells, tokens]."""
    mask, n_kv, n_tokens, n = inp.base.mask, inp.base.n_kv, g.n_tokens, pools.n_chosen
    seed = g.cast(g.view_1d(cells, 1), F32)
    hidden = g.fill(seed if mask.type is F32 else g.cast(seed, mask.type))
    hidden = g.reshape(g.repeat(hidden, 1, n_kv + n, n_tokens), 1, n_kv + n, n_tokens)
    zeros = g.reshape(g.repeat(g.fill(seed), 1, n, n_tokens), 1, n, n_tokens)
    live = g.unary("exp", g.reshape(pools.slot_mask, n, n_tokens))
    dump = g.arange(n)
    at = g.add(g.mul(g.sub(g.cast(cells, F32), dump), live), dump)
    kept = g.set_rows(hidden, zeros, g.reshape(g.cast(at, I32), n, n_tokens))
    kept = g.view_2d(kept, n_kv, n_tokens, strides(kept)[2])
    return g.add(kept, g.reshape(mask, n_kv, n_tokens))


def _attention(
    g: Builder, inp: AttnInput, pools: Pools, il: int, cur: Tensor, query: Tensor, chosen: Tensor
) -> Tensor:
    """Latent attention without rotation."""
    m, n_tokens, rank = g.model, g.n_tokens, g.model.number("attention.kv_lora_rank")
    head, mask = m.number("attention.key_length_mla"), inp.base.mask
    q = g.reshape(g.mul_mat(g.w(il, "attn_q_b"), query), head, g.n_head, n_tokens)
    q = g.permute(g.mul_mat(g.w(il, "attn_k_b"), g.permute(q, 0, 2, 1, 3)), 0, 2, 1, 3)
    kv = g.norm_w(g.mul_mat(g.w(il, "attn_kv_a_mqa"), cur), il, "attn_kv_a_norm")
    kv = g.reshape(kv, rank, 1, n_tokens)
    cache = g.cache(f"cache_k_l{il}")
    g.expand(q)
    g.expand(kv)
    g.expand(g.cpy_k(kv, inp.base.k_idxs, cache))
    if pools.gathers:
        out = _gathered(g, inp, pools, il, q, chosen, cache)
    else:
        sparse = g.reshape(chosen, *mask.ne)
        k = g.get_k(cache, m.n_embd_head_k, m.n_head_kv[il], inp.base.n_kv)
        ne, nb = k.ne, strides(k)
        v = g.view_4d(k, rank, ne[1], ne[2], ne[3], nb[1], nb[2], nb[3])
        out = g.attn_mha(q, k, v, sparse, il, v_mla=g.w(il, "attn_v_b"))
    return g.mul_mat(g.w(il, "attn_output"), out)


def _gathered(
    g: Builder, inp: AttnInput, pools: Pools, il: int, q: Tensor, chosen: Tensor, cache: Tensor
) -> Tensor:
    """Attention to copies of the chosen cells."""
    n_tokens = g.n_tokens
    g.expand(inp.base.mask)
    rows = g.view_2d(cache, cache.ne[0], cache.ne[1] * cache.ne[2], strides(cache)[1])
    k = g.get_rows(rows, g.reshape(chosen, nelements(chosen)))
    k = g.reshape(k, cache.ne[0], pools.n_chosen, 1, n_tokens)
    kq = g.soft_max(g.mul_mat(k, g.permute(q, 0, 2, 3, 1), "kq"), pools.slot_mask)
    kqv = g.mul_mat(g.w(il, "attn_v_b"), g.mul_mat(g.cont(g.transpose(k)), kq, "kqv"))
    out = g.cont(g.permute(kqv, 0, 2, 1, 3))
    return g.reshape(out, kqv.ne[0] * g.n_head, n_tokens)
