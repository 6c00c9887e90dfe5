"""MiniMax-M3: attention to blocks of the context that an index branch chooses for each group of heads."""

from __future__ import annotations

from dataclasses import dataclass

from budget.gguf.types import F16, F32, I32, GGMLType
from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.mla import dense_or_experts
from budget.memory.compute.tensor import Tensor, is_contiguous, strides
from budget.units import round_up

N_POS_RESERVED = 256
"""Positions for which graphs are reserved while the cache is empty (llama-kv-cache-msa.cpp, `get_n_pos`)."""


@dataclass(slots=True)
class Blocks:
    """Inputs that sparse layers share (minimax-m3.cpp, `llm_graph_input_msa`)."""

    k_idxs: Tensor
    bias: Tensor
    pos_mask: Tensor
    pos_slot: Tensor
    slot_values: Tensor | None
    """Only where each stream has one token."""
    cell_block: Tensor | None
    """Only where it has more."""
    mask: Tensor | None
    size: int
    """Cells per block."""
    n_pos: int
    n_kv: int
    n_stream: int
    n_per_stream: int
    n_group: int
    """Heads of the index branch, one for each group of attention heads."""

    @property
    def count(self) -> int:
        """Blocks that there are."""
        return self.n_pos // self.size


def minimax_m3(g: Builder) -> None:
    """Source: src/models/minimax-m3.cpp."""
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = g.attn_inp_kv()
    sparse = g.flash_attn and (g.params.n_seq_max == 1 or not g.params.kv_unified)
    blocks = _blocks(g, inp) if sparse else None
    out_ids = g.inp_out_ids()
    n_dense = g.model.number("leading_dense_block_count")
    for il in range(g.n_layer):
        skip = x
        normed = g.norm_w(x, il, "attn_norm")
        q, k, v = g.qkv(il, normed)
        q = g.rope(g.norm_w(q, il, "attn_q_norm"), pos)
        k = g.rope(g.norm_w(k, il, "attn_k_norm"), pos)
        if blocks is None or il < n_dense:
            cur = g.attn(inp, il, q, k, v, wo_bias=False)
        else:
            cur = _sparse(g, inp, blocks, il, normed, pos, (q, k, v))
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        cur = g.norm_w(skip, il, "ffn_norm")
        x = g.add(dense_or_experts(g, il, cur, act="swiglu_oai", merged=False), skip)
    g.finish(g.head_norm(x))


