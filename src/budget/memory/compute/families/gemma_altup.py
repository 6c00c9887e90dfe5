"""Gemma 3n and 4: inputs per layer; Gemma 3n carries several streams of hidden states (AltUp)."""

from __future__ import annotations

from budget.gguf.types import I32
from budget.memory.compute.attention_inputs import AttnInput
from budget.memory.compute.builder import Builder
from budget.memory.compute.families.layers import normed_heads
from budget.memory.compute.tensor import Tensor, strides

N_ALTUP = 4
"""Streams (llama-hparams.h, n_altup); the active one is number 0 (i_altup_act)."""
N_LAYER_SPARSE = 10
"""Layers of Gemma 3n with a sparse feed-forward gate (models.h, n_layer_sparsity)."""


def layer_inputs(g: Builder, x: Tensor) -> Tensor:
    """What each layer gets beside the hidden state: [width, tokens, layers].

    Source: src/models/gemma4.cpp and gemma3n.cpp, `build_inp_per_layer` and `project_per_layer_inputs`.
    """
    n_tokens = g.n_tokens
    tokens = g.input(I32, n_tokens, name="inp_tokens")
    rows = g.get_rows(g.top("per_layer_token_embd"), tokens, "inp_per_layer")
    width = rows.ne[0] // g.n_layer
    rows = g.expand(g.scale(g.reshape(rows, width, g.n_layer, n_tokens)))
    proj = g.scale(g.mul_mat(g.top("per_layer_model_proj"), x, "per_layer_proj"))
    proj = g.norm(g.reshape(proj, width, g.n_layer, n_tokens), g.top("per_layer_proj_norm"))
    return g.cont(g.permute(g.scale(g.add(proj, rows)), 0, 2, 1, 3), name="inp_per_layer")


def layer_slice(g: Builder, x: Tensor, i: int) -> Tensor:
    """Matrix number `i` of a tensor of three dimensions, as a view."""
    size = 4 * x.ne[0]
    return g.view_2d(x, x.ne[0], x.ne[1], size, i * size * x.ne[1])


def shared_cache_layer(g: Builder, il: int) -> int:
    """The layer whose cache layer `il` reads: its own, or the last of its kind that has one.

    Source: llama-model.cpp, `create_memory` (the reuse function of Gemma 3n and 4).
    """
    m = g.model
    if m.has_kv[il]:
        return il
    return sum(m.has_kv[: g.model.n_layer_all]) - (2 if m.is_swa[il] else 1)


def gemma4(g: Builder) -> None:
    """Source: src/models/gemma4.cpp."""
    m = g.model
    x = g.scale(g.inp_embd(), "inp_scaled")
    pos = g.inp_pos()
    inp = g.attn_inp_kv_iswa()
    out_ids = g.inp_out_ids()
    per_layer = layer_inputs(g, x) if g.weight("per_layer_token_embd.weight") is not None else None
    for il in range(g.n_layer):
        cur = _gemma4_attention(g, inp, il, g.norm_w(x, il, "attn_norm"), pos)
        skip = g.add(g.norm_w(cur, il, "post_attention_norm"), x)
        if g.opt(il, "ffn_gate_inp") is None:
            cur = g.ffn(il, g.norm_w(skip, il, "ffn_norm"), "gelu", scales=True, biases=False)
        else:
            cur = _gemma4_experts(g, il, skip)
        x = g.add(g.norm_w(cur, il, "post_ffw_norm", pin=False), skip)
        if per_layer is not None:
            x = _add_layer_input(g, il, x, per_layer)
        out_scale = g.opt(il, "layer_output_scale")
        x = x if out_scale is None else g.mul(x, out_scale)
    cur = g.head_norm(x)
    g.t_h_nextn = cur
    g.finish(g.get_rows(cur, out_ids), softcap=bool(m.key("final_logit_softcapping")), bias=False)


def _gemma4_attention(g: Builder, inp: AttnInput, il: int, cur: Tensor, pos: Tensor) -> Tensor:
    m, n_tokens = g.model, g.n_tokens
    head = m.n_embd_head_k_swa if m.is_swa[il] else m.n_embd_head_k
    n_head_kv = m.n_head_kv[il]
    factors = None if m.is_swa[il] else g.rope_factors(il)
    q, k, v = _gemma4_projections(g, il, cur, head)
    q = g.rope(g.norm_w(g.reshape(q, head, m.n_head[il], n_tokens), il, "attn_q_norm"), pos, factors)
    if k is not None and v is not None:
        k = g.norm_w(g.reshape(k, head, n_head_kv, n_tokens), il, "attn_k_norm")
        v = g.rms_norm(g.reshape(v, head, n_head_kv, n_tokens))
        k = g.rope(k, pos, factors)
    return g.attn(inp, il, q, k, v, wo_bias=False, cache_layer=shared_cache_layer(g, il))


