"""Decoders of the llama kind: norm, attention, residual, norm, feed-forward, residual."""

from __future__ import annotations

from budget.memory.compute.builder import Builder


def llama(g: Builder, *, embed: bool = False) -> None:
    """Source: src/models/llama.cpp (also Mixtral); `embed`: tokens see the batch, and there are no logits."""
    x = g.inp_embd(scale=bool(g.model.key("embedding_scale")))
    pos = g.inp_pos()
    inp = g.attn_inp_no_cache() if embed else g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        skip = x
        cur = g.norm_w(x, il, "attn_norm")
        factors = g.rope_factors(il)
        q, k, v = g.qkv(il, cur)
        cur = g.attn(inp, il, g.rope(q, pos, factors), g.rope(k, pos, factors), v)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        cur = g.norm_w(skip, il, "ffn_norm")
        if g.opt(il, "ffn_gate_inp") is None:
            cur = g.ffn(il, cur, scales=True)
        else:
            cur = g.moe(il, cur, norm_w=True, scales=True)
        x = g.add(cur, skip)
    if embed:
        g.finish_embedding(g.head_norm(x))
    else:
        g.finish(g.head_norm(x))


def llama_embed(g: Builder) -> None:
    """Source: src/models/llama-embed.cpp."""
    llama(g, embed=True)


def qwen2(g: Builder) -> None:
    """Source: src/models/qwen2.cpp."""
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        skip = x
        q, k, v = g.qkv(il, g.norm_w(x, il, "attn_norm"))
        cur = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        x = g.add(g.ffn(il, g.norm_w(skip, il, "ffn_norm")), skip)
    g.finish(g.head_norm(x))


def _qwen3(g: Builder, *, moe: bool) -> None:
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        skip = x
        q, k, v = g.qkv(il, g.norm_w(x, il, "attn_norm"))
        q = g.rope(g.norm_w(q, il, "attn_q_norm"), pos)
        k = g.rope(g.norm_w(k, il, "attn_k_norm"), pos)
        cur = g.attn(inp, il, q, k, v)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        cur = g.norm_w(skip, il, "ffn_norm")
        cur = g.moe(il, cur, norm_w=True, scales=True) if moe else g.ffn(il, cur, scales=True)
        x = g.add(cur, skip)
    g.finish(g.head_norm(x))


def qwen3(g: Builder) -> None:
    """Source: src/models/qwen3.cpp."""
    _qwen3(g, moe=False)


def qwen3moe(g: Builder) -> None:
    """Source: src/models/qwen3moe.cpp."""
    _qwen3(g, moe=True)


def phi3(g: Builder) -> None:
    """Source: src/models/phi3.cpp."""
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = g.attn_inp_kv_auto()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        skip = x
        factors = g.rope_factors(il)
        q, k, v = g.qkv(il, g.norm_w(x, il, "attn_norm"))
        q, k = g.rope(q, pos, factors), g.rope(k, pos, factors)
        cur = g.attn(inp, il, g.scale(q), k, v)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        cur = g.norm_w(skip, il, "ffn_norm")
        if g.opt(il, "ffn_gate_inp") is None:
            cur = g.ffn(il, cur, "swiglu", gate="", parallel=False)
        else:
            cur = g.moe(il, cur, norm_w=True)
        x = g.add(skip, cur)
    g.finish(g.head_norm(x))


def command_r(g: Builder) -> None:
    """Source: src/models/command-r.cpp: attention and feed-forward beside each other."""
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    for il in range(g.n_layer):
        normed = g.norm_w(x, il, "attn_norm", kind="layer")
        q, k, v = g.qkv(il, normed)
        if g.opt(il, "attn_q_norm") is not None:
            q = g.norm_w(q, il, "attn_q_norm", kind="layer")
        if g.opt(il, "attn_k_norm") is not None:
            k = g.norm_w(k, il, "attn_k_norm", kind="layer")
        cur = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v)
        cur, x, normed = g.select_rows(il, out_ids, cur, x, normed)
        x = g.add(g.add(g.ffn(il, normed), x), cur)
    g.finish(g.head_norm(x, kind="layer"), logit_scale=bool(g.model.key("logit_scale")))


def olmo2(g: Builder) -> None:
    """Source: src/models/olmo2.cpp: norms after the blocks, and over whole rows of Q and K."""
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = g.attn_inp_kv_auto()
    out_ids = g.inp_out_ids()
    head, n_tokens = g.n_embd_head_v, g.n_tokens
    for il in range(g.n_layer):
        skip = x
        q, k, v = g.qkv(il, x, reshape=False)
        q = g.norm_w(q, il, "attn_q_norm")
        k = g.norm_w(k, il, "attn_k_norm")
        q = g.reshape(q, head, g.n_head, n_tokens)
        k = g.reshape(k, head, g.n_head_kv, n_tokens)
        v = g.reshape(v, head, g.n_head_kv, n_tokens)
        cur = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, wo_bias=False)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(g.norm_w(cur, il, "post_attention_norm"), skip)
        cur = g.norm_w(g.ffn(il, skip), il, "post_ffw_norm", pin=False)
        x = g.add(cur, skip)
    g.finish(g.head_norm(x))


