"""Latent attention: DeepSeek V2, V3 and their kin."""

from __future__ import annotations

from dataclasses import dataclass

from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.decoder import expert_gating
from budget.memory.compute.tensor import Tensor


def deepseek2(g: Builder) -> None:
    """Source: src/models/deepseek2.cpp (also mistral4.cpp)."""
    m = g.model
    x = g.inp_embd()
    scale = g.inp_attn_scale() if m.key("attention.temperature_scale") else None
    pos = g.inp_pos()
    inp = g.attn_inp_k() if m.is_mla else g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        skip = x
        cur = latent_attention(g, inp, il, g.norm_w(x, il, "attn_norm"), pos, scale)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        cur = g.norm_w(skip, il, "ffn_norm")
        cur = dense_or_experts(g, il, cur, gating="softmax")
        x = g.add(cur, skip)
    cur = g.head_norm(x)
    g.t_h_nextn = cur
    g.finish(cur, scaled=False)


def minicpm3(g: Builder) -> None:
    """Source: src/models/minicpm3.cpp: keys and values are expanded before they are cached."""
    x = g.scale(g.inp_embd())
    pos = g.inp_pos()
    inp = g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        skip = x
        cur = g.norm_w(x, il, "attn_norm")
        cur = latent_attention(g, inp, il, cur, pos, None, factors=g.rope_factors(il))
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(g.scale(cur), skip)
        cur = g.ffn(il, g.norm_w(skip, il, "ffn_norm"))
        x = g.add(g.scale(cur), skip)
    cur = g.head_norm(x)
    g.finish(g.scale(cur))
    g.t_embd = cur


def dense_or_experts(
    g: Builder, il: int, cur: Tensor, *, gating: str = "sigmoid", act: str = "silu", scales: bool = False,
    merged: bool = True, norm_w: bool | None = None,
) -> Tensor:  # fmt: skip
    """The feed-forward block of the DeepSeek kind: dense first, then experts beside a shared one.

    Args:
        gating: what holds where the header does not say.
        scales: the builder passes the scales of NVFP4 files.
        merged: the builder passes merged gate and up experts.
        norm_w: whether weights are normalised where it is not the header that says.
    """
    if il < g.model.number("leading_dense_block_count"):
        return g.ffn(il, cur, act, scales=scales)
    routed = g.moe(
        il,
        cur,
        act=act,
        norm_w=bool(g.model.key("expert_weights_norm")) if norm_w is None else norm_w,
        gating=expert_gating(g, gating),
        exp_probs="exp_probs_b",
        gate_up="ffn_gate_up_exps" if merged else "",
        scales=scales,
    )
    shared = g.ffn(
        il, cur, act, up="ffn_up_shexp", gate="ffn_gate_shexp", down="ffn_down_shexp", scales=scales
    )
    return g.add(routed, shared)


@dataclass(frozen=True, slots=True)
class Latent:
    """Sizes of latent attention in one layer."""

    head_k: int
    """Head size of Q and of expanded K, rope included."""
    head_v: int
    rope: int
    rank: int
    """Width of the compressed K and V."""
    n_head: int

    @property
    def nope(self) -> int:
        """The part of a head that is not rotated."""
        return self.head_k - self.rope


def latent_sizes(g: Builder, il: int = 0, *, swa: bool = False) -> Latent:
    """Sizes by header; `swa` for the keys of layers with a window."""
    m, suffix = g.model, "_swa" if swa else ""
    return Latent(
        head_k=m.number(f"attention.key_length_mla{suffix}") if m.is_mla else m.n_embd_head_k,
        head_v=m.number(f"attention.value_length_mla{suffix}") if m.is_mla else m.n_embd_head_v,
        rope=m.number("rope.dimension_count"),
        rank=m.number(f"attention.kv_lora_rank{suffix}"),
        n_head=m.n_head[il],
    )


