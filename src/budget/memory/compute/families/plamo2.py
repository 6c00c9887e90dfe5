"""PLaMo-2: state-space layers of its own, and attention, with norms before and after each block."""

from __future__ import annotations

from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.recurrent import RsInput
from budget.memory.compute.tensor import Tensor, strides


def plamo2(g: Builder) -> None:
    """Source: src/models/plamo2.cpp."""
    x = g.inp_embd()
    pos = g.inp_pos()
    rs, inp = g.rs_inp(), g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        cur = g.norm_w(x, il, "attn_norm")
        cur = _mamba(g, rs, il, cur) if g.model.is_recurrent[il] else _attention(g, inp, il, cur, pos)
        cur, x = g.select_rows(il, out_ids, cur, x)
        x = g.add(g.norm(cur, g.named(f"blk.{il}.post_attention_norm"), il=il), x)
        cur = g.ffn(il, g.norm_w(x, il, "ffn_norm"), "swiglu", gate="", parallel=False)
        x = g.add(g.norm(cur, g.named(f"blk.{il}.post_ffw_norm"), il=il), x)
    g.finish(g.head_norm(x))


def _attention(g: Builder, inp: AttnInput, il: int, cur: Tensor, pos: Tensor) -> Tensor:
    head, head_v, n_t = g.n_embd_head_k, g.n_embd_head_v, g.n_tokens
    n_head, n_kv = g.model.n_head[il], g.model.n_head_kv[il]
    qkv = g.mul_mat(g.w(il, "attn_qkv"), cur)
    row = strides(qkv)[1]
    q = g.view_3d(qkv, head, n_head, n_t, head * 4, row)
    k = g.view_3d(qkv, head, n_kv, n_t, head * 4, row, head * n_head * 4)
    v = g.view_3d(qkv, head_v, n_kv, n_t, head_v * 4, row, head * (n_head + n_kv) * 4)
    q = g.rope(g.norm_w(q, il, "attn_q_norm"), pos)
    k = g.rope(g.norm_w(k, il, "attn_k_norm"), pos)
    return g.attn(inp, il, q, k, v, wo_bias=False)


def _mamba(g: Builder, rs: RsInput, il: int, cur: Tensor) -> Tensor:
    m, n_t, n_seqs = g.model, g.n_seq_tokens, g.n_seqs
    d_inner, d_state = m.number("ssm.inner_size"), m.number("ssm.state_size")
    n_head, d_conv = m.number("ssm.time_step_rank"), m.number("ssm.conv_kernel")
    head = d_inner // n_head
    conv_all, ssm_all = g.cache(f"cache_r_l{il}"), g.cache(f"cache_s_l{il}")
    conv = g.reshape(g.rs(rs, conv_all, (d_conv - 1) * d_inner), d_conv - 1, d_inner, n_seqs)
    both = g.mul_mat(g.w(il, "ssm_in"), g.reshape(cur, cur.ne[0], n_t, n_seqs))
    both = g.cont(g.permute(both, 0, 2, 1, 3), 2 * head, n_head, n_t, n_seqs)
    _, nb1, nb2, nb3 = strides(both)
    x = g.cont(g.view_4d(both, head, n_head, n_t, n_seqs, nb1, nb2, nb3, head * 4), d_inner, n_t, n_seqs)
    z = g.view_4d(both, head, n_head, n_t, n_seqs, nb1, nb2, nb3)
    x = g.mamba1_conv(il, g.concat(conv, g.transpose(x), 0), conv_all, d_conv, d_inner)
    mixed = g.mul_mat(g.w(il, "ssm_x"), x)
    _, nb1, nb2, _ = strides(mixed)
    rank = max(64, g.n_embd // 16)
    sizes = (("b", d_state, 0), ("c", d_state, d_state), ("dt", rank, 2 * d_state))
    b, c, dt = (
        g.norm(
            g.view_3d(mixed, width, n_t, n_seqs, nb1, nb2, first * 4),
            g.named(f"blk.{il}.ssm_{name}_norm"),
            il=il,
        )
        for name, width, first in sizes
    )
    dt = g.add(g.mul_mat(g.w(il, "ssm_dt"), dt), g.named(f"blk.{il}.ssm_dt.bias"))
    a = g.reshape(g.named(f"blk.{il}.ssm_a"), 1, n_head)
    by_head = (head, n_head, n_t, n_seqs, head * 4, d_inner * 4, d_inner * n_t * 4)
    x = g.view_4d(x, *by_head)
    row = d_state * 4
    b = g.view_4d(b, d_state, 1, n_t, n_seqs, row, row, row * n_t)
    c = g.view_4d(c, d_state, 1, n_t, n_seqs, row, row, row * n_t)
    y = g.view_4d(g.scan_once(rs, ssm_all, (d_state, head, n_head), x, dt, a, b, c), *by_head)
    y = g.add(y, g.mul(x, g.reshape(g.named(f"blk.{il}.ssm_d"), 1, n_head)))
    y = g.glu(g.cont(z), y, "swiglu")
    y = g.mul_mat(g.w(il, "ssm_out"), g.view_3d(y, d_inner, n_t, n_seqs, d_inner * 4, d_inner * n_t * 4))
    return g.reshape(y, y.ne[0], n_t * n_seqs)
