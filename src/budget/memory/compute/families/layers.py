"""Parts of layers that several families share."""

from __future__ import annotations

from collections.abc import Callable

from budget.memory.compute.builder import Builder
from budget.memory.compute.families.decoder import expert_gating
from budget.memory.compute.tensor import Tensor

Step = Callable[[int, Tensor], Tensor]
"""Part of a layer: from its number and the normalised input to its result."""


def pre_norm_layers(
    g: Builder, x: Tensor, out_ids: Tensor | None, attention: Step, feed_forward: Step
) -> Tensor:
    """Layers of the usual kind: norm, attention, residual, norm, feed-forward, residual.

    Args:
        out_ids: rows of the last layer that go on; None where all do.
    """
    for il in range(g.n_layer):
        cur = attention(il, g.norm_w(x, il, "attn_norm"))
        if out_ids is not None:
            cur, x = g.select_rows(il, out_ids, cur, x)
        skip = g.add(cur, x)
        x = g.add(feed_forward(il, g.norm_w(skip, il, "ffn_norm")), skip)
    return x


def normed_heads(
    g: Builder, il: int, cur: Tensor, *, head: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Q, K and V with norms over the heads of Q and K."""
    q, k, v = g.qkv(il, cur, head=head)
    return g.norm_w(q, il, "attn_q_norm"), g.norm_w(k, il, "attn_k_norm"), v


def fused_heads(g: Builder, il: int, qkv: Tensor, head_k: int, head_v: int) -> tuple[Tensor, Tensor, Tensor]:
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
    return g.ffn(il, cur) if g.opt(il, "ffn_gate_inp") is None else routed_and_shared(g, il, cur)
