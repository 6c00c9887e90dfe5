"""Kimi K3: delta attention and latent attention over a residual stream that attends to its own past."""

from __future__ import annotations

from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.decoder import expert_gating
from budget.memory.compute.families.kda import kda
from budget.memory.compute.families.mla import latent_attention
from budget.memory.compute.tensor import Tensor, strides


def kimi_k3(g: Builder) -> None:
    """Source: src/models/kimi-k3.cpp."""
    x = g.inp_embd()
    rs = g.rs_inp()
    inp = g.attn_inp_k() if g.model.is_mla else g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    every = g.model.number("attn_res.block_size")
    n_dense = g.model.number("leading_dense_block_count")
    stack: Tensor | None = None
    for il in range(g.n_layer):
        cur = _mixed(g, stack, x, g.w(il, "attn_res_score")) if every else x
        banked = every > 0 and il % every == 0
        if banked:
            kept = g.reshape(x, g.n_embd, 1, g.n_tokens)
            stack = kept if stack is None else g.concat(stack, kept, 1)
        cur = g.expand(g.norm_w(cur, il, "attn_norm"))
        cur = kda(g, rs, il, cur) if g.model.is_recurrent[il] else _gated_latent(g, inp, il, cur)
        x = cur if banked else g.add(x, cur)
        cur = _mixed(g, stack, x, g.w(il, "ffn_res_score")) if every else x
        cur = g.norm_w(cur, il, "ffn_norm")
        x = g.add(x, _situ_ffn(g, il, cur, "") if il < n_dense else _latent_experts(g, il, cur))
    if every:
        x = _mixed(g, stack, x, g.top("output_res_score"))
    g.finish(g.head_norm(g.get_rows(x, out_ids)), scaled=False)


def _mixed(g: Builder, stack: Tensor | None, cur: Tensor, score: Tensor) -> Tensor:
    """`cur` and the kept streams, weighted by their scores (`res_mix`)."""
    if stack is None:
        return cur
    n_kept, n_tokens = stack.ne[1], stack.ne[2]
    kept_scores = g.reshape(g.sum_rows(g.mul(g.rms_norm(stack), score)), n_kept, n_tokens)
    own_score = g.sum_rows(g.mul(g.rms_norm(cur), score))
    probs = g.soft_max(g.concat(kept_scores, own_score, 0))
    row = strides(probs)[1]
    kept = g.cont(g.view_2d(probs, n_kept, n_tokens, row))
    own = g.cont(g.view_2d(probs, 1, n_tokens, row, 4 * n_kept))
    return g.add(g.hc_pre(stack, kept), g.mul(cur, own))


def _gated_latent(g: Builder, inp: AttnInput, il: int, cur: Tensor) -> Tensor:
    out = latent_attention(g, inp, il, cur, None, None, wo_name="")
    gate = g.opt(il, "attn_gate")
    if gate is not None:
        out = g.mul(out, g.unary("sigmoid", g.mul_mat(gate, cur)))
    return g.mul_mat(g.w(il, "attn_output"), out)


def _situ_ffn(g: Builder, il: int, cur: Tensor, suffix: str) -> Tensor:
    gate = g.mul_mat(g.w(il, f"ffn_gate{suffix}"), cur)
    up = g.mul_mat(g.w(il, f"ffn_up{suffix}"), cur)
    return g.mul_mat(g.w(il, f"ffn_down{suffix}"), g.situ(gate, up))


def _latent_experts(g: Builder, il: int, cur: Tensor) -> Tensor:
    """Experts in a narrower space, with the router and the shared expert in the wide one."""
    down, up = g.opt(il, "ffn_routed_down"), g.opt(il, "ffn_routed_up")
    out = g.moe(
        il,
        cur if down is None else g.mul_mat(down, cur),
        act="situ",
        gating=expert_gating(g, "sigmoid"),
        norm_w=bool(g.model.key("expert_weights_norm")),
        exp_probs="exp_probs_b",
        probs_in=g.mul_mat(g.w(il, "ffn_gate_inp"), cur),
    )
    if g.opt(il, "ffn_routed_norm") is not None:
        out = g.norm_w(out, il, "ffn_routed_norm")
    if up is not None:
        out = g.mul_mat(up, out)
    if g.opt(il, "ffn_gate_shexp") is not None:
        out = g.add(out, _situ_ffn(g, il, cur, "_shexp"))
    return out
