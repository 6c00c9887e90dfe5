"""Decoders that few files have, with graphs of their own."""

from __future__ import annotations

from budget.errors import BadModelError
from budget.gguf.types import F32, I32
from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.tensor import Tensor, strides

_IMAGE_TOKENS = 8196 - 4
"""chameleon.cpp: `img_token_end_idx` less `img_token_start_idx`."""


def bitnet(g: Builder) -> None:
    """Source: src/models/bitnet.cpp: a norm before each output projection, and the embedding as the head."""
    x, pos, inp, out_ids = g.inp_embd(), g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    for il in range(g.n_layer):
        skip = x
        q, k, v = g.qkv(il, g.norm_w(x, il, "attn_norm"))
        cur = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, wo_name="")
        cur = g.mm(il, "attn_output", g.norm_w(cur, il, "attn_sub_norm"))
        bias = g.b(il, "attn_output")
        cur = cur if bias is None else g.add(cur, bias)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        cur = g.ffn(il, g.norm_w(skip, il, "ffn_norm"), down="", scales=True, biases=False)
        cur = g.mm(il, "ffn_down", g.norm_w(cur, il, "ffn_sub_norm"))
        x = g.add(cur, skip)
    g.finish(g.head_norm(x), head=g.tok_embd(), scaled=False, bias=False)


def chameleon(g: Builder) -> None:
    """Source: src/models/chameleon.cpp: norms before or after the blocks, and no logits for image tokens."""
    x, pos, inp, out_ids = g.inp_embd(), g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    after = bool(g.model.key("swin_norm"))
    for il in range(g.n_layer):
        skip = x
        q, k, v = g.qkv(il, x if after else g.norm_w(x, il, "attn_norm"))
        if g.opt(il, "attn_q_norm") is not None:
            q = g.norm_w(q, il, "attn_q_norm", kind="layer")
        if g.opt(il, "attn_k_norm") is not None:
            k = g.norm_w(k, il, "attn_k_norm", kind="layer")
        cur = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, wo_bias=False)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        if after:
            cur = g.norm_w(cur, il, "attn_norm")
        skip = g.add(cur, skip)
        cur = g.ffn(il, cur if after else g.norm_w(skip, il, "ffn_norm"))
        x = g.add(g.norm_w(cur, il, "ffn_norm") if after else cur, skip)

    def without_images(logits: Tensor) -> Tensor:
        return g.op("SET", logits, g.clamp(g.new(F32, _IMAGE_TOKENS)))

    g.finish(g.head_norm(x), bias=False, then=without_images)


def granite_switch(g: Builder) -> None:
    """Source: src/models/granite-switch.cpp: a router layer chooses the adapter of every token."""
    m, n_tokens = g.model, g.n_tokens
    ids = g.input(I32, n_tokens, name="sub_tokens")
    k_sig, v_val, query = (g.input(F32, n_tokens, name=n) for n in ("router_ksig", "router_vval", "router_q"))
    x = g.get_rows(g.tok_embd(), ids, "embd")
    if m.key("embedding_scale"):
        x = g.scale(x)
    pos = g.inp_pos() if m.key("rope.scaling.finetuned", True) else None
    inp = g.attn_inp_kv()
    adapters = _chosen_adapters(g, inp, query, k_sig, v_val)
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        skip = x
        cur = _switched_attention(g, inp, il, g.norm_w(x, il, "attn_norm"), adapters, pos)
        if il == g.n_layer - 1:
            cur, skip = g.get_rows(cur, out_ids), g.get_rows(skip, out_ids)
            adapters = g.get_rows(g.reshape(adapters, 1, n_tokens), out_ids)
            adapters = g.reshape(adapters, out_ids.ne[0])
        x = _switched_ffn(g, il, cur, skip, adapters)
    g.finish(g.head_norm(x), logit_scale=True, bias=False)


def _chosen_adapters(g: Builder, inp: AttnInput, query: Tensor, k_sig: Tensor, v_val: Tensor) -> Tensor:
    """The router is an attention layer after the others, with one head that has one number in it."""

    def lane(t: Tensor) -> Tensor:
        return g.pad(g.reshape(t, 1, 1, g.n_tokens), g.n_embd_head_v - 1)

    out = g.attn(inp, g.n_layer, lane(query), lane(k_sig), lane(v_val), wo_name="")
    slot = g.cont(g.view_2d(out, 1, g.n_tokens, strides(out)[1]))
    slot = g.unary("round", g.clamp(g.reshape(slot, g.n_tokens)))
    return g.cast(slot, I32)


