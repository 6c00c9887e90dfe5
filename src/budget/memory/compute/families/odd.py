"""Decoders with a K/V cache whose graph has a shape of its own."""

from __future__ import annotations

from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.plain import Plain, attention, finish
from budget.memory.compute.tensor import Tensor, strides

_PLAIN = Plain()


def cogvlm(g: Builder) -> None:
    """Source: src/models/cogvlm.cpp, text tokens: no rows are selected, every token has logits."""
    x, pos, inp = g.inp_embd(), g.inp_pos(), g.attn_inp_kv()
    head, n_tokens = g.n_embd_head_v, g.n_tokens
    for il in range(g.n_layer):
        qkv = g.mul_mat(g.w(il, "attn_qkv"), g.norm_w(x, il, "attn_norm"))
        nb1 = strides(qkv)[1]
        q = g.view_3d(qkv, head, g.n_head, n_tokens, 4 * head, nb1)
        k = g.view_3d(qkv, head, g.n_head_kv, n_tokens, 4 * head, nb1, 4 * g.n_embd)
        v = g.view_3d(qkv, head, g.n_head_kv, n_tokens, 4 * head, nb1, 8 * g.n_embd)
        skip = g.add(g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, wo_bias=False), x)
        x = g.add(g.ffn(il, g.norm_w(skip, il, "ffn_norm")), skip)
    g.finish(g.head_norm(x))


def deci(g: Builder) -> None:
    """Source: src/models/deci.cpp: layers without attention, with one matrix for it, or without feed-forward."""
    f = Plain(factors=True)
    x, pos, inp, out_ids = g.inp_embd(), g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    for il in range(g.n_layer):
        skip = cur = x
        if g.model.n_head[il]:
            cur = g.norm_w(x, il, "attn_norm")
            if g.model.n_head_kv[il]:
                cur = attention(g, f, inp, il, cur, pos)
            else:
                cur = g.mul_mat(g.w(il, "attn_output"), cur)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        if not g.model.n_ff[il]:
            continue
        skip = g.add(cur, skip) if g.model.n_head[il] else cur
        x = g.add(g.ffn(il, g.norm_w(skip, il, "ffn_norm")), skip)
    finish(g, f, x, out_ids)


def openelm(g: Builder) -> None:
    """Source: src/models/openelm.cpp: heads of Q, K and V differ by layer."""
    x, pos, inp, out_ids = g.inp_embd(), g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    head, n_tokens = g.n_embd_head_v, g.n_tokens
    for il in range(g.n_layer):
        n_q, n_kv = g.model.n_head[il], g.model.n_head_kv[il]
        qkv = g.mul_mat(g.w(il, "attn_qkv"), g.norm_w(x, il, "attn_norm"))
        qkv = g.reshape(qkv, g.n_embd_head_k, n_q + 2 * n_kv, n_tokens)
        _, nb1, nb2, _ = strides(qkv)
        q = g.view_3d(qkv, head, n_q, n_tokens, nb1, nb2)
        k = g.view_3d(qkv, head, n_kv, n_tokens, nb1, nb2, nb1 * n_q)
        v = g.view_3d(qkv, head, n_kv, n_tokens, nb1, nb2, nb1 * (n_q + n_kv))
        q = g.rope(g.norm_w(q, il, "attn_q_norm"), pos)
        k = g.rope(g.norm_w(k, il, "attn_k_norm"), pos)
        cur = g.attn(inp, il, q, k, v, wo_bias=False)
        x, cur = g.select_rows(il, out_ids, x, cur)
        skip = g.add(x, cur)
        x = g.add(g.ffn(il, g.norm_w(skip, il, "ffn_norm")), skip)
    finish(g, _PLAIN, x, out_ids)


