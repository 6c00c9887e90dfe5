"""Diffusion language models: decoders without a cache, whose batch attends to itself."""

from __future__ import annotations

from budget.memory.compute.builder import Builder
from budget.memory.compute.families.layers import Attention, FeedForward, pre_norm_layers, rope_attention
from budget.memory.compute.tensor import Tensor


def _build(g: Builder, attention: Attention, feed_forward: FeedForward) -> None:
    x = pre_norm_layers(g, g.attn_inp_no_cache(), attention, feed_forward)
    g.finish(g.head_norm(x), bias=False)


def _dense(g: Builder, il: int, cur: Tensor) -> Tensor:
    return g.ffn(il, cur, biases=False)


def dream(g: Builder) -> None:
    """Source: src/models/dream.cpp."""
    _build(g, rope_attention(wo_bias=True), _dense)


def llada(g: Builder) -> None:
    """Source: src/models/llada.cpp."""
    _build(g, rope_attention(), _dense)


def llada_moe(g: Builder) -> None:
    """Source: src/models/llada-moe.cpp."""
    _build(g, rope_attention(normed=True), lambda g, il, cur: g.moe(il, cur, scale_w=0.0))


def rnd1(g: Builder) -> None:
    """Source: src/models/rnd1.cpp."""
    attention = rope_attention(normed=True, wo_bias=True)
    _build(g, attention, lambda g, il, cur: g.moe(il, cur, norm_w=True, scale_w=0.0))
