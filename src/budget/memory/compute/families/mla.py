"""Latent attention: DeepSeek V2, V3 and their kin."""

from __future__ import annotations

from budget.memory.compute.attention import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.decoder import expert_gating
from budget.memory.compute.tensor import Tensor, strides


def deepseek2(g: Builder) -> None:
    """Source: src/models/deepseek2.cpp."""
    m = g.model
    x = g.inp_embd()
    scale = g.inp_attn_scale() if m.key("attention.temperature_scale") else None
    pos = g.inp_pos()
    inp = g.attn_inp_k() if m.is_mla else g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    n_dense = m.number("leading_dense_block_count")
    norm_w = bool(m.key("expert_weights_norm"))
    gating = expert_gating(g, "softmax")
    for il in range(g.n_layer):
        skip = x
        cur = latent_attention(g, inp, il, g.norm_w(x, il, "attn_norm"), pos, scale)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        cur = g.norm_w(skip, il, "ffn_norm")
        if il < n_dense:
            cur = g.ffn(il, cur)
        else:
            routed = g.moe(
                il, cur, norm_w=norm_w, gating=gating, exp_probs="exp_probs_b", gate_up="ffn_gate_up_exps"
            )
            cur = g.add(
                routed, g.ffn(il, cur, up="ffn_up_shexp", gate="ffn_gate_shexp", down="ffn_down_shexp")
            )
        x = g.add(cur, skip)
    cur = g.head_norm(x)
    g.t_h_nextn = cur
    g.finish(cur, scaled=False)


def latent_attention(
    g: Builder, inp: AttnInput, il: int, cur: Tensor, pos: Tensor, scale: Tensor | None
) -> Tensor:
    """Queries against the compressed cache (MLA), or against expanded keys in files from before it."""
    m, n_tokens, n_head = g.model, g.n_tokens, g.n_head
    head_k = m.number("attention.key_length_mla") if m.is_mla else m.n_embd_head_k
    head_v = m.number("attention.value_length_mla") if m.is_mla else m.n_embd_head_v
    rope, rank = m.number("rope.dimension_count"), m.number("attention.kv_lora_rank")
    nope = head_k - rope
    if g.opt(il, "attn_q") is None:
        q = g.norm_w(g.mul_mat(g.w(il, "attn_q_a"), cur), il, "attn_q_a_norm")
        q = g.mul_mat(g.w(il, "attn_q_b"), q)
    else:
        q = g.mul_mat(g.w(il, "attn_q"), cur)
    q = g.reshape(q, head_k, n_head, n_tokens)
    kv = g.mul_mat(g.w(il, "attn_kv_a_mqa"), cur, "kv_cmpr_pe")
    width = 4 * (rank + rope)
    kv_cmpr = g.view_2d(kv, rank, n_tokens, width)
    k_pe = g.view_3d(kv, rope, 1, n_tokens, width, width, 4 * rank)
    if m.is_mla:
        return _absorbed(g, inp, il, q, kv_cmpr, k_pe, pos, scale, (nope, rope, rank))
    k_pe = g.rope(k_pe, pos)
    kv_cmpr = g.norm_w(kv_cmpr, il, "attn_kv_a_norm")
    both = g.mul_mat(g.w(il, "attn_kv_b"), kv_cmpr)
    row = 4 * (nope + head_v)
    k_nope = g.view_3d(both, nope, n_head, n_tokens, row, row * n_head)
    v = g.cont(g.view_3d(both, head_v, n_head, n_tokens, row, row * n_head, 4 * nope))
    q = g.rope(q, pos)
    k = g.concat(k_nope, g.repeat(k_pe, rope, n_head, n_tokens), 0)
    if scale is not None:
        q = g.mul(q, scale)
    return g.attn(inp, il, q, k, v, wo_bias=False)


def _absorbed(
    g: Builder,
    inp: AttnInput,
    il: int,
    q: Tensor,
    kv_cmpr: Tensor,
    k_pe: Tensor,
    pos: Tensor,
    scale: Tensor | None,
    sizes: tuple[int, int, int],
) -> Tensor:
    nope, rope, rank = sizes
    n_tokens, n_head = g.n_tokens, g.n_head
    _, nb1, nb2, _ = strides(q)
    q_nope = g.view_3d(q, nope, n_head, n_tokens, nb1, nb2)
    q_pe = g.rope(g.view_3d(q, rope, n_head, n_tokens, nb1, nb2, 4 * nope), pos)
    k_pe = g.rope(k_pe, pos)
    kv_cmpr = g.norm_w(kv_cmpr, il, "attn_kv_a_norm")
    absorbed = g.permute(g.mul_mat(g.w(il, "attn_k_b"), g.permute(q_nope, 0, 2, 1, 3)), 0, 2, 1, 3)
    q = g.concat(absorbed, q_pe, 0)
    kv_cmpr = g.reshape(kv_cmpr, rank, 1, n_tokens)
    k = g.concat(kv_cmpr, k_pe, 0)
    if scale is not None:
        q = g.mul(q, scale)
    return g.attn(inp, il, q, k, kv_cmpr, wo_bias=False, v_mla=g.w(il, "attn_v_b"))
