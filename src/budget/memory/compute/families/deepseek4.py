"""DeepSeek V4: attention to a window and to compressed cells, which the tokens' states are pooled into."""

from __future__ import annotations

from dataclasses import dataclass

from budget.gguf.types import F16, F32, I32, I64
from budget.memory.compute import hyper
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.decoder import expert_gating
from budget.memory.compute.families.mla import low_rank_query
from budget.memory.compute.indexer import best_cells, indexer_rot, indexer_score, split_streams, top_k_mask
from budget.memory.compute.tensor import Tensor, strides
from budget.memory.kv_cache import compress_ratios

CSA_RATIO = 4
"""Tokens per cell where an indexer chooses cells."""
HCA_RATIO = 128
"""Tokens per cell where all cells are read."""


@dataclass(slots=True)
class Compressed:
    """Inputs of one compressed cache (`llm_graph_input_dsv4::comp_input`); sizes are the worst case."""

    name: str
    """`csa hca lid`."""
    ratio: int
    head: int
    overlap: bool
    """A cell is made of the tokens of the one before as well."""
    n_rows: int
    """Rows of state of all sequences."""
    mask: Tensor
    rot: Tensor | None
    state_pos: Tensor
    persist_src: Tensor
    persist_dst: Tensor
    read: Tensor
    write: Tensor
    write_pos: Tensor
    restore: tuple[Tensor, Tensor] | None
    snapshot: tuple[Tensor, Tensor] | None
    """Only where states are kept for rollback."""


@dataclass(slots=True)
class Inputs:
    """Inputs of all caches."""

    k_idxs: Tensor
    mask: Tensor
    rot: Tensor | None
    csa: Compressed
    hca: Compressed
    lid: Compressed


def deepseek4(g: Builder) -> None:
    """Source: src/models/deepseek4.cpp."""
    x = g.inp_embd()
    tokens = x.src[1]
    pos = g.inp_pos()
    out_ids = g.inp_out_ids()
    inp = _inputs(g)
    g.expand(inp.mask)
    ratios = compress_ratios(g.model)
    streams = hyper.spread(g, x)
    for il in range(g.n_layer):
        mixed = hyper.mix_in(g, il, "attn", streams)
        cur = _attention(g, inp, il, g.norm_w(mixed.cur, il, "attn_norm"), pos, ratios[il])
        mixed = hyper.mix_in(g, il, "ffn", hyper.mix_out(g, il, cur, mixed))
        for t in (mixed.streams, mixed.post, mixed.comb):
            g.expand(t)
        cur = _experts(g, il, g.norm_w(mixed.cur, il, "ffn_norm"), tokens)
        streams = hyper.mix_out(g, il, cur, mixed)
        g.pin_to_layer(streams, il)
    streams = hyper.select_outputs(g, streams, out_ids)
    g.finish(g.head_norm(hyper.collapse(g, streams, hyper.head_gate(g, streams))), scaled=False)


def _experts(g: Builder, il: int, cur: Tensor, tokens: Tensor) -> Tensor:
    """The first layers choose experts by token."""
    by_token = il < g.model.number("hash_layer_count")
    routed = g.moe(
        il,
        cur,
        norm_w=bool(g.model.key("expert_weights_norm")),
        gating=expert_gating(g, "sqrt_softplus"),
        exp_probs="" if by_token else "exp_probs_b",
        selected=g.get_rows(g.w(il, "ffn_gate_tid2eid"), tokens) if by_token else None,
    )
    return g.add(routed, g.ffn(il, cur, up="ffn_up_shexp", gate="ffn_gate_shexp", down="ffn_down_shexp"))


# --- inputs


def _inputs(g: Builder) -> Inputs:
    m, n_stream = g.model, g.n_seqs
    raw = g.cache("cache_k_l0")
    k_idxs = g.k_idxs()
    mask = _mask(g, raw.ne[1], n_stream, half=g.flash_attn)
    head, index = m.n_embd_head_k_swa, m.number("attention.indexer.key_length")
    return Inputs(
        k_idxs=k_idxs,
        mask=mask,
        rot=_rot(g),
        csa=_compressed(g, "csa", CSA_RATIO, head, n_stream),
        hca=_compressed(g, "hca", HCA_RATIO, head, n_stream),
        lid=_compressed(g, "lid", CSA_RATIO, index, n_stream),
    )


