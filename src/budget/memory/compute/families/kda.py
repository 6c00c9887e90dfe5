"""Kimi delta attention beside latent attention: Kimi Linear, Ling 3."""

from __future__ import annotations

import math

from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.decoder import uses_mrope
from budget.memory.compute.families.mla import dense_or_experts, latent_attention
from budget.memory.compute.recurrent import RsInput
from budget.memory.compute.tensor import Tensor, strides


def kimi_linear(g: Builder) -> None:
    """Source: src/models/kimi-linear.cpp."""
    x = g.inp_embd()
    rs = g.rs_inp()
    inp = g.attn_inp_k() if g.model.is_mla else g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        cur = g.expand(g.norm_w(x, il, "attn_norm"))
        cur = (
            kda(g, rs, il, cur) if g.model.is_recurrent[il] else latent_attention(g, inp, il, cur, None, None)
        )
        cur, x = g.select_rows(il, out_ids, cur, x)
        skip = g.add(cur, x)
        cur = g.norm_w(skip, il, "ffn_norm")
        x = g.add(dense_or_experts(g, il, cur, merged=False, norm_w=True), skip)
    g.finish(g.head_norm(x), scaled=False)


def bailingmoe3(g: Builder) -> None:
    """Source: src/models/bailingmoe3.cpp."""
    x = g.inp_embd()
    rs, inp = g.rs_inp(), g.attn_inp_k()
    pos = g.inp_pos(4 if uses_mrope(g) else 1)
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        cur = g.norm_w(x, il, "attn_norm")
        cur = kda(g, rs, il, cur) if g.model.is_recurrent[il] else _gated_latent(g, inp, il, cur, pos)
        skip = g.add(cur, x)
        cur = g.norm_w(skip, il, "ffn_norm")
        x = g.add(dense_or_experts(g, il, cur, merged=False), skip)
    cur = g.head_norm(x)
    g.t_h_nextn = cur
    g.finish(g.get_rows(cur, out_ids), scaled=False)


def _gated_latent(g: Builder, inp: AttnInput, il: int, cur: Tensor, pos: Tensor) -> Tensor:
    """One gate per head on the result of attention."""
    n_head, n_tokens = g.n_head, g.n_tokens
    head = g.model.number("attention.value_length_mla")
    out = latent_attention(g, inp, il, cur, pos, None, wo_name="")
    gate = g.unary("sigmoid", g.reshape(g.mul_mat(g.w(il, "attn_gate"), cur), 1, n_head, n_tokens))
    out = g.mul(g.reshape(out, head, n_head, n_tokens), gate)
    return g.mul_mat(g.w(il, "attn_output"), g.cont(out, head * n_head, n_tokens))


def kda(g: Builder, rs: RsInput, il: int, cur: Tensor) -> Tensor:
    """A gated delta net with a decay per channel.

    Files differ in how the decay and the gate of the output are made: by two narrow matrices or one wide.

    Source: src/models/kimi-linear.cpp, kimi-k3.cpp `build_kda_layer`, bailingmoe3.cpp, glm5-next.cpp.
    """
    n_t, n_seqs, n_tokens = g.n_seq_tokens, g.n_seqs, g.n_tokens
    head, n_head = g.model.number("kda.head_dim"), g.n_head
    q, k, v = _convolved(g, rs, il, cur, head)
    decay = g.reshape(_decay(g, il, cur, head), head, n_head, n_t, n_seqs)
    beta = g.reshape(g.mul_mat(g.w(il, "ssm_beta"), cur), 1, n_head, n_t, n_seqs)
    beta = g.unary("sigmoid", beta)
    state_all = g.cache(f"cache_s_l{il}")
    state = g.reshape(g.rs(rs, state_all, head * head * n_head), head, head, n_head, n_seqs)
    q, k = g.scale(g.rms_norm(q)), g.scale(g.rms_norm(k))
    out = g.cont(g.delta_net(q, k, v, decay, beta, state, state_all))
    out = g.norm_w(g.reshape(out, head, n_head, n_tokens), il, "ssm_norm")
    gate = g.reshape(_output_gate(g, il, cur), head, n_head, n_tokens)
    out = g.mul(out, g.unary("sigmoid", gate))
    return g.mul_mat(g.w(il, "attn_output"), g.cont(out, head * n_head, n_tokens))