def uses_mrope(g: Builder) -> bool:
    """Rope sections in the header make positions four-dimensional (`use_mrope`)."""
    sections = g.model.array("rope.dimension_sections") or ()
    return len(sections) > 1 and int(sections[0]) > 0 and int(sections[1]) > 0


def expert_gating(g: Builder, default: str) -> str:
    """`expert_gating_func` of the header (llama-hparams.h, `llama_expert_gating_func_type`)."""
    value = g.model.number("expert_gating_func")
    return {1: "softmax", 2: "sigmoid", 3: "softmax_weight", 4: "sqrt_softplus"}.get(value, default)


def glm4moe(g: Builder) -> None:
    """Source: src/models/glm4-moe.cpp."""
    x = g.inp_embd()
    pos = g.inp_pos(4 if uses_mrope(g) else 1)
    inp = g.attn_inp_kv()
    out_ids = g.inp_out_ids()
    n_dense = g.model.number("leading_dense_block_count")
    norm_w = bool(g.model.key("expert_weights_norm"))
    gating = expert_gating(g, "sigmoid")
    for il in range(g.n_layer):
        skip = x
        q, k, v = g.qkv(il, g.norm_w(x, il, "attn_norm"))
        if g.opt(il, "attn_q_norm") is not None:
            q = g.norm_w(q, il, "attn_q_norm")
        if g.opt(il, "attn_k_norm") is not None:
            k = g.norm_w(k, il, "attn_k_norm")
        cur = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, wo_bias=False)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        cur = g.norm_w(skip, il, "post_attention_norm")
        if il < n_dense:
            cur = g.ffn(il, cur)
        else:
            routed = g.moe(il, cur, norm_w=norm_w, gating=gating, exp_probs="exp_probs_b")
            shared = g.ffn(il, cur, up="ffn_up_shexp", gate="ffn_gate_shexp", down="ffn_down_shexp")
            cur = g.add(routed, shared)
        x = g.add(cur, skip)
    cur = g.head_norm(x)
    g.t_h_nextn = cur
    g.finish(cur)


def gpt_oss(g: Builder) -> None:
    """Source: src/models/openai-moe.cpp: rows are selected after the last layer."""
    x = g.inp_embd()
    pos = g.inp_pos()
    inp = g.attn_inp_kv_iswa()
    out_ids = g.inp_out_ids()
    head = g.model.number("rope.dimension_count") or g.n_embd_head_k
    for il in range(g.n_layer):
        q, k, v = g.qkv(il, g.norm_w(x, il, "attn_norm"), head=head)
        sinks = g.opt(il, "attn_sinks")
        cur = g.attn(inp, il, g.rope(q, pos), g.rope(k, pos), v, sinks=sinks)
        skip = g.add(cur, x)
        cur = g.norm_w(skip, il, "post_attention_norm")
        cur = g.moe(il, cur, act="swiglu_oai", gating="softmax_weight", biases=True)
        x = g.add(cur, skip)
    g.t_h_nextn = x
    g.finish(g.head_norm(g.get_rows(x, out_ids)))


def llama4(g: Builder) -> None:
    """Source: src/models/llama4.cpp."""
    x = g.inp_embd()
    pos = g.inp_pos()
    scale = g.inp_attn_scale()
    inp = g.attn_inp_kv_auto()
    out_ids = g.inp_out_ids()
    step = 4 if g.model.swa_type != "none" else g.n_layer
    use_kq_norm = g.model.n_expert != 128
    for il in range(g.n_layer):
        skip = x
        use_rope = step > 0 and (il + 1) % step != 0
        cur = g.norm_w(x, il, "attn_norm")
        factors = g.rope_factors(il)
        q, k, v = g.qkv(il, cur)
        if use_rope:
            q, k = g.rope(q, pos, factors), g.rope(k, pos, factors)
        else:
            q = g.mul(q, scale)
        if use_rope and use_kq_norm:
            q, k = g.rms_norm(q), g.rms_norm(k)
        cur = g.attn(inp, il, q, k, v)
        cur, skip = g.select_rows(il, out_ids, cur, skip)
        skip = g.add(cur, skip)
        cur = g.norm_w(skip, il, "ffn_norm")
        if g.opt(il, "ffn_gate_inp") is None:
            cur = g.ffn(il, cur)
        else:
            routed = g.moe(il, cur, gating="sigmoid")
            cur = g.add(
                routed, g.ffn(il, cur, up="ffn_up_shexp", gate="ffn_gate_shexp", down="ffn_down_shexp")
            )
        x = g.add(cur, skip)
    g.finish(g.head_norm(x))