def _mask(g: Builder, n_kv: int, n_stream: int, *, half: bool) -> Tensor:
    return g.input(F16 if half else F32, n_kv, g.n_tokens // n_stream, 1, n_stream, name="attn_inp_kq_mask")


def _rot(g: Builder) -> Tensor | None:
    """llama-kv-cache.cpp rotates whatever is as wide as the indexer's heads."""
    m = g.model
    return g.k_rot(swa=True, always=m.n_embd_head_k == m.number("attention.indexer.key_length"))


def _compressed(g: Builder, name: str, ratio: int, head: int, n_stream: int) -> Compressed:
    """Source: llama-kv-cache-dsv4.cpp, `dsv4_build_reserve_comp_plan`."""
    n_tokens, n_rs = g.n_tokens, g.params.n_rs_seq
    overlap = ratio == CSA_RATIO
    n_rows = (2 * ratio if overlap else ratio) * g.params.n_seq_max
    n_blocks = n_tokens // ratio + g.n_seqs
    n_persist = min(n_tokens, n_rows)
    layer = next((il for il, r in enumerate(compress_ratios(g.model)) if r == ratio), -1)
    n_kv = g.cache(f"cache_{name}_k_l{layer}").ne[1] if layer >= 0 else 0

    def idxs(n: int, kind: str) -> Tensor:
        return g.input(I64 if kind == "write_idxs" else I32, n, name=f"dsv4_{name}_state_{kind}")

    def pair(n: int, kind: str) -> tuple[Tensor, Tensor] | None:
        return (idxs(n, f"{kind}_src"), idxs(n, f"{kind}_dst")) if n else None

    half = g.stage.fused_lid if name == "lid" else g.flash_attn
    return Compressed(
        name=name,
        ratio=ratio,
        head=head,
        overlap=overlap,
        n_rows=n_rows,
        mask=_mask(g, n_kv, n_stream, half=half),
        rot=indexer_rot(g) if name == "lid" else _rot(g),
        state_pos=idxs(n_tokens, "pos"),
        persist_src=idxs(n_persist, "persist_src"),
        persist_dst=idxs(n_persist, "persist_dst"),
        read=idxs((2 if overlap else 1) * ratio * n_blocks, "read"),
        write=idxs(n_blocks, "write_idxs"),
        write_pos=idxs(n_blocks, "write_pos"),
        restore=pair(n_rows if n_rs else 0, "restore"),
        snapshot=pair(n_rs * n_rows, "snapshot"),
    )


# --- attention


def _attention(g: Builder, inp: Inputs, il: int, cur: Tensor, pos: Tensor, ratio: int) -> Tensor:
    head, n_head, n_tokens = g.n_embd_head_k, g.n_head, g.n_tokens
    query = low_rank_query(g, il, cur)
    q = g.reshape(g.mul_mat(g.w(il, "attn_q_b"), query), head, n_head, n_tokens)
    q = g.rope(g.rms_norm(q), pos)
    kv = g.norm_w(g.mul_mat(g.w(il, "attn_kv"), cur), il, "attn_kv_a_norm")
    kv = g.rope(g.reshape(kv, head, 1, n_tokens), pos)
    if ratio == CSA_RATIO:
        _compress(g, inp.csa, il, cur, "attn_compressor")
        _compress(g, inp.lid, il, cur, "indexer_compressor")
    elif ratio == HCA_RATIO:
        _compress(g, inp.hca, il, cur, "attn_compressor")
    top_k = _top_k(g, inp.lid, il, cur, query, pos) if ratio == CSA_RATIO else None
    out = _attend(g, inp, il, q, kv, ratio, top_k)
    out = g.rope_back(g.reshape(out, head, n_head, n_tokens), pos)
    n_groups = g.model.number("attention.output_group_count")
    out = g.reshape(out, n_head // n_groups * head, n_groups, n_tokens)
    out = g.mul_mat(g.w(il, "attn_output_a"), g.permute(out, 0, 2, 1, 3))
    rank = g.model.number("attention.output_lora_rank")
    out = g.cont(g.permute(out, 0, 2, 1, 3), rank * n_groups, n_tokens)
    return g.mul_mat(g.w(il, "attn_output_b"), out)


def _attend(
    g: Builder, inp: Inputs, il: int, q: Tensor, kv: Tensor, ratio: int, top_k: Tensor | None
) -> Tensor:
    if inp.rot is not None:
        q, kv = g.mul_mat_hadamard(q, inp.rot), g.mul_mat_hadamard(kv, inp.rot)
    g.expand(q)
    g.expand(kv)
    cache = g.cache(f"cache_k_l{il}")
    g.expand(g.cpy_k(kv, inp.k_idxs, cache))
    k, mask = _cells(g, cache, g.n_embd_head_k), inp.mask
    if ratio in (CSA_RATIO, HCA_RATIO):
        comp = inp.csa if ratio == CSA_RATIO else inp.hca
        k = g.concat(k, _comp_cells(g, comp, il), 2, "k_all")
        extra = comp.mask
        if top_k is not None:
            extra = top_k_mask(g, extra, top_k, F16 if g.flash_attn else F32)
        mask = g.concat(mask, extra, 0, "kq_mask")
    out = g.attn_mha(q, k, k, mask, il, sinks=g.opt(il, "attn_sinks"))
    return out if inp.rot is None else g.mul_mat_hadamard(out, inp.rot)


def _cells(g: Builder, cache: Tensor, head: int) -> Tensor:
    return g.get_k(cache, head, 1, cache.ne[1])


def _comp_cells(g: Builder, comp: Compressed, il: int) -> Tensor:
    k = _cells(g, g.cache(f"cache_{comp.name}_k_l{il}"), comp.head)
    ne, nb = k.ne, strides(k)
    return g.view_4d(k, ne[0], ne[1], comp.mask.ne[0], ne[3], nb[1], nb[2], nb[3])


def _top_k(g: Builder, lid: Compressed, il: int, cur: Tensor, query: Tensor, pos: Tensor) -> Tensor:
    """Source: `build_lid_top_k`."""
    n_head = g.model.number("attention.indexer.head_count")
    q = g.reshape(g.mul_mat(g.w(il, "indexer.attn_q_b"), query), lid.head, n_head, g.n_tokens)
    q = g.rope(q, pos)
    if lid.rot is not None:
        q = g.mul_mat_hadamard(q, lid.rot)
    weights = g.scale(g.mul_mat(g.w(il, "indexer.proj"), cur))
    k = _comp_cells(g, lid, il)
    q, weights = split_streams(g, q, 2, k.ne[3]), split_streams(g, weights, 1, k.ne[3])
    return best_cells(g, indexer_score(g, il, q, k, weights, lid.mask))


# --- compression


def _compress(g: Builder, comp: Compressed, il: int, cur: Tensor, name: str) -> None:
    """Make the cells that this batch completes, and keep the state of what is left."""
    kv = g.mul_mat(g.w(il, f"{name}_kv"), cur)
    score = g.mul_mat(g.w(il, f"{name}_gate"), cur)
    score = g.add(score, g.get_rows(g.w(il, f"{name}_ape"), comp.state_pos))
    both = []
    for part, new in (("kv", kv), ("score", score)):
        state = _state(g, comp, il, part)
        if comp.restore is not None:
            state = g.set_rows(_state(g, comp, il, part), g.get_rows(state, comp.restore[0]), comp.restore[1])
        both.append((part, new, state))
    base = [g.view_2d(state, state.ne[0], comp.n_rows, strides(state)[1]) for _, _, state in both]
    sources = [g.concat(b, new, 1) for b, (_, new, _) in zip(base, both, strict=True)]
    values, scores = _overlapping(g, comp, sources) if comp.overlap else _plain(g, comp, sources)
    cells = g.sum_rows(g.mul(values, g.soft_max(scores)))
    cells = g.norm_w(g.cont(g.permute(cells, 1, 0, 2, 3)), il, f"{name}_norm")
    cells = g.rope(cells, comp.write_pos)
    if comp.rot is not None:
        cells = g.mul_mat_hadamard(cells, comp.rot)
    g.expand(g.cpy_k(cells, comp.write, g.cache(f"cache_{comp.name}_k_l{il}")))
    if comp.snapshot is not None:
        for part, new, state in both:
            rows = g.get_rows(g.concat(state, new, 1), comp.snapshot[0])
            g.expand(g.set_rows(_state(g, comp, il, part), rows, comp.snapshot[1]))
    kept = [
        g.set_rows(_state(g, comp, il, part), g.get_rows(new, comp.persist_src), comp.persist_dst)
        for part, new, _ in both
    ]
    for t in kept:
        g.expand(t)


def _state(g: Builder, comp: Compressed, il: int, part: str) -> Tensor:
    """All rows of the state, those for rollback included."""
    state = g.cache(f"dsv4_{comp.name}_state_{part}_l{il}")
    return g.view_2d(state, state.ne[0], comp.n_rows * (1 + g.params.n_rs_seq), strides(state)[1])


def _plain(g: Builder, comp: Compressed, sources: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Values and scores of each cell's tokens, [tokens, head, cells]."""
    out = []
    for t in sources:
        rows = g.reshape(g.get_rows(t, comp.read), comp.head, comp.ratio, comp.write_pos.ne[0])
        out.append(g.cont(g.permute(rows, 1, 0, 2, 3)))
    return out[0], out[1]


def _overlapping(g: Builder, comp: Compressed, sources: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The same, where the first half of a row belongs to the cell after."""
    head, n_blocks = comp.head, comp.write_pos.ne[0]
    n_read = comp.ratio * n_blocks
    out = []
    for t in sources:
        zero = g.reshape(g.scale(g.view_1d(t, t.ne[0])), t.ne[0], 1)
        rows = g.get_rows(g.concat(t, zero, 1), comp.read)
        row = strides(rows)[1]
        halves = [
            g.reshape(g.cont(g.view_2d(rows, head, n_read, row, at)), head, comp.ratio, n_blocks)
            for at in (0, n_read * row + g.row_bytes(rows, head))
        ]
        out.append(g.cont(g.permute(g.concat(halves[0], halves[1], 1), 1, 0, 2, 3)))
    return out[0], out[1]
