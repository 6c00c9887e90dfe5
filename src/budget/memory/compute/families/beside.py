"""Decoders whose feed-forward block stands beside attention: both read the same input and add to it."""

from __future__ import annotations

from budget.memory.compute.builder import Builder
from budget.memory.compute.families.plain import Plain, attention, build, finish
from budget.memory.compute.tensor import Tensor

_LAYER = Plain(norm="layer")
_PHI2 = Plain(norm="layer", q_scale=True)
_GPTNEOX = Plain(norm="layer", act="gelu", gated=False)
_PLAMO = Plain()


def falcon(g: Builder) -> None:
    """Source: src/models/falcon.cpp; the larger ones have a norm of its own for attention."""
    x, pos, inp, out_ids = g.inp_embd(), g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    for il in range(g.n_layer):
        normed = cur = g.norm_w(x, il, "attn_norm", kind="layer")
        if g.opt(il, "attn_norm_2") is not None:
            cur = g.norm_w(x, il, "attn_norm_2", kind="layer")
        cur = attention(g, _LAYER, inp, il, cur, pos)
        cur, x, normed = g.select_rows(il, out_ids, cur, x, normed)
        x = g.add(g.add(g.ffn(il, normed, "gelu", gate="", parallel=False), cur), x)
    finish(g, _LAYER, x, out_ids)


def phi2(g: Builder) -> None:
    """Source: src/models/phi2.cpp."""
    x, pos, inp, out_ids = g.inp_embd(), g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    for il in range(g.n_layer):
        normed = g.norm_w(x, il, "attn_norm", kind="layer")
        cur = attention(g, _PHI2, inp, il, normed, pos)
        cur, x, normed = g.select_rows(il, out_ids, cur, x, normed)
        x = g.add(g.add(cur, g.ffn(il, normed, "gelu", gate="", parallel=False)), x)
    finish(g, _PHI2, x, out_ids)


def plamo(g: Builder) -> None:
    """Source: src/models/plamo.cpp."""
    x, pos, inp, out_ids = g.inp_embd(), g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    for il in range(g.n_layer):
        normed = g.norm_w(x, il, "attn_norm")
        cur = attention(g, _PLAMO, inp, il, normed, pos)
        cur, normed, x = g.select_rows(il, out_ids, cur, normed, x)
        x = g.add(g.add(g.ffn(il, normed), cur), x)
    finish(g, _PLAMO, x, out_ids)


def gptneox(g: Builder) -> None:
    """Source: src/models/gptneox.cpp: beside each other only where the header says so."""
    if not g.model.key("use_parallel_residual"):
        build(g, _GPTNEOX)
        return
    x, pos, inp, out_ids = g.inp_embd(), g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    for il in range(g.n_layer):
        cur = attention(g, _GPTNEOX, inp, il, g.norm_w(x, il, "attn_norm", kind="layer"), pos)
        cur, x = g.select_rows(il, out_ids, cur, x)
        ffn = g.ffn(il, g.norm_w(x, il, "ffn_norm", kind="layer"), "gelu", gate="", parallel=False)
        x = g.add(g.add(ffn, x), cur)
    finish(g, _GPTNEOX, x, out_ids)


def stablelm(g: Builder) -> None:
    """Source: src/models/stablelm.cpp: without a second norm the feed-forward block reads the first one's result."""
    f = Plain(norm="layer", qk_norm="before")
    x, pos, inp, out_ids = g.inp_embd(), g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    for il in range(g.n_layer):
        normed = g.norm_w(x, il, "attn_norm", kind="layer")
        cur = attention(g, f, inp, il, normed, pos)
        cur, x, normed = g.select_rows(il, out_ids, cur, x, normed)
        skip = g.add(cur, x)
        if g.opt(il, "ffn_norm") is not None:
            normed = g.norm_w(skip, il, "ffn_norm", kind="layer")
        x = g.add(g.ffn(il, normed), skip)
    finish(g, f, x, out_ids)


def arctic(g: Builder) -> None:
    """Source: src/models/arctic.cpp: the experts read the input of the layer."""
    f = Plain()
    x, pos, inp, out_ids = g.inp_embd(), g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    for il in range(g.n_layer):
        skip = x
        cur = attention(g, f, inp, il, g.norm_w(x, il, "attn_norm"), pos)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        inner = g.add(cur, skip)
        dense = g.add(g.ffn(il, g.norm_w(inner, il, "ffn_norm")), inner)
        x = g.add(g.moe(il, g.norm_w(skip, il, "ffn_norm_exps"), norm_w=True, scale_w=0.0), dense)
    finish(g, f, x, out_ids)


def grovemoe(g: Builder) -> None:
    """Source: src/models/grovemoe.cpp: two mixtures of experts with one router, the second on the first's result."""
    f = Plain(qk_norm="before")
    x, pos, inp, out_ids = g.inp_embd(), g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    n_chunks = g.n_expert // g.model.number("experts_per_group", 1)
    for il in range(g.n_layer):
        skip = x
        cur = attention(g, f, inp, il, g.norm_w(x, il, "attn_norm"), pos)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        cur = _grove(g, il, g.norm_w(skip, il, "ffn_norm"), n_chunks)
        x = g.add(cur, skip)
    finish(g, f, x, out_ids)


def _grove(g: Builder, il: int, cur: Tensor, n_chunks: int) -> Tensor:
    probs = g.mul_mat(g.w(il, "ffn_gate_inp"), cur)
    routed = g.moe(il, cur, norm_w=True, scale_w=0.0, probs_in=probs)
    chunks = g.moe(
        il,
        routed,
        norm_w=True,
        scale_w=0.0,
        probs_in=probs,
        n_expert=n_chunks,
        n_used=min(g.n_expert_used, n_chunks),
        up="ffn_up_chexps",
        gate="ffn_gate_chexps",
        down="ffn_down_chexps",
    )
    return g.add(routed, g.scale(chunks))