def talkie(g: Builder) -> None:
    """Source: src/models/talkie.cpp: norms without weights, and the embedding again in every layer."""
    embedding = x = g.rms_norm(g.inp_embd())
    pos, inp, out_ids = g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    for il in range(g.n_layer):
        q, k, v = g.qkv(il, g.rms_norm(x))
        q = g.norm_w(g.rope(q, pos), il, "attn_q_norm")
        k = g.rms_norm(g.rope(k, pos))
        cur = g.attn(inp, il, q, k, v, wo_bias=False)
        cur, x, embedding = g.select_rows(il, out_ids, cur, x, embedding)
        skip = g.add(cur, x)
        cur = g.mm(il, "ffn_down", g.ffn(il, g.rms_norm(skip), down=""))
        cur = g.add(cur, skip)
        x = g.add(cur, g.mul(embedding, g.w(il, "layer_output_scale")))
    g.finish(g.rms_norm(x), logit_scale=True, scaled=False)


def hrm_text(g: Builder) -> None:
    """Source: src/models/hrm-text.cpp: two stacks of blocks take turns, each pass with caches of its own."""
    m = g.model
    n_blocks, n_high, n_low = (
        m.number("hrm.layers_per_stack"),
        m.number("hrm.h_cycles"),
        m.number("hrm.l_cycles"),
    )
    high = g.inp_embd(scale=bool(m.key("embedding_scale")))
    pos, inp, out_ids = g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    low = g.weight("hrm.z_l_init")
    low = g.top("hrm.z_l_init") if low is None else low
    for h in range(n_high):
        for l in range(n_low + 1):  # noqa: E741
            slots = range((h * (n_low + 1) + l) * n_blocks, (h * (n_low + 1) + l + 1) * n_blocks)
            first = n_blocks if l == n_low else 0
            g.alias.update({slot: first + i for i, slot in enumerate(slots)})
            x = g.add(high, low)
            for slot in slots:
                x = _hrm_block(g, inp, pos, slot, x)
            high, low = (x, low) if l == n_low else (high, x)
    g.finish(g.get_rows(high, out_ids))


def _hrm_block(g: Builder, inp: AttnInput, pos: Tensor, il: int, x: Tensor) -> Tensor:
    cur = g.rms_norm(x)
    gate = g.mul_mat(g.w(il, "attn_gate"), cur)
    q, k, v = g.qkv(il, cur)
    cur = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, wo_name="")
    cur = g.mul(cur, g.unary("sigmoid", gate))
    skip = g.add(g.mm(il, "attn_output", cur), x)
    return g.add(g.ffn(il, g.rms_norm(skip)), skip)


def mpt(g: Builder) -> None:
    """Source: src/models/mpt.cpp."""
    f = Plain(norm="layer")
    g.alibi = bool(g.model.key("attention.max_alibi_bias"))
    x, inp, pos = g.inp_embd(), g.attn_inp_kv(), g.inp_pos()
    if g.weight("position_embd.weight") is not None:
        x = g.add(x, g.get_rows(g.top("position_embd"), pos))
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        q, k, v = g.qkv(
            il, g.norm_w(x, il, "attn_norm", kind="layer"), clamp=bool(g.model.key("attention.clamp_kqv"))
        )
        if g.opt(il, "attn_q_norm") is not None:
            q, k = _flat_norm(g, il, q, "attn_q_norm"), _flat_norm(g, il, k, "attn_k_norm")
        cur = g.attn(inp, il, q, k, v)
        cur, x = g.select_rows(il, out_ids, cur, x)
        skip = g.add(cur, x)
        cur = g.norm_w(skip, il, "ffn_norm", kind="layer")
        act = g.weight(f"blk.{il}.ffn.act.scales")
        x = g.add(g.ffn(il, cur, "gelu", gate="", parallel=False, act_scale=act), skip)
    finish(g, f, x, out_ids)


def _flat_norm(g: Builder, il: int, t: Tensor, name: str) -> Tensor:
    """A norm over all heads of a token."""
    head, n_head, n_tokens, _ = t.ne
    t = g.norm_w(g.reshape(t, head * n_head, n_tokens), il, name, kind="layer")
    return g.reshape(t, head, n_head, n_tokens)