def _gemma4_projections(
    g: Builder, il: int, cur: Tensor, head: int
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Q, and K and V where the layer has a cache of its own; K serves as V in files without V."""
    m, n_tokens = g.model, g.n_tokens
    n_q, n_kv = head * m.n_head[il], head * m.n_head_kv[il]
    if g.opt(il, "attn_qkv") is None:
        q = g.mm(il, "attn_q", cur)
        if not m.has_kv[il]:
            return q, None, None
        k = g.mm(il, "attn_k", cur)
        return q, k, k if g.opt(il, "attn_v") is None else g.mm(il, "attn_v", cur)
    qkv = g.mm(il, "attn_qkv", cur)
    row = strides(qkv)[1]
    q = g.cont(g.view_2d(qkv, n_q, n_tokens, row))
    if not m.has_kv[il]:
        return q, None, None
    k = g.cont(g.view_2d(qkv, n_kv, n_tokens, row, 4 * n_q))
    return q, k, g.cont(g.view_2d(qkv, n_kv, n_tokens, row, 4 * (n_q + n_kv)))


def _gemma4_experts(g: Builder, il: int, x: Tensor) -> Tensor:
    """A dense block and experts beside each other, each with norms of its own."""
    dense = g.ffn(il, g.norm_w(x, il, "ffn_norm"), "gelu", scales=True, biases=False)
    dense = g.norm_w(dense, il, "post_ffw_norm_1")
    normed = g.norm_w(x, il, "pre_ffw_norm_2")
    router = g.mul(g.scale(g.rms_norm(x)), g.named(f"blk.{il}.ffn_gate_inp.scale"))
    logits = g.mul_mat(g.w(il, "ffn_gate_inp"), router, "ffn_moe_logits")
    out = g.moe(
        il,
        normed,
        act="gelu",
        norm_w=True,
        scale_w=1.0,
        probs_in=logits,
        gate_up="ffn_gate_up_exps",
        scales=True,
    )
    return g.add(dense, g.norm_w(out, il, "post_ffw_norm_2"))


def _add_layer_input(g: Builder, il: int, x: Tensor, per_layer: Tensor) -> Tensor:
    cur = g.unary("gelu", g.mul_mat(g.w(il, "inp_gate"), x))
    cur = g.mul(cur, layer_slice(g, per_layer, il))
    cur = g.mul_mat(g.w(il, "proj"), cur)
    return g.add(x, g.norm_w(cur, il, "post_norm"))


def gemma3n(g: Builder) -> None:
    """Source: src/models/gemma3n.cpp."""
    x = g.scale(g.inp_embd(), "inp_scaled")
    pos = g.inp_pos()
    inp = g.attn_inp_kv_iswa()
    per_layer = layer_inputs(g, x)
    n_embd, n_tokens = g.n_embd, g.n_tokens
    added = g.mul_mat(g.top("altup_proj"), g.repeat(x, n_embd, n_tokens, N_ALTUP - 1))
    x = g.concat(x, _as_large_as(g, added, x), 2)
    for il in range(g.n_layer):
        predictions = _altup_predict(g, il, x)
        active = layer_slice(g, predictions, 0)
        normed = g.norm_w(active, il, "attn_norm")
        laurel = g.mul_mat(g.w(il, "laurel_r"), g.mul_mat(g.w(il, "laurel_l"), normed))
        laurel = g.add(g.norm_w(laurel, il, "laurel_post_norm"), normed)
        cur = g.norm_w(_gemma3n_attention(g, inp, il, normed, pos), il, "post_attention_norm")
        cur = g.scale(g.add(g.add(cur, active), laurel))
        skip = cur
        cur = g.norm_w(
            _gemma3n_feed_forward(g, il, g.norm_w(cur, il, "ffn_norm")), il, "post_ffw_norm", pin=False
        )
        corrected = _altup_correct(g, il, predictions, g.add(cur, skip))
        x = _gemma3n_layer_input(g, il, corrected, per_layer)
    _gemma3n_head(g, x)


def _as_large_as(g: Builder, x: Tensor, model: Tensor) -> Tensor:
    """`x` scaled to the magnitude of `model`."""
    return g.div(g.mul(x, _magnitude(g, model)), _magnitude(g, x))


def _magnitude(g: Builder, x: Tensor) -> Tensor:
    return g.sqrt(g.sum_rows(g.sqr(x)))


def _rest(g: Builder, x: Tensor) -> Tensor:
    """All streams but the first, as a view."""
    row = 4 * x.ne[0]
    size = row * x.ne[1]
    return g.view_3d(x, x.ne[0], x.ne[1], N_ALTUP - 1, row, size, size)


def _gemma3n_attention(g: Builder, inp: AttnInput, il: int, cur: Tensor, pos: Tensor) -> Tensor:
    m, head = g.model, g.n_embd_head_k
    k = v = None
    if m.has_kv[il]:
        q, k, v = normed_heads(g, il, cur, head=head)
        v = g.rms_norm(v)
        k = g.rope(k, pos)
    else:
        wqkv = g.opt(il, "attn_qkv")
        if wqkv is None:
            q = g.mul_mat(g.w(il, "attn_q"), cur)
        else:
            qkv = g.mul_mat(wqkv, cur)
            q = g.cont(g.view_2d(qkv, head * g.n_head, g.n_tokens, strides(qkv)[1]))
        q = g.norm_w(g.reshape(q, head, g.n_head, g.n_tokens), il, "attn_q_norm")
    return g.attn(inp, il, g.rope(q, pos), k, v, wo_bias=False, cache_layer=shared_cache_layer(g, il))


def _gemma3n_feed_forward(g: Builder, il: int, cur: Tensor) -> Tensor:
    up = g.mul_mat(g.w(il, "ffn_up"), cur)
    gate = g.mul_mat(g.w(il, "ffn_gate"), cur)
    if il < N_LAYER_SPARSE:
        gate = _gaussian_top_k(g, gate)
    return g.mul_mat(g.w(il, "ffn_down"), g.mul(up, g.unary("gelu", gate)))


def _gaussian_top_k(g: Builder, x: Tensor) -> Tensor:
    mean = g.mean(x)
    deviation = g.sqrt(g.scale(g.sum_rows(g.sqr(g.sub(x, mean)))))
    return g.unary("relu", g.sub(x, g.add(mean, g.scale(deviation))))


def _modalities(g: Builder, il: int, x: Tensor) -> Tensor:
    router = g.scale(g.norm_w(x, il, "altup_router_norm"))
    return g.unary("tanh", g.mul_mat(g.w(il, "altup_router"), router))


def _altup_predict(g: Builder, il: int, x: Tensor) -> Tensor:
    modalities = _modalities(g, il, layer_slice(g, x, 0))
    coefs = g.mul_mat(g.w(il, "altup_predict_coef"), modalities)
    coefs = g.reshape(coefs, N_ALTUP, N_ALTUP, g.n_tokens)
    predictions = g.mul_mat(g.cont(g.permute(x, 1, 2, 0, 3)), coefs)
    return g.add(g.cont(g.permute(predictions, 0, 2, 1, 3)), x)


def _altup_correct(g: Builder, il: int, predictions: Tensor, activated: Tensor) -> Tensor:
    modalities = _modalities(g, il, activated)
    innovation = g.sub(activated, layer_slice(g, predictions, 0))
    coefs = g.scale(g.mul_mat(g.w(il, "altup_correct_coef"), modalities))
    coefs = g.cont(g.transpose(coefs), 1, g.n_tokens, N_ALTUP)
    innovation = g.repeat(innovation, g.n_embd, g.n_tokens, N_ALTUP)
    return g.add(g.mul(innovation, coefs), predictions)


def _gemma3n_layer_input(g: Builder, il: int, corrected: Tensor, per_layer: Tensor) -> Tensor:
    first = g.mul(layer_slice(g, corrected, 0), g.w(il, "altup_correct_scale"))
    first = g.unary("gelu", g.mul_mat(g.w(il, "inp_gate"), first))
    first = g.mul_mat(g.w(il, "proj"), g.mul(first, layer_slice(g, per_layer, il)))
    first = g.norm_w(first, il, "post_norm")
    return g.concat(layer_slice(g, corrected, 0), g.add(_rest(g, corrected), first), 2)


def _gemma3n_head(g: Builder, x: Tensor) -> None:
    magnitude = _magnitude(g, layer_slice(g, x, 0))
    others = g.mul_mat(g.top("altup_unembd_proj"), _rest(g, x))
    others = g.div(g.mul(others, magnitude), _magnitude(g, others))
    cur = layer_slice(g, x, 0)
    for i in range(N_ALTUP - 1):
        cur = g.add(cur, layer_slice(g, others, i))
    cur = g.get_rows(g.scale(cur), g.inp_out_ids())
    g.finish(g.head_norm(cur), softcap=True, bias=False)
