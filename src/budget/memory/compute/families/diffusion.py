"""Diffusion language models: decoders without a cache, whose batch attends to itself."""

from __future__ import annotations

from collections.abc import Callable

from budget.memory.compute.builder import Builder
from budget.memory.compute.families.layers import Step, normed_heads, pre_norm_layers
from budget.memory.compute.tensor import Tensor

Heads = Callable[[Builder, int, Tensor], tuple[Tensor, Tensor, Tensor]]


def _build(g: Builder, feed_forward: Step, *, heads: Heads, wo_bias: bool) -> None:
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = g.attn_inp_no_cache()
    out_ids = g.inp_out_ids()

    def attention(il: int, cur: Tensor) -> Tensor:
        q, k, v = heads(g, il, cur)
        return g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, wo_bias=wo_bias)

    g.finish(g.head_norm(pre_norm_layers(g, x, out_ids, attention, feed_forward)), bias=False)


def dream(g: Builder) -> None:
    """Source: src/models/dream.cpp."""
    _build(g, lambda il, cur: g.ffn(il, cur, biases=False), heads=_heads, wo_bias=True)


def llada(g: Builder) -> None:
    """Source: src/models/llada.cpp."""
    _build(g, lambda il, cur: g.ffn(il, cur, biases=False), heads=_heads, wo_bias=False)


def llada_moe(g: Builder) -> None:
    """Source: src/models/llada-moe.cpp."""
    _build(g, lambda il, cur: g.moe(il, cur, scale_w=0.0), heads=normed_heads, wo_bias=False)


def rnd1(g: Builder) -> None:
    """Source: src/models/rnd1.cpp."""
    _build(g, lambda il, cur: g.moe(il, cur, norm_w=True, scale_w=0.0), heads=normed_heads, wo_bias=True)


def _heads(g: Builder, il: int, cur: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return g.qkv(il, cur)