def latent_attention(
    g: Builder,
    inp: AttnInput,
    il: int,
    cur: Tensor,
    pos: Tensor | None,
    scale: Tensor | None,
    *,
    factors: Tensor | None = None,
    wo_name: str = "attn_output",
) -> Tensor:
    """Queries against the compressed cache (MLA), or against expanded keys in files from before it.

    Args:
        pos: positions; None where nothing is rotated.
        wo_name: the output projection; empty where the builder applies it later.
    """
    m, n_tokens = g.model, g.n_tokens
    sizes = latent_sizes(g, il)
    if g.opt(il, "attn_q") is None:
        q = g.mul_mat(g.w(il, "attn_q_b"), low_rank_query(g, il, cur))
    else:
        q = g.mul_mat(g.w(il, "attn_q"), cur)
    q = g.reshape(q, sizes.head_k, sizes.n_head, n_tokens)
    if m.is_mla:
        q, k, v = absorbed(g, il, q, cur, pos, sizes)
        if scale is not None:
            q = g.mul(q, scale)
        return g.attn(inp, il, q, k, v, wo_name=wo_name, wo_bias=False, v_mla=g.w(il, "attn_v_b"))
    kv_cmpr, k_pe = _compressed(g, il, cur, sizes)
    k_pe = _rotated(g, k_pe, pos, factors)
    kv_cmpr = g.norm_w(kv_cmpr, il, "attn_kv_a_norm")
    both = g.mul_mat(g.w(il, "attn_kv_b"), kv_cmpr)
    nope, head_v, n_head = sizes.nope, sizes.head_v, sizes.n_head
    row = 4 * (nope + head_v)
    k_nope = g.view_3d(both, nope, n_head, n_tokens, row, row * n_head)
    v = g.cont(g.view_3d(both, head_v, n_head, n_tokens, row, row * n_head, 4 * nope))
    q = _rotated(g, q, pos, factors)
    k = g.concat(k_nope, g.repeat(k_pe, sizes.rope, n_head, n_tokens), 0)
    if scale is not None:
        q = g.mul(q, scale)
    return g.attn(inp, il, q, k, v, wo_name=wo_name, wo_bias=False)


def _rotated(g: Builder, t: Tensor, pos: Tensor | None, factors: Tensor | None = None) -> Tensor:
    return t if pos is None else g.rope(t, pos, factors)


def low_rank_query(g: Builder, il: int, cur: Tensor) -> Tensor:
    """The compressed query, normalised."""
    return g.norm_w(g.mul_mat(g.w(il, "attn_q_a"), cur), il, "attn_q_a_norm")


def _compressed(g: Builder, il: int, cur: Tensor, sizes: Latent) -> tuple[Tensor, Tensor]:
    """(compressed K and V, the part of K that is rotated)."""
    kv = g.mul_mat(g.w(il, "attn_kv_a_mqa"), cur, "kv_cmpr_pe")
    width = 4 * (sizes.rank + sizes.rope)
    return (
        g.view_2d(kv, sizes.rank, g.n_tokens, width),
        g.view_3d(kv, sizes.rope, 1, g.n_tokens, width, width, 4 * sizes.rank),
    )


def absorbed(
    g: Builder, il: int, q: Tensor, cur: Tensor, pos: Tensor | None, sizes: Latent, *, k_norm: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """(Q, K, V) for attention on the compressed cache.

    Args:
        q: heads one after another in each token's row.
        k_norm: the rotated part of K is normalised first.
    """
    nope, rope, n_head, n_tokens = sizes.nope, sizes.rope, sizes.n_head, g.n_tokens
    nb1, nb2 = 4 * sizes.head_k, 4 * sizes.head_k * n_head
    q_nope = g.view_3d(q, nope, n_head, n_tokens, nb1, nb2)
    q_pe = _rotated(g, g.view_3d(q, rope, n_head, n_tokens, nb1, nb2, 4 * nope), pos)
    kv_cmpr, k_pe = _compressed(g, il, cur, sizes)
    if k_norm:
        k_pe = g.norm_w(k_pe, il, "attn_k_norm")
    k_pe = _rotated(g, k_pe, pos)
    kv_cmpr = g.norm_w(kv_cmpr, il, "attn_kv_a_norm")
    q_cmpr = g.permute(g.mul_mat(g.w(il, "attn_k_b"), g.permute(q_nope, 0, 2, 1, 3)), 0, 2, 1, 3)
    v = g.reshape(kv_cmpr, sizes.rank, 1, n_tokens)
    return g.concat(q_cmpr, q_pe, 0), g.concat(v, k_pe, 0), v