def _switched_attention(
    g: Builder, inp: AttnInput, il: int, cur: Tensor, adapters: Tensor, pos: Tensor | None
) -> Tensor:
    head, n_tokens = g.n_embd_head_v, g.n_tokens
    n_q, n_kv = g.model.n_head[il], g.model.n_head_kv[il]
    qkv = g.mul_mat(g.w(il, "attn_qkv"), cur)
    nb1, offset, parts = strides(qkv)[1], 0, []
    for name, n in (("attn_q", n_q), ("attn_k", n_kv), ("attn_v", n_kv)):
        part = g.cont(g.view_2d(qkv, head * n, n_tokens, nb1, offset))
        part = g.add(part, _delta(g, il, name, cur, adapters))
        parts.append(g.reshape(part, head, n, n_tokens))
        offset += 4 * head * n
    q, k, v = parts
    if pos is not None:
        factors = g.rope_factors(il)
        q, k = g.rope(q, pos, factors), g.rope(k, pos, factors)
    return _switched_mm(g, il, "attn_output", g.attn(inp, il, q, k, v, wo_name=""), adapters)


def _switched_ffn(g: Builder, il: int, cur: Tensor, skip: Tensor, adapters: Tensor) -> Tensor:
    scaled = bool(g.model.key("residual_scale"))
    skip = g.add(g.scale(cur) if scaled else cur, skip)
    cur = g.norm_w(skip, il, "ffn_norm")
    gate = _switched_mm(g, il, "ffn_gate", cur, adapters)
    up = _switched_mm(g, il, "ffn_up", cur, adapters)
    cur = _switched_mm(g, il, "ffn_down", g.mul(g.unary("silu", gate), up), adapters)
    return g.add(g.scale(cur) if scaled else cur, skip)


def _switched_mm(g: Builder, il: int, name: str, x: Tensor, adapters: Tensor) -> Tensor:
    return g.add(g.mul_mat(g.w(il, name), x), _delta(g, il, name, x, adapters))


def _delta(g: Builder, il: int, name: str, x: Tensor, adapters: Tensor) -> Tensor:
    """What each token's adapter adds to a product."""
    a, b = g.weight(f"blk.{il}.{name}.lora_a"), g.weight(f"blk.{il}.{name}.lora_b")
    if a is None or b is None:
        raise BadModelError(f"tensor blk.{il}.{name} has no adapters")
    n_in, n_tokens = x.ne[0], x.ne[1]
    ids = g.reshape(adapters, 1, n_tokens)
    t = g.mul_mat_id(b, g.mul_mat_id(a, g.reshape(x, n_in, 1, n_tokens), ids), ids)
    return g.reshape(t, t.ne[0], n_tokens)


def plm(g: Builder) -> None:
    """Source: src/models/plm.cpp: keys and values from a compressed row, expanded before they are cached.

    Raises:
        BadModelError: flash attention is not off; llama.cpp stops there, since it stores V as one row per batch.
    """
    if not g.params.v_trans:
        raise BadModelError("llama.cpp cannot run plm unless flash attention is off")
    x, pos, inp, out_ids = g.inp_embd(), g.inp_pos(), g.attn_inp_kv(), g.inp_out_ids()
    for il in range(g.n_layer):
        skip = x
        cur = _plm_attention(g, inp, il, g.norm_w(x, il, "attn_norm"), pos)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        cur = g.ffn(il, g.norm_w(skip, il, "ffn_norm"), "relu_sqr", gate="", parallel=False)
        x = g.add(cur, skip)
    g.finish(g.head_norm(x))


def _plm_attention(g: Builder, inp: AttnInput, il: int, cur: Tensor, pos: Tensor) -> Tensor:
    m, n_tokens, n_head = g.model, g.n_tokens, g.n_head
    rope, rank = m.number("rope.dimension_count"), m.number("attention.kv_lora_rank")
    nope = m.n_embd_head_k - rope
    q = g.reshape(g.mul_mat(g.w(il, "attn_q"), cur), m.n_embd_head_k, n_head, n_tokens)
    kv = g.mul_mat(g.w(il, "attn_kv_a_mqa"), cur)
    nb1 = strides(kv)[1]
    k_pe = g.view_3d(kv, rope, 1, n_tokens, nb1, nb1, 4 * rank)
    compressed = g.norm_w(g.view_2d(kv, rank, n_tokens, nb1), il, "attn_kv_a_norm")
    both = g.mul_mat(g.w(il, "attn_kv_b"), compressed)
    row = 4 * (nope + m.n_embd_head_v)
    k_nope = g.view_3d(both, nope, n_head, n_tokens, row, row * n_head)
    v = g.cont(g.view_3d(both, m.n_embd_head_v, n_head, n_tokens, row, row * n_head, 4 * nope))
    v = g.view_2d(v, m.n_embd_head_v * n_head, n_tokens, 4 * m.n_embd_head_v * n_head)
    q, k_pe = g.rope(q, pos), g.rope(k_pe, pos)
    k = g.concat(k_nope, g.repeat(k_pe, rope, n_head, n_tokens), 0)
    return g.attn(inp, il, q, k, v, wo_bias=False)
