"""Qwen 4 (experimental): hyper-connections, gated delta nets, attention to chosen blocks, n-gram embeddings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from budget.errors import BadModelError
from budget.gguf.types import F32, I32
from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.gated_delta import (
    gated_attention,
    linear_attention,
    moe_with_gated_expert,
)
from budget.memory.compute.indexer import top_k_mask
from budget.memory.compute.recurrent import RsInput
from budget.memory.compute.tensor import Tensor, strides


@dataclass(slots=True)
class BlockInput:
    """Inputs of the layers whose indexer pools `ratio` tokens to a block."""

    ratio: int
    n_blocks: int
    k_idxs: Tensor
    cell_blk: Tensor
    blk_cells: Tensor
    blk_pos: Tensor
    bias: Tensor


def qwen4exp(g: Builder) -> None:
    """Source: src/models/qwen4exp.cpp."""
    x = g.inp_embd()
    rs, inp = g.rs_inp(), g.attn_inp_kv()
    pos = g.inp_pos(4)
    out_ids = g.inp_out_ids()
    ple_layers = g.model.array("ple.layers") or ()
    ngrams = _ngram_embedding(g) if ple_layers else None
    hc, n_embd = g.model.number("hyper_connection.count"), g.n_embd
    wide = g.repeat(g.reshape(x, n_embd, 1, g.n_tokens), n_embd, hc, g.n_tokens)
    blocks: dict[int, BlockInput] = {}
    for il in range(g.n_layer):
        if ngrams is not None and il in ple_layers:
            wide = _add_ngrams(g, rs, il, ngrams, wide)
        cur, inject = _mix(g, wide, f"blk.{il}.hc_attn", il)
        g.expand(cur)
        if g.model.is_recurrent[il]:
            cur = linear_attention(g, rs, il, cur, gate="sigmoid", contiguous=True)
        else:
            cur = _attention(g, inp, blocks, il, cur, pos)
        if il == g.n_layer - 1:
            cur, inject = g.get_rows(cur, out_ids), g.get_rows(inject, out_ids)
            rows = g.get_rows(g.reshape(wide, n_embd * hc, wide.ne[2]), out_ids)
            wide = g.reshape(rows, n_embd, hc, rows.ne[1])
        wide = _combine(g, wide, cur, inject, il)
        cur, inject = _mix(g, wide, f"blk.{il}.hc_ffn", il)
        wide = _combine(g, wide, moe_with_gated_expert(g, il, cur), inject, il)
        g.pin_to_layer(wide, il)
    normed, gate = _mix_gate(g, wide, "output_hc")
    g.finish(_mean_of_streams(g, normed, gate))


def _mix_gate(g: Builder, x: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """(normalised streams side by side, their gate)."""
    normed = g.mul(g.rms_norm(x), g.top(f"{name}_norm"))
    normed = g.reshape(normed, x.ne[0] * x.ne[1], x.ne[2])
    low = g.unary("silu", g.scale(g.mul_mat(g.top(f"{name}_down"), normed)))
    return normed, g.mul_mat(g.top(f"{name}_up"), low)


def _mix(g: Builder, x: Tensor, name: str, il: int) -> tuple[Tensor, Tensor]:
    """(what goes into the block, weights by which its result goes back) (`build_hc_mix`)."""
    normed, gate = _mix_gate(g, x, name)
    if g.stage.fused_hc_pre:
        mixed = g.hc_pre(g.reshape(normed, *x.ne), g.reshape(gate, *x.ne))
        g.add_fused("hc_pre", mixed, il)
    else:
        mixed = _mean_of_streams(g, normed, gate)
    return mixed, g.mul_mat(g.top(f"{name}_inject"), normed)


def _mean_of_streams(g: Builder, normed: Tensor, gate: Tensor) -> Tensor:
    n_embd, n_tokens = g.n_embd, normed.ne[1]
    gated = g.mul(normed, g.unary("sigmoid", gate))
    row = strides(gated)[1]
    gated = g.reshape(gated, n_embd, normed.ne[0] // n_embd, n_tokens)
    parts = [g.view_2d(gated, n_embd, n_tokens, row, i * n_embd * 4) for i in range(gated.ne[1])]
    total = g.cont(parts[0])
    for part in parts[1:]:
        total = g.add(total, part)
    return g.scale(total)


def _combine(g: Builder, wide: Tensor, cur: Tensor, inject: Tensor, il: int) -> Tensor:
    """Source: `build_hc_combine`."""
    n_embd, hc, n_tokens, _ = wide.ne
    weights = g.scale(g.unary("sigmoid", g.scale(inject)))
    if g.stage.fused_hc_post:
        out = g.hc_post(cur, wide, weights)
        g.add_fused("hc_post", out, il)
        return out
    copies = g.repeat(g.reshape(cur, n_embd, 1, n_tokens), n_embd, hc, n_tokens)
    return g.add(wide, g.mul(copies, g.reshape(weights, 1, hc, n_tokens)))


def _attention(
    g: Builder, inp: AttnInput, blocks: dict[int, BlockInput], il: int, cur: Tensor, pos: Tensor
) -> Tensor:
    ratios = g.model.array("attention.compress_ratios") or ()
    ratio = int(ratios[il]) if il < len(ratios) else 0
    if ratio and f"cache_idx_k_l{il}" in g.shared.caches:
        if ratio not in blocks:
            blocks[ratio] = _block_input(g, ratio)
        top_k = _top_k(g, inp, blocks[ratio], il, cur, pos)
        inp = AttnInput(replace(inp.base, mask=top_k_mask(g, inp.base.mask, top_k)))
    q, k, v = (g.mm(il, name, cur) for name in ("attn_q", "attn_k", "attn_v"))
    return gated_attention(g, inp, il, (q, k, v), pos)


def _block_input(g: Builder, ratio: int) -> BlockInput:
    n_kv, n_stream = g.n_kv("base"), g.n_stream
    n_blocks = -(-n_kv // ratio)
    return BlockInput(
        ratio,
        n_blocks,
        g.k_idxs(),
        g.input(I32, n_kv, n_stream, name="cell_blk"),
        g.input(I32, ratio * n_blocks, n_stream, name="blk_cells"),
        g.input(I32, 4 * n_blocks * n_stream, name="blk_pos"),
        g.input(F32, n_blocks, g.n_tokens // n_stream, n_stream, name="qsa_bias"),
    )


def _top_k(g: Builder, inp: AttnInput, block: BlockInput, il: int, cur: Tensor, pos: Tensor) -> Tensor:
    """Cells of the best blocks, [best, tokens, 1, streams] (`build_qsa_top_k`)."""
    m, n_stream, n_blocks, n_kv = g.model, g.n_stream, block.n_blocks, inp.base.n_kv
    head, n_head = m.number("attention.indexer.key_length"), m.number("attention.indexer.head_count")
    per_stream = g.n_tokens // n_stream
    cache = g.cache(f"cache_idx_k_l{il}")
    k = g.reshape(g.mul_mat(g.w(il, "indexer.k_proj"), cur), head, 1, g.n_tokens)
    g.expand(g.cpy_k(k, block.k_idxs, cache))
    pooled = g.norm_w(_pooled(g, block, cache, head), il, "indexer.k_norm")
    pooled = g.rope(g.reshape(pooled, head, 1, n_blocks * n_stream), block.blk_pos)
    pooled = g.reshape(pooled, head, n_blocks, n_stream)
    q = g.reshape(g.mul_mat(g.w(il, "indexer.q_proj"), cur), head, n_head, g.n_tokens)
    q = g.rope(g.norm_w(q, il, "indexer.q_norm"), pos)
    score = g.mul_mat(pooled, g.reshape(q, head, n_head * per_stream, n_stream))
    score = g.unary("relu", g.reshape(score, n_blocks, n_head, per_stream, n_stream))
    _, nb1, nb2, nb3 = strides(score)
    heads = [g.view_3d(score, n_blocks, per_stream, n_stream, nb2, nb3, h * nb1) for h in range(n_head)]
    score = g.cont(heads[0])
    for part in heads[1:]:
        score = g.add(score, part)
    score = g.add(score, block.bias)
    by_cell = g.get_rows(g.cont(g.permute(score, 1, 0, 2, 3)), block.cell_blk)
    by_cell = g.cont(g.permute(by_cell, 1, 0, 2, 3))
    mask = inp.base.mask
    mask = mask if mask.type is F32 else g.cast(mask, F32)
    by_cell = g.add(by_cell, g.reshape(mask, n_kv, per_stream, n_stream))
    width = min(n_kv, m.number("attention.indexer.top_k") + block.ratio - 1)
    return g.reshape(g.cont(g.top_k(by_cell, width)), width, per_stream, 1, n_stream)


def _pooled(g: Builder, block: BlockInput, cache: Tensor, head: int) -> Tensor:
    """The mean of the cached keys of each block."""
    n_stream, n_blocks = g.n_stream, block.n_blocks
    k = g.get_k(cache, head, 1, cache.ne[1])
    _, _, nb2, nb3 = strides(k)
    members = g.get_rows(g.view_3d(k, head, cache.ne[1], n_stream, nb2, nb3), block.blk_cells)
    members = g.reshape(members, head, block.ratio, n_blocks, n_stream)
    _, nb1, nb2, nb3 = strides(members)
    parts = [
        g.cont(g.view_3d(members, head, n_blocks, n_stream, nb2, nb3, i * nb1)) for i in range(block.ratio)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = g.add(total, part)
    return g.reshape(g.scale(total), head, n_blocks * n_stream)


def _ngram_embedding(g: Builder) -> Tensor:
    m = g.model
    heads = (m.number("ple.ngram_size") - 1) * m.number("ple.heads_per_ngram")
    rows = g.input(I32, heads * g.n_tokens, name="ple_rows")
    table = g.top("per_layer_token_embd")
    return g.expand(g.reshape(g.get_rows(table, rows), table.ne[0] * heads, g.n_tokens))


def _add_ngrams(g: Builder, rs: RsInput, il: int, ngrams: Tensor, wide: Tensor) -> Tensor:
    """Source: `build_ple`."""
    n_embd, hc, n_tokens, _ = wide.ne
    total = n_embd * hc

    def grouped_norm(x: Tensor, name: str) -> Tensor:
        return g.mul(g.rms_norm(g.reshape(x, n_embd, hc, n_tokens)), g.w(il, name))

    key = grouped_norm(g.mul_mat(g.w(il, "ple_key"), ngrams), "ple_norm_key")
    s = g.scale(g.sum_rows(g.mul(key, grouped_norm(wide, "ple_norm_query"))))
    size = g.sqrt(g.clamp(g.unary("abs", s)))
    gate = g.unary("sigmoid", g.mul(g.unary("sgn", s), size))
    value = g.reshape(g.mul_mat(g.w(il, "ple_value"), ngrams), n_embd, 1, n_tokens)
    gated = g.mul(g.repeat(value, n_embd, hc, n_tokens), gate)
    normed = g.reshape(grouped_norm(gated, "ple_norm_conv"), total, g.n_seq_tokens, g.n_seqs)
    out = g.unary("silu", _dilated_conv(g, rs, il, normed))
    return g.add(wide, g.add(gated, g.reshape(g.cont(out), n_embd, hc, n_tokens)))


def _dilated_conv(g: Builder, rs: RsInput, il: int, x: Tensor) -> Tensor:
    """A convolution over tokens, written as a sum of shifted copies."""
    total, n_t, n_seqs, _ = x.ne
    kernel, step = g.model.number("ple.conv_kernel"), g.model.number("ple.ngram_size")
    padded = g.delta_conv(rs, g.cache(f"cache_ple_r_l{il}"), x, (kernel - 1) * step, contiguous=True)
    _, nb1, nb2, _ = strides(padded)
    weight = g.w(il, "ple_conv1d")
    size, row, _, _ = strides(weight)
    out: Tensor | None = None
    for k in range(kernel):
        shifted = g.cont(g.transpose(g.view_3d(padded, n_t, total, n_seqs, nb1, nb2, k * step * 4)))
        w = g.reshape(g.cont(g.view_2d(weight, 1, total, row, k * size)), total)
        term = g.mul(shifted, w if w.type is F32 else g.cast(w, F32))
        out = term if out is None else g.add(out, term)
    if out is None:
        raise BadModelError("ple.conv_kernel is 0")
    return out
