"""Short convolutions between attention layers: LFM2."""

from __future__ import annotations

from budget.memory.compute.builder import Builder
from budget.memory.compute.families.decoder import expert_gating
from budget.memory.compute.recurrent import RsInput
from budget.memory.compute.tensor import Tensor, strides


def lfm2(g: Builder) -> None:
    """Source: src/models/lfm2.cpp (lfm2moe shares it)."""
    x = g.inp_embd()
    rs = g.rs_inp()
    inp = g.attn_inp_kv() if g.model.swa_type == "none" else g.attn_inp_kv_iswa(rotate=False)
    pos = g.inp_pos()
    out_ids = g.inp_out_ids()
    n_dense = g.n_layer if g.arch == "lfm2" else g.model.number("leading_dense_block_count")
    for il in range(g.n_layer):
        skip = x
        cur = g.norm_w(x, il, "attn_norm")
        if g.model.is_recurrent[il]:
            cur = _short_conv(g, rs, il, cur)
        else:
            q, k, v = g.qkv(il, cur)
            q = g.rope(g.norm_w(q, il, "attn_q_norm"), pos)
            k = g.rope(g.norm_w(k, il, "attn_k_norm"), pos)
            cur = g.attn(inp, il, q, k, v, wo_bias=False)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(skip, cur)
        cur = g.norm_w(skip, il, "ffn_norm")
        if il < n_dense:
            cur = g.ffn(il, cur)
        else:
            cur = g.moe(il, cur, norm_w=True, gating=expert_gating(g, ""), exp_probs="exp_probs_b")
        x = g.add(skip, cur)
    cur = g.head_norm(x, name="token_embd_norm")
    if g.params.embeddings:
        g.finish_embedding(cur)
    else:
        g.finish(cur)


def _short_conv(g: Builder, rs: RsInput, il: int, cur: Tensor) -> Tensor:
    n_t, n_seqs, n_embd = g.n_seq_tokens, g.n_seqs, g.n_embd
    kernel = g.model.number("shortconv.l_cache")
    kept = kernel - 1
    conv_all = g.cache(f"cache_r_l{il}")
    all_three = g.mul_mat(g.w(il, "shortconv.in_proj"), g.reshape(cur, cur.ne[0], n_t, n_seqs))
    width, (_, nb1, nb2, _) = all_three.ne[0] // 3, strides(all_three)
    b, c, x = (g.view_3d(all_three, width, n_t, n_seqs, nb1, nb2, i * width * 4) for i in range(3))
    bx = g.transpose(g.mul(b, x))
    conv = g.reshape(g.rs(rs, conv_all, kept * n_embd), kept, n_embd, n_seqs)
    if g.model.causal_attn:
        bx = g.concat(conv, bx, 0)
    else:
        pad = kept // 2
        _, nb1, nb2, _ = strides(conv)
        left = g.cont(g.view_3d(conv, pad, n_embd, n_seqs, nb1, nb2, (kept - pad) * 4))
        bx = g.pad(g.concat(left, bx, 0), pad)
    _, nb1, nb2, _ = strides(bx)
    n_states = g.n_states() if g.model.causal_attn else 1
    for slot in range(min(n_t, n_states)):
        last = g.view_3d(bx, kept, n_embd, n_seqs, nb1, nb2, (bx.ne[0] - kept - slot) * 4)
        offset = slot * g.params.n_seq_max * kept * n_embd * 4
        target = g.view_2d(conv_all, kept * n_embd, n_seqs, strides(conv_all)[1], offset)
        g.expand(g.cpy(last, target))
    y = g.mul(c, g.ssm_conv(bx, g.w(il, "shortconv.conv"), "conv"))
    y = g.mul_mat(g.w(il, "shortconv.out_proj"), y)
    return g.reshape(y, y.ne[0], n_t * n_seqs)
