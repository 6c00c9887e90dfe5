"""Gated delta nets between attention layers with a gate: Qwen3-Next, Qwen3.5."""

from __future__ import annotations

from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.decoder import uses_mrope
from budget.memory.compute.recurrent import RsInput
from budget.memory.compute.tensor import Tensor, strides


def qwen3next(g: Builder) -> None:
    """Source: src/models/qwen3next.cpp."""
    _build(g, next_=True)


def qwen35(g: Builder) -> None:
    """Source: src/models/qwen35.cpp, qwen35moe.cpp."""
    _build(g, next_=False)


def _build(g: Builder, *, next_: bool) -> None:
    x = g.inp_embd()
    rs, inp = g.rs_inp(), g.attn_inp_kv()
    pos = g.inp_pos(4 if uses_mrope(g) else 1)
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        cur = g.expand(g.norm_w(x, il, "attn_norm"))
        if g.model.is_recurrent[il]:
            cur = linear_attention(g, rs, il, cur, next_=next_)
        else:
            cur = _attention(g, inp, il, cur, pos)
        skip = g.add(cur, x)
        cur = g.norm_w(skip, il, "post_attention_norm")
        x = g.add(_ffn(g, il, cur, scales=not next_), skip)
    cur = g.head_norm(x)
    g.t_h_nextn = cur
    g.finish(g.get_rows(cur, out_ids))


def _ffn(g: Builder, il: int, cur: Tensor, *, scales: bool) -> Tensor:
    if g.opt(il, "ffn_gate_inp") is None:
        return g.ffn(il, cur, scales=scales)
    return moe_with_gated_expert(g, il, cur)


def moe_with_gated_expert(g: Builder, il: int, cur: Tensor) -> Tensor:
    """Routed experts, and a shared one behind a gate of its own."""
    routed = g.moe(il, cur, norm_w=True, gate_up="ffn_gate_up_exps", scales=True)
    if g.opt(il, "ffn_up_shexp") is None:
        return routed
    shared = g.ffn(il, cur, up="ffn_up_shexp", gate="ffn_gate_shexp", down="ffn_down_shexp", scales=True)
    gate = g.unary("sigmoid", g.mul_mat(g.w(il, "ffn_gate_inp_shexp"), cur))
    return g.add(routed, g.mul(shared, gate))


def _attention(g: Builder, inp: AttnInput, il: int, cur: Tensor, pos: Tensor) -> Tensor:
    head, n_head, n_kv = g.n_embd_head_v, g.n_head, g.n_head_kv
    projected = g.qkv(
        il, cur, head=2 * head, head_k=head, head_v=head, n_head=n_head, n_head_kv=n_kv, reshape=False
    )
    return gated_attention(g, inp, il, projected, pos)


def gated_attention(
    g: Builder, inp: AttnInput, il: int, projected: tuple[Tensor, Tensor, Tensor], pos: Tensor
) -> Tensor:
    """One projection makes queries and gates; the gate works on the result of attention."""
    both, k, v = projected
    head, n_head, n_kv, n_tokens = g.n_embd_head_v, g.n_head, g.n_head_kv, g.n_tokens
    row = 2 * head * 4
    q = g.view_3d(both, head, n_head, n_tokens, row, row * n_head)
    gate = g.view_3d(both, head, n_head, n_tokens, row, row * n_head, head * 4)
    k = g.reshape(k, head, n_kv, n_tokens)
    v = g.reshape(v, head, n_kv, n_tokens)
    q = g.rope(g.norm_w(q, il, "attn_q_norm"), pos)
    k = g.rope(g.norm_w(k, il, "attn_k_norm"), pos)
    cur = g.attn(inp, il, q, k, v, wo_name="")
    gate = g.unary("sigmoid", g.cont(gate, head * n_head, n_tokens))
    return g.mm(il, "attn_output", g.mul(cur, gate))


