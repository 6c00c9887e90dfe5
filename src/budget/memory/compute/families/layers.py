"""Parts of layers that several families share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.decoder import expert_gating
from budget.memory.compute.tensor import Tensor, strides

Heads = tuple[Tensor, Tensor, Tensor]
"""Q, K and V."""
Attention = Callable[[Builder, AttnInput, Tensor, int, Tensor], Tensor]
"""From the cache's inputs, the positions, the number of the layer and its normalised input to the result."""
FeedForward = Callable[[Builder, int, Tensor], Tensor]
"""From the number of the layer and its normalised input to the result."""


def pre_norm_layers(
    g: Builder, inp: AttnInput, attention: Attention, feed_forward: FeedForward, *, select: bool = True
) -> Tensor:
    """Embedding and layers of the usual kind: norm, attention, residual, norm, feed-forward, residual.

    Args:
        select: only rows that become outputs leave the last attention.
    """
    x = g.inp_embd()
    pos = g.inp_pos()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        cur = attention(g, inp, pos, il, g.norm_w(x, il, "attn_norm"))
        if select:
            cur, x = g.select_rows(il, out_ids, cur, x)
        skip = g.add(cur, x)
        x = g.add(feed_forward(g, il, g.norm_w(skip, il, "ffn_norm")), skip)
    return x


def rope_attention(
    *, normed: bool = False, rope: Literal["all", "swa"] = "all", factors: bool = False, wo_bias: bool = False
) -> Attention:
    """Attention with rope.

    Args:
        normed: heads of Q and K are normalised.
        rope: in all layers, or only in those with a sliding window.
        factors: the builder passes rope tables.
        wo_bias: the builder passes the bias of the output projection.
    """

    def attention(g: Builder, inp: AttnInput, pos: Tensor, il: int, cur: Tensor) -> Tensor:
        table = g.rope_factors(il) if factors else None
        q, k, v = normed_heads(g, il, cur) if normed else g.qkv(il, cur)
        if rope == "all" or g.model.is_swa[il]:
            q, k = g.rope(q, pos, table), g.rope(k, pos, table)
        return g.attn(inp, il, q, k, v, wo_bias=wo_bias)

    return attention


def normed_heads(g: Builder, il: int, cur: Tensor, *, head: int | None = None) -> Heads:
    """Q, K and V with norms over the heads of Q and K."""
    q, k, v = g.qkv(il, cur, head=head)
    return g.norm_w(q, il, "attn_q_norm"), g.norm_w(k, il, "attn_k_norm"), v


def fused_heads(g: Builder, il: int, qkv: Tensor, head_k: int, head_v: int) -> Heads:
    """Q, K and V as views of one product, where V has heads of its own size."""
    n_head, n_head_kv, n_tokens = g.model.n_head[il], g.model.n_head_kv[il], g.n_tokens
    row = 4 * qkv.ne[0]
    k_at = 4 * head_k * n_head
    v_at = k_at + 4 * head_k * n_head_kv
    return (
        g.view_3d(qkv, head_k, n_head, n_tokens, 4 * head_k, row),
        g.view_3d(qkv, head_k, n_head_kv, n_tokens, 4 * head_k, row, k_at),
        g.view_3d(qkv, head_v, n_head_kv, n_tokens, 4 * head_v, row, v_at),
    )


def gate_of(g: Builder, il: int, cur: Tensor) -> Tensor:
    """The gate of attention from the layer's input; the scale of NVFP4 files is not passed."""
    return g.mul_mat(g.w(il, "attn_gate"), cur, "attn_gate")


def gated_output(g: Builder, il: int, cur: Tensor, gate: Tensor, *, act: str = "sigmoid") -> Tensor:
    """Attention's result times a gate, one per head or one per element, and the output projection."""
    gate = g.unary(act, gate)
    n_head = g.model.n_head[il]
    if gate.ne[0] == n_head:
        width, n_tokens = cur.ne[0], cur.ne[1]
        heads = g.mul(g.reshape(cur, width // n_head, n_head, n_tokens), g.reshape(gate, 1, n_head, n_tokens))
        cur = g.reshape(heads, width, n_tokens)
    else:
        cur = g.mul(cur, gate)
    return g.mm(il, "attn_output", cur)


def dense(g: Builder, il: int, cur: Tensor) -> Tensor:
    """A gated block with SiLU."""
    return g.ffn(il, cur)


def shared_expert(g: Builder, il: int, cur: Tensor, *, scales: bool = False) -> Tensor:
    """The expert that every token takes."""
    return g.ffn(il, cur, up="ffn_up_shexp", gate="ffn_gate_shexp", down="ffn_down_shexp", scales=scales)


def routed(g: Builder, il: int, cur: Tensor, *, exp_probs: str = "exp_probs_b") -> Tensor:
    """Experts as the header describes them: gating (sigmoid where it does not say), normalised or not, scaled."""
    norm_w = bool(g.model.key("expert_weights_norm"))
    return g.moe(il, cur, gating=expert_gating(g, "sigmoid"), norm_w=norm_w, exp_probs=exp_probs)


def routed_and_shared(g: Builder, il: int, cur: Tensor) -> Tensor:
    """Chosen experts plus the shared one."""
    return g.add(routed(g, il, cur), shared_expert(g, il, cur))


def dense_or_experts(g: Builder, il: int, cur: Tensor) -> Tensor:
    """A dense block where the layer has no router."""
    return dense(g, il, cur) if g.opt(il, "ffn_gate_inp") is None else routed_and_shared(g, il, cur)


def deepstack(g: Builder, i: int) -> Tensor:
    """The `i`-th vector beside the embedding of each token."""
    x = g.t_inp_embd
    if x is None:
        raise ValueError("the embedding comes before the layers")
    return g.view_2d(x, g.n_embd, g.n_tokens, strides(x)[1], 4 * i * g.n_embd)


def mapped_deepstack(g: Builder, il: int, x: Tensor) -> Tensor:
    """`x` plus the vector that the header names for layer `il` (`deepstack_mapping`); the first layer has none."""
    mapping = g.model.array("deepstack_mapping") or ()
    i = mapping[il] if 0 < il < len(mapping) else -1
    return g.add(x, deepstack(g, i)) if isinstance(i, int) and i >= 0 else x
