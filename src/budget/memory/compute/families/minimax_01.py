"""MiniMax-01: lightning attention, whose decays are inputs, between layers of plain attention."""

from __future__ import annotations

from dataclasses import dataclass

from budget.gguf.types import F32
from budget.memory.compute.builder import Builder
from budget.memory.compute.recurrent import RsInput
from budget.memory.compute.tensor import Tensor, strides


@dataclass(slots=True)
class Decays:
    """Inputs of every lightning layer."""

    slopes: Tensor
    q: Tensor
    k: Tensor
    diagonal: Tensor
    """Grows with the square of the tokens per sequence."""


def minimax_01(g: Builder) -> None:
    """Source: src/models/minimax-01.cpp."""
    x = g.inp_embd()
    rs, inp = g.rs_inp(), g.attn_inp_kv()
    pos = g.inp_pos()
    out_ids = g.inp_out_ids()
    n_t, n_seqs, n_head = g.n_seq_tokens, g.n_seqs, g.n_head
    decays = Decays(
        g.input(F32, n_head, name="slopes"),
        g.input(F32, 1, n_head, n_t, n_seqs, name="q_decay_exp"),
        g.input(F32, 1, n_head, n_t, n_seqs, name="k_decay_exp"),
        g.input(F32, n_t, n_t, n_head, n_seqs, name="diag_decay_exp"),
    )
    for il in range(g.n_layer):
        skip = cur = g.norm_w(x, il, "attn_norm")
        if g.model.is_recurrent[il]:
            cur = _lightning(g, rs, il, cur, decays)
        else:
            q, k, v = g.qkv(il, cur)
            cur = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, wo_bias=False)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.norm_w(g.add(cur, g.scale(skip)), il, "ffn_norm")
        x = g.add(g.moe(il, skip, norm_w=True), g.scale(skip))
    g.finish(g.head_norm(x))


def _lightning(g: Builder, rs: RsInput, il: int, cur: Tensor, decays: Decays) -> Tensor:
    n_t, n_seqs, n_head, head = g.n_seq_tokens, g.n_seqs, g.n_head, g.n_embd_head_v
    g.rs(rs, g.cache(f"cache_r_l{il}"), 0)
    slope = g.scale(decays.slopes)
    cur = g.reshape(cur, cur.ne[0], n_t, 1, n_seqs)
    qkv = g.unary("silu", g.mul_mat(g.w(il, "attn_qkv"), cur))
    qkv = g.reshape(qkv, 3 * head, n_head, n_t, n_seqs)
    _, nb1, nb2, nb3 = strides(qkv)
    q, k, v = (g.view_4d(qkv, head, n_head, n_t, n_seqs, nb1, nb2, nb3, i * head * 4) for i in range(3))
    state_all = g.cache(f"cache_s_l{il}")
    old = g.reshape(g.rs(rs, state_all, head * head * n_head), head, head, n_head, n_seqs)
    q_decay, k_decay, diagonal = (g.unary("exp", g.scale(t)) for t in (decays.q, decays.k, decays.diagonal))
    before = g.mul_mat(old, g.permute(g.mul(q, q_decay), 0, 2, 1, 3))
    qk = g.mul(g.mul_mat(g.permute(k, 0, 2, 1, 3), g.permute(q, 0, 2, 1, 3)), diagonal)
    v = g.cont(g.permute(v, 1, 2, 0, 3))
    out = g.expand(g.add(before, g.mul_mat(v, qk)))
    decay = g.reshape(g.unary("exp", g.scale(slope)), 1, 1, n_head)
    old = g.mul(old, decay)
    k = g.cont(g.permute(g.mul(k, k_decay), 1, 2, 0, 3))
    new = g.add(old, g.mul_mat(k, v))
    g.expand(g.cpy(new, g.view_1d(state_all, head * head * n_head * n_seqs)))
    out = g.cont(g.permute(out, 0, 2, 1, 3))
    out = g.norm_w(g.reshape(out, head * n_head, n_t, 1, n_seqs), il, "attn_norm_2")
    gate = g.unary("sigmoid", g.mul_mat(g.w(il, "attn_gate"), cur))
    out = g.mul_mat(g.w(il, "attn_output"), g.mul(gate, out))
    return g.reshape(out, out.ne[0], n_t * n_seqs)
