"""Hyper-connections: several residual streams that mix before and after every block (DeepSeek V4, GLM-5 Next).

Source: src/models/deepseek4.cpp, glm5-next.cpp, `build_hc_pre`, `build_hc_sinkhorn`, `build_hc_post`.
"""

from __future__ import annotations

from dataclasses import dataclass

from budget.gguf.types import F32
from budget.memory.compute.builder import Builder
from budget.memory.compute.tensor import Tensor, strides


@dataclass(slots=True)
class Mixed:
    """What goes into a block, and how its output comes back to the streams."""

    cur: Tensor
    """[n_embd, tokens]."""
    streams: Tensor
    """[n_embd, streams, tokens]."""
    post: Tensor
    comb: Tensor


def spread(g: Builder, x: Tensor) -> Tensor:
    """The embedding in every stream."""
    n = g.model.number("hyper_connection.count")
    return g.repeat(g.reshape(x, g.n_embd, 1, g.n_tokens), g.n_embd, n, g.n_tokens)


def mixes_of(g: Builder, x: Tensor, w: Tensor) -> Tensor:
    """How much of each stream, for every token: logits of all weights."""
    return g.mul_mat(w, g.rms_norm(g.reshape(x, x.ne[0] * x.ne[1], x.ne[2])), "hc_mixes")


def gate(g: Builder, mixes: Tensor, scale: Tensor, base: Tensor, part: int, n: int) -> Tensor:
    """Weights number `part` of `n` streams, between 0 and 1."""
    t = g.view_2d(mixes, n, mixes.ne[1], strides(mixes)[1], 4 * part * n)
    t = g.add(g.mul(t, g.view_1d(scale, 1, 4 * part)), g.view_1d(base, n, 4 * part * n))
    return g.scale(g.unary("sigmoid", t))


def mix_in(g: Builder, il: int, block: str, x: Tensor) -> Mixed:
    """One stream made of all for the block `attn` or `ffn` of layer `il`."""
    n = x.ne[1]
    mixes = mixes_of(g, x, g.w(il, f"hc_{block}_fn"))
    scale, base = g.w(il, f"hc_{block}_scale"), g.w(il, f"hc_{block}_base")
    pre, post = gate(g, mixes, scale, base, 0, n), gate(g, mixes, scale, base, 1, n)
    if g.stage.fused_hc_comb:
        comb = g.hc_comb(mixes, scale, base, n)
        g.add_fused("hc_comb", comb, il)
    else:
        comb = g.view_2d(mixes, n * n, mixes.ne[1], strides(mixes)[1], 8 * n)
        comb = g.add(g.mul(comb, g.view_1d(scale, 1, 8)), g.view_1d(base, n * n, 8 * n))
        comb = _sinkhorn(g, g.reshape(comb, n, n, mixes.ne[1]))
    return Mixed(collapse(g, x, pre, il), x, post, comb)


def _sinkhorn(g: Builder, comb: Tensor) -> Tensor:
    """Rows and columns normalised in turn."""
    comb = g.soft_max(comb)
    eps = g.fill(g.new(F32, 1, name="hc_eps"))
    comb = _norm_columns(g, g.add(comb, eps), eps)
    for _ in range(1, g.model.number("hyper_connection.sinkhorn_iterations")):
        comb = g.div(comb, g.add(g.sum_rows(comb), eps))
        comb = _norm_columns(g, comb, eps)
    return comb


def _norm_columns(g: Builder, comb: Tensor, eps: Tensor) -> Tensor:
    total = g.add(g.sum_rows(g.cont(g.permute(comb, 1, 0, 2, 3))), eps)
    return g.div(comb, g.permute(total, 1, 0, 2, 3))


def collapse(g: Builder, x: Tensor, weights: Tensor, il: int = -1) -> Tensor:
    """The weighted sum of the streams; as one operation inside layers."""
    if g.stage.fused_hc_pre and il >= 0:
        out = g.hc_pre(x, weights)
        g.add_fused("hc_pre", out, il)
        return out
    return weighted_sum(g, x, weights)


def weighted_sum(g: Builder, x: Tensor, weights: Tensor) -> Tensor:
    """Stream by stream."""
    nb = strides(weights)
    parts = [g.mul(stream(g, x, i), g.view_2d(weights, 1, x.ne[2], nb[1], i * nb[0])) for i in range(x.ne[1])]
    return _sum(g, parts)


def head_gate(g: Builder, x: Tensor) -> Tensor:
    """Weights of the streams at the end."""
    pre = g.mul(mixes_of(g, x, g.top("output_hc_fn")), g.top("output_hc_scale"))
    return g.scale(g.unary("sigmoid", g.add(pre, g.top("output_hc_base"))))


def stream(g: Builder, x: Tensor, i: int) -> Tensor:
    """Stream number `i`, [n_embd, tokens]."""
    nb = strides(x)
    return g.view_2d(x, x.ne[0], x.ne[2], nb[2], i * nb[1])


def mean(g: Builder, x: Tensor) -> Tensor:
    """The streams in equal parts."""
    return g.scale(_sum(g, [stream(g, x, i) for i in range(x.ne[1])]))


def _sum(g: Builder, parts: list[Tensor]) -> Tensor:
    out = parts[0]
    for part in parts[1:]:
        out = g.add(out, part)
    return out


def mix_out(g: Builder, il: int, cur: Tensor, mixed: Mixed) -> Tensor:
    """The streams after a block whose output is `cur`."""
    if g.stage.fused_hc_post:
        out = g.hc_post(cur, mixed.streams, mixed.post, mixed.comb)
        g.add_fused("hc_post", out, il)
        return out
    x, n_tokens = mixed.streams, cur.ne[1]
    post_nb, comb_nb = strides(mixed.post), strides(mixed.comb)
    joined: Tensor | None = None
    for to in range(x.ne[1]):
        part = g.mul(cur, g.view_2d(mixed.post, 1, n_tokens, post_nb[1], to * post_nb[0]))
        for i in range(x.ne[1]):
            weight = g.view_2d(mixed.comb, 1, n_tokens, comb_nb[2], to * comb_nb[0] + i * comb_nb[1])
            part = g.add(part, g.mul(stream(g, x, i), weight))
        part = g.reshape(part, x.ne[0], 1, n_tokens)
        joined = part if joined is None else g.concat(joined, part, 1)
    return cur if joined is None else joined


def select_outputs(g: Builder, x: Tensor, out_ids: Tensor) -> Tensor:
    """The rows that become outputs, in all streams."""
    flat = g.get_rows(g.reshape(x, x.ne[0] * x.ne[1], x.ne[2]), out_ids)
    return g.reshape(flat, x.ne[0], x.ne[1], g.stage.n_outputs)