def _decay(g: Builder, il: int, cur: Tensor, head: int) -> Tensor:
    t = g.mul_mat(g.w(il, "ssm_f_a"), cur)
    narrow = g.opt(il, "ssm_f_b")
    t = g.add(t if narrow is None else g.mul_mat(narrow, t), g.named(f"blk.{il}.ssm_dt.bias"))
    a = g.reshape(g.named(f"blk.{il}.ssm_a"), 1, g.n_head)
    bound = g.model.key("kda.gate_lower_bound")
    limited = g.arch != "kimi-linear" and isinstance(bound, int | float) and bound > -math.inf
    if not limited and g.arch != "bailingmoe3":
        return g.mul(g.reshape(g.unary("softplus", t), head, g.n_head, g.n_tokens), a)
    t = g.mul(g.reshape(t, head, g.n_head, g.n_tokens), a)
    if g.arch != "bailingmoe3":
        t = g.scale(t)
    return g.scale(g.unary("sigmoid", t))


def _output_gate(g: Builder, il: int, cur: Tensor) -> Tensor:
    wide = g.opt(il, "ssm_g")
    if wide is not None:
        return g.mul_mat(wide, cur)
    t = g.mul_mat(g.w(il, "ssm_g_a"), cur)
    second = g.opt(il, "ssm_g_b")
    return t if second is None else g.mul_mat(second, t)


def _convolved(g: Builder, rs: RsInput, il: int, cur: Tensor, head: int) -> list[Tensor]:
    """Q, K and V [head, heads, tokens, seqs] after a short convolution each."""
    n_tokens, width, kernel = g.n_tokens, head * g.n_head, g.model.number("ssm.conv_kernel")
    conv_all = g.cache(f"cache_r_l{il}")
    kept = g.rs(rs, conv_all, 3 * (kernel - 1) * width)
    fused = g.opt(il, "attn_qkv")
    if fused is not None:
        qkv = g.mul_mat(fused, cur)
        row = strides(qkv)[1]
        parts = [g.cont(g.view_2d(qkv, width, n_tokens, row, i * width * 4)) for i in range(3)]
    else:
        parts = [g.mul_mat(g.w(il, f"attn_{name}"), cur) for name in "qkv"]
    return [_convolve(g, il, i, parts[i], kept, conv_all) for i in range(3)]


def _convolve(g: Builder, il: int, which: int, x: Tensor, kept: Tensor, conv_all: Tensor) -> Tensor:
    """Q, K or V; the last tokens go to its third of the state."""
    n_t, n_seqs, width = g.n_seq_tokens, g.n_seqs, x.ne[0]
    n_kept = g.model.number("ssm.conv_kernel") - 1
    row, seq, third = n_kept * 4, 3 * n_kept * width * 4, which * n_kept * width * 4
    old = g.view_3d(kept, n_kept, width, n_seqs, row, seq, third)
    both = g.concat(old, g.transpose(g.reshape(x, width, n_t, n_seqs)), 0, "conv_input")
    _, nb1, nb2, _ = strides(both)
    for slot in range(g.n_states()):
        last = g.view_3d(both, n_kept, width, n_seqs, nb1, nb2, max(0, n_t - slot) * 4)
        offset = slot * g.params.n_seq_max * seq + third
        g.expand(g.cpy(last, g.view_3d(conv_all, n_kept, width, n_seqs, row, seq, offset)))
    weight = g.reshape(g.w(il, f"ssm_conv1d_{'qkv'[which]}"), n_kept + 1, width)
    x = g.unary("silu", g.reshape(g.ssm_conv(both, weight, "ssm_conv"), width, g.n_tokens))
    return g.reshape(x, width // g.n_head, g.n_head, n_t, n_seqs)