def linear_attention(
    g: Builder,
    rs: RsInput,
    il: int,
    cur: Tensor,
    *,
    next_: bool = False,
    gate: str = "silu",
    contiguous: bool = False,
) -> Tensor:
    """One layer with a gated delta net.

    Args:
        next_: projections as Qwen3-Next has them.
        gate: function of the output's gate.
        contiguous: see `delta_conv`.
    """
    m, n_t, n_seqs = g.model, g.n_seq_tokens, g.n_seqs
    d_inner, head_k = m.number("ssm.inner_size"), m.number("ssm.state_size")
    n_k, n_v = m.number("ssm.group_count"), m.number("ssm.time_step_rank")
    head_v = d_inner // n_v
    if next_:
        qkv, z = _next_qkvz(g, il, cur, (head_k, head_v, n_k, n_v))
        beta, alpha = _next_beta_alpha(g, il, cur, n_k, n_v)
    else:
        qkv = g.mm(il, "attn_qkv", cur)
        qkv = g.reshape(qkv, qkv.ne[0], n_t, n_seqs)
        z = g.mm(il, "attn_gate", cur)
        beta = g.unary("sigmoid", g.reshape(g.mm(il, "ssm_beta", cur), 1, n_v, n_t, n_seqs))
        alpha = g.reshape(g.mm(il, "ssm_alpha", cur), n_v, n_t, n_seqs)
    alpha = g.unary("softplus", g.add(alpha, g.named(f"blk.{il}.ssm_dt.bias")))
    decay = g.reshape(g.mul(alpha, g.named(f"blk.{il}.ssm_a")), 1, n_v, n_t, n_seqs)
    state_all, kernel = g.cache(f"cache_s_l{il}"), g.w(il, "ssm_conv1d")
    channels = d_inner + 2 * n_k * head_k
    conv = g.delta_conv(rs, g.cache(f"cache_r_l{il}"), qkv, kernel.ne[0] - 1, contiguous=contiguous)
    state = g.reshape(g.rs(rs, state_all, m.number("ssm.state_size") * d_inner), head_v, head_v, n_v, n_seqs)
    mixed = g.unary("silu", g.ssm_conv(conv, kernel, "ssm_conv"))
    row, seq = channels * 4, channels * n_t * 4
    q = g.view_4d(mixed, head_k, n_k, n_t, n_seqs, head_k * 4, row, seq)
    k = g.view_4d(mixed, head_k, n_k, n_t, n_seqs, head_k * 4, row, seq, head_k * n_k * 4)
    v = g.view_4d(mixed, head_v, n_v, n_t, n_seqs, head_v * 4, row, seq, 2 * head_k * n_k * 4)
    q, k = g.scale(g.rms_norm(q)), g.scale(g.rms_norm(k))
    if n_k != n_v and next_:  # elsewhere the operation broadcasts
        q, k = (_more_heads(g, t, n_v) for t in (q, k))
    out = g.delta_net(q, k, v, decay, beta, state, state_all)
    z = g.reshape(z, head_v, n_v, n_t, n_seqs)
    out = g.mul(g.norm_w(out, il, "ssm_norm"), g.unary(gate, z))
    out = g.reshape(out, head_v * n_v, n_t, n_seqs)
    cur = g.mul_mat(g.w(il, "ssm_out"), out) if next_ else g.mm(il, "ssm_out", out)
    return g.reshape(cur, g.n_embd, n_t * n_seqs)


def _more_heads(g: Builder, t: Tensor, n_v: int) -> Tensor:
    """As many heads as the values have."""
    head, n_k, n_t, n_seqs = t.ne
    flat = g.reshape(t, head, 1, n_k, n_t * n_seqs)
    return g.reshape(g.repeat(flat, head, n_v // n_k, n_k, n_t * n_seqs), head, n_v, n_t, n_seqs)


def _next_qkvz(g: Builder, il: int, cur: Tensor, sizes: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
    """Separate matrices, or in older files one whose rows go group by group."""
    head_k, head_v, n_k, n_v = sizes
    n_t, n_seqs = g.n_seq_tokens, g.n_seqs
    if g.opt(il, "attn_qkv") is not None:
        qkv = g.mul_mat(g.w(il, "attn_qkv"), cur)
        return g.reshape(qkv, qkv.ne[0], n_t, n_seqs), g.mul_mat(g.w(il, "attn_gate"), cur)
    wide = head_v * n_v // n_k
    both = g.mul_mat(g.w(il, "ssm_in"), cur)
    both = g.reshape(both, 2 * head_k + 2 * wide, n_k, n_t, n_seqs)
    _, nb1, nb2, nb3 = strides(both)

    def part(width: int, first: int) -> Tensor:
        return g.view_4d(both, width, n_k, n_t, n_seqs, nb1, nb2, nb3, first * 4)

    q, k = part(head_k, 0), part(head_k, head_k)
    v, z = part(wide, 2 * head_k), g.cont(part(wide, 2 * head_k + wide))
    q, k = (g.cont(t, head_k * n_k, n_t, n_seqs) for t in (q, k))
    v = g.cont(v, head_v * n_v, n_t, n_seqs)
    return g.concat(g.concat(q, k, 0), v, 0), z


def _next_beta_alpha(g: Builder, il: int, cur: Tensor, n_k: int, n_v: int) -> tuple[Tensor, Tensor]:
    n_t, n_seqs, per_group = g.n_seq_tokens, g.n_seqs, n_v // n_k
    both = g.reshape(g.mul_mat(g.w(il, "ssm_ba"), cur), 2 * per_group, n_k, n_t, n_seqs)
    _, nb1, nb2, nb3 = strides(both)
    beta = g.view_4d(both, per_group, n_k, n_t, n_seqs, nb1, nb2, nb3)
    alpha = g.view_4d(both, per_group, n_k, n_t, n_seqs, nb1, nb2, nb3, per_group * 4)
    beta = g.reshape(g.unary("sigmoid", g.cont(beta)), 1, n_v, n_t, n_seqs)
    return beta, g.cont(alpha, n_v, n_t, n_seqs)