def _blocks(g: Builder, inp: AttnInput) -> Blocks:
    mask, size = inp.base.mask, g.model.number("attention.indexer.block_size")
    n_kv, n_per_stream, _, n_stream = mask.ne
    n_pos = round_up(N_POS_RESERVED, size)
    single = n_per_stream == 1
    return Blocks(
        k_idxs=g.k_idxs(),
        bias=g.input(F32, n_pos // size, g.n_tokens, name="msa_bias"),
        pos_mask=g.input(F32, n_pos, g.n_tokens, name="msa_pos_mask"),
        pos_slot=g.input(I32, n_pos, n_stream, name="msa_pos_slot"),
        slot_values=g.input(F32, n_pos, n_stream, name="msa_pos_slot_f") if single else None,
        cell_block=None if single else g.input(I32, n_kv, n_stream, name="msa_cell_blk"),
        mask=None if single else g.cast(mask, F32),
        size=size,
        n_pos=n_pos,
        n_kv=n_kv,
        n_stream=n_stream,
        n_per_stream=n_per_stream,
        n_group=g.model.number("attention.indexer.head_count"),
    )


def _sparse(
    g: Builder,
    inp: AttnInput,
    b: Blocks,
    il: int,
    normed: Tensor,
    pos: Tensor,
    qkv: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    size = g.model.number("attention.indexer.key_length")
    iq = g.reshape(g.mul_mat(g.w(il, "indexer.q_proj"), normed), size, b.n_group, g.n_tokens)
    ik = g.reshape(g.mul_mat(g.w(il, "indexer.k_proj"), normed), size, 1, g.n_tokens)
    iq = g.rope(g.norm_w(iq, il, "indexer.q_norm"), pos)
    ik = g.rope(g.norm_w(ik, il, "indexer.k_norm"), pos)
    index = g.cache(f"cache_idx_k_l{il}")
    g.expand(g.cpy_k(ik, b.k_idxs, index))
    q, k, v = _store(g, inp, il, qkv)
    keys = g.get_k(index, size, 1, b.n_kv)
    if b.slot_values is not None:
        cur = _single(g, b, il, keys, iq, (q, k, v))
    else:
        cur = _batch(g, b, keys, iq, (q, k, v), 0)
        for stream in range(1, b.n_stream):
            cur = g.concat(cur, _batch(g, b, keys, iq, (q, k, v), stream), 1)
    if inp.base.v_rot is not None:
        cur = g.mul_mat_hadamard(cur, inp.base.v_rot)
    return g.mm(il, "attn_output", cur)


def _store(
    g: Builder, inp: AttnInput, il: int, qkv: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The query, and all cached keys and values."""
    q, k, v = qkv
    kv = inp.base
    if kv.k_rot is not None:
        q, k = g.mul_mat_hadamard(q, kv.k_rot), g.mul_mat_hadamard(k, kv.k_rot)
    if kv.v_rot is not None:
        v = g.mul_mat_hadamard(v, kv.v_rot)
    for t in (q, k, v):
        g.expand(t)
    k_cache, v_cache = g.cache(f"cache_k_l{il}"), g.cache(f"cache_v_l{il}")
    g.expand(g.cpy_k(k, kv.k_idxs, k_cache))
    if kv.v_idxs is not None:
        g.expand(g.cpy_v(v, kv.v_idxs, v_cache))
    n_head = g.model.n_head_kv[il]
    return (
        q,
        g.get_k(k_cache, g.n_embd_head_k, n_head, kv.n_kv),
        g.get_v(v_cache, g.n_embd_head_v, n_head, kv.n_kv),
    )


def _n_chosen(g: Builder, b: Blocks) -> int:
    return min(g.model.number("attention.indexer.top_k"), b.count)


def _single(
    g: Builder, b: Blocks, il: int, keys: Tensor, iq: Tensor, qkv: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """One token per stream: the chosen keys and values are gathered."""
    q, k, v = qkv
    ns, n_group, size, n_pos, n = b.n_stream, b.n_group, b.size, b.n_pos, _n_chosen(g, b)
    width, nb = iq.ne[0], strides(keys)
    rows = g.get_rows(g.view_3d(keys, width, b.n_kv, ns, nb[2], nb[3]), b.pos_slot)
    score = g.mul_mat(g.reshape(rows, width, n_pos, 1, ns), g.reshape(iq, width, n_group, 1, ns))
    score = g.add_inplace(score, g.reshape(b.pos_mask, n_pos, 1, 1, ns))
    best = g.pool_2d(score, size, name="msa_bs")
    ids = g.top_k(g.add(best, g.reshape(b.bias, b.count, 1, 1, ns)), n)
    first = g.reshape(g.scale(g.cast(ids, F32)), 1, n, n_group, ns)
    at = g.add(g.repeat(first, size, n, n_group, ns), g.reshape(g.arange(size), size))
    at_pos = g.cast(g.reshape(at, size * n * n_group, ns), I32)
    slots = _slots(b)
    cells = g.get_rows(g.reshape(slots, 1, n_pos, ns), at_pos)
    cells = g.scale(g.reshape(cells, size, n, n_group, ns))
    n_head = k.ne[1]
    cells = g.add(cells, g.reshape(g.arange(n_head), 1, 1, n_group))
    at_row = g.cast(g.reshape(cells, size * n * n_group, ns), I32)
    gathered = [
        _gather(g, t, at_row, n_head * b.n_kv, (size * n, n_group * ns)) for t in (k, v)
    ]  # fmt: skip
    mask = g.get_rows(g.reshape(b.pos_mask, 1, n_pos, ns), at_pos)
    mask = g.cast(g.reshape(mask, size * n, 1, 1, n_group * ns), F16)
    return _attention(g, q, gathered[0], gathered[1], mask, g.model.n_head[il] // n_head)


def _slots(b: Blocks) -> Tensor:
    if b.slot_values is None:
        raise ValueError("only for one token per stream")
    return b.slot_values


def _gather(g: Builder, cache: Tensor, at: Tensor, n_rows: int, shape: tuple[int, int]) -> Tensor:
    nb = strides(cache)
    rows = g.get_rows(g.view_3d(cache, cache.ne[0], n_rows, cache.ne[3], nb[1], nb[3]), at)
    rows = g.reshape(rows, cache.ne[0], shape[0], 1, shape[1])
    type_: GGMLType = F16 if cache.type.quantized else cache.type
    return rows if rows.type is type_ else g.cast(rows, type_)


def _batch(
    g: Builder, b: Blocks, keys: Tensor, iq: Tensor, qkv: tuple[Tensor, Tensor, Tensor], stream: int
) -> Tensor:
    """The tokens of one stream: everything is read, and a mask hides what was not chosen."""
    q, k, v = qkv
    n_t, n_kv = b.n_per_stream, b.n_kv
    head, n_head, n_head_kv = q.ne[0], q.ne[1], k.ne[1]
    mask = _block_mask(g, b, keys, iq, stream)
    nb = strides(q)
    q = g.view_3d(q, head, n_head, n_t, nb[1], nb[2], stream * n_t * nb[2])
    kv = []
    for t in (k, v):
        nb = strides(t)
        one = g.view_4d(t, head, n_head_kv, n_kv, 1, nb[1], nb[2], nb[3], stream * nb[3])
        kv.append(g.permute(one, 0, 3, 1, 2))
    return _attention(g, q, kv[0], kv[1], mask, n_head // n_head_kv)


def _block_mask(g: Builder, b: Blocks, keys: Tensor, iq: Tensor, stream: int) -> Tensor:
    """[cells, tokens, 1, groups]: the causal mask, and nothing outside the chosen blocks."""
    n_t, n_kv, n_pos, n_group, count = b.n_per_stream, b.n_kv, b.n_pos, b.n_group, b.count
    width, n = iq.ne[0], _n_chosen(g, b)
    iq_nb, key_nb = strides(iq), strides(keys)
    iq = g.view_3d(iq, width, n_group, n_t, iq_nb[1], iq_nb[2], stream * n_t * iq_nb[2])
    keys = g.view_2d(keys, width, n_kv, key_nb[2], stream * key_nb[3])
    slots = g.view_1d(b.pos_slot, n_pos, stream * strides(b.pos_slot)[1])
    row = strides(b.pos_mask)[1]
    visible = g.view_3d(b.pos_mask, n_pos, 1, n_t, row, row, stream * n_t * row)
    row = strides(b.bias)[1]
    bias = g.view_3d(b.bias, count, 1, n_t, row, row, stream * n_t * row)
    score = g.mul_mat(g.get_rows(keys, slots), g.reshape(iq, width, n_group * n_t))
    score = g.add_inplace(g.reshape(score, n_pos, n_group, n_t), visible)
    ids = g.top_k(g.add(g.pool_2d(score, b.size, name="msa_bs"), bias, "msa_bsf"), n)
    hidden = g.repeat(g.cast(g.scale(bias), F16), count, n_group, n_t)
    zero = g.scale(g.cast(ids, F32))
    kept = g.set_rows(
        g.reshape(hidden, 1, count, n_group * n_t),
        g.reshape(zero, 1, n, n_group * n_t),
        g.reshape(ids, n, n_group * n_t),
    )
    kept = g.cont(g.permute(g.reshape(kept, count, n_group, n_t), 0, 2, 1, 3), name="msa_block_mask")
    return _cell_mask(g, b, kept, stream)


def _cell_mask(g: Builder, b: Blocks, kept: Tensor, stream: int) -> Tensor:
    n_t, n_kv, n_group = b.n_per_stream, b.n_kv, b.n_group
    if b.cell_block is None or b.mask is None:
        raise ValueError("only for several tokens per stream")
    blocks = g.view_1d(b.cell_block, n_kv, stream * strides(b.cell_block)[1])
    nb = strides(b.mask)
    causal = g.view_3d(b.mask, n_kv, n_t, 1, nb[1], nb[3], stream * nb[3])
    by_block = g.cont(g.transpose(g.reshape(kept, b.count, n_t * n_group)))
    by_cell = g.cont(g.transpose(g.get_rows(by_block, blocks)))
    mask = g.add_inplace(g.reshape(by_cell, n_kv, n_t, n_group), causal)
    return g.cast(g.reshape(mask, n_kv, n_t, 1, n_group), F16, "msa_mask4")


def _attention(g: Builder, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, n_shared: int) -> Tensor:
    """One flash attention for all groups, which take the place of sequences."""
    head, n_head, n_tokens, _ = q.ne
    n_channel = k.ne[3]
    rows = n_head * n_tokens // (n_shared * n_channel)
    q = g.permute(g.reshape(q, head, n_shared, n_channel, rows), 0, 2, 3, 1)
    out = g.permute(g.flash_attn_ext(q, k, v, mask, None), 0, 1, 3, 2)
    if not is_contiguous(out):
        out = g.cont(out)
    return g.reshape(out, head * n_head, n_tokens)
