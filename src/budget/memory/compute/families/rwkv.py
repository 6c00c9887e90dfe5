"""RWKV 6 and 7, and language models that were converted to them."""

from __future__ import annotations

from budget.memory.compute.builder import Builder
from budget.memory.compute.recurrent import RsInput
from budget.memory.compute.tensor import Tensor, strides


def rwkv(g: Builder) -> None:
    """Source: src/models/rwkv6.cpp, rwkv7.cpp: time mix, then channel mix, each with the token before."""
    x = g.inp_embd()
    x = g.norm(x, g.top("token_embd_norm"), g.weight("token_embd_norm.bias"), kind="layer", il=0)
    rs = g.rs_inp()
    out_ids = g.inp_out_ids()
    n_embd, n_t, n_seqs, n_tokens = g.n_embd, g.n_seq_tokens, g.n_seqs, g.n_tokens
    first_values: list[Tensor] = []
    every = g.model.number("rescale_every_n_layers") if g.arch == "rwkv6" else 0
    for il in range(g.n_layer):
        x = g.reshape(x, n_embd, n_t, n_seqs)
        kept = g.reshape(_load(g, rs, il), n_embd, 2, n_seqs)
        _, nb1, nb2, _ = strides(kept)
        before = [g.view_3d(kept, n_embd, 1, n_seqs, nb1, nb2, i * n_embd * 4) for i in range(2)]
        normed = g.norm_w(x, il, "attn_norm", kind="layer")
        cur = _time_mix(g, rs, il, normed, _shifted(g, before[0], normed), first_values)
        skip = g.add(cur, x)
        second = g.norm_w(skip, il, "attn_norm_2", kind="layer")
        previous = _shifted(g, before[1], second)
        _store(g, il, g.concat(_last(g, normed), _last(g, second), 1))
        rows = [g.reshape(t, n_embd, n_tokens) for t in (skip, second, previous)]
        skip, second, previous = g.select_rows(il, out_ids, *rows)
        x = g.add(_channel_mix(g, il, second, previous), skip)
        if every and (il + 1) % every == 0:
            x = g.scale(x)
    g.finish(g.head_norm(x, kind="layer"))


def rwkv_transformer(g: Builder) -> None:
    """Source: src/models/rwkv6qwen2.cpp, arwkv7.cpp: time mix in place of attention."""
    x = g.inp_embd()
    rs = g.rs_inp()
    out_ids = g.inp_out_ids()
    n_embd, n_tokens = g.n_embd, g.n_tokens
    first_values: list[Tensor] = []
    for il in range(g.n_layer):
        x = g.reshape(x, n_embd, g.n_seq_tokens, g.n_seqs)
        kept = g.reshape(_load(g, rs, il), n_embd, 1, g.n_seqs)
        normed = g.norm_w(x, il, "attn_norm")
        cur = _time_mix(g, rs, il, normed, _shifted(g, kept, normed), first_values)
        _store(g, il, _last(g, normed))
        (skip,) = g.select_rows(il, out_ids, g.reshape(g.add(cur, x), n_embd, n_tokens))
        x = g.add(g.ffn(il, g.norm_w(skip, il, "ffn_norm")), skip)
    g.finish(g.head_norm(x))


def _load(g: Builder, rs: RsInput, il: int) -> Tensor:
    state = g.cache(f"cache_r_l{il}")
    return g.rs(rs, state, state.ne[0])


def _store(g: Builder, il: int, t: Tensor) -> None:
    """The last token of each sequence, for the next batch (`build_rwkv_token_shift_store`)."""
    state = g.cache(f"cache_r_l{il}")
    n = state.ne[0] * g.n_seqs
    g.expand(g.cpy(g.view_1d(t, n), g.view_1d(state, n)))


def _last(g: Builder, t: Tensor) -> Tensor:
    _, nb1, nb2, _ = strides(t)
    return g.view_3d(t, g.n_embd, 1, g.n_seqs, nb1, nb2, (g.n_seq_tokens - 1) * g.n_embd * 4)


def _shifted(g: Builder, before: Tensor, t: Tensor) -> Tensor:
    """The token before each one."""
    _, nb1, nb2, _ = strides(t)
    return g.concat(before, g.view_3d(t, g.n_embd, g.n_seq_tokens - 1, g.n_seqs, nb1, nb2), 1)


def _channel_mix(g: Builder, il: int, cur: Tensor, previous: Tensor) -> Tensor:
    change = g.sub(previous, cur)
    k = g.add(g.mul(change, g.w(il, "channel_mix_lerp_k")), cur)
    k = g.sqr(g.unary("relu", g.mul_mat(g.w(il, "channel_mix_key"), k)))
    value = g.mul_mat(g.w(il, "channel_mix_value"), k)
    if g.arch == "rwkv7":
        return value
    r = g.add(g.mul(change, g.w(il, "channel_mix_lerp_r")), cur)
    return g.mul(g.unary("sigmoid", g.mul_mat(g.w(il, "channel_mix_receptance"), r)), value)


def _time_mix(
    g: Builder, rs: RsInput, il: int, cur: Tensor, previous: Tensor, first_values: list[Tensor]
) -> Tensor:
    if g.arch in ("rwkv6", "rwkv6qwen2"):
        return _time_mix_6(g, rs, il, cur, previous)
    return _time_mix_7(g, rs, il, cur, previous, first_values)


def _scan(g: Builder, rs: RsInput, il: int, op: str, heads: Tensor, *src: Tensor) -> Tensor:
    """The recurrence over `src`; the new state goes to the cache, the output comes back as a flat view."""
    state = g.cache(f"cache_s_l{il}")
    size, n_out = state.ne[0] * g.n_seqs, g.n_embd * g.n_tokens
    out = g.wkv(op, g.rs(rs, state, state.ne[0]), heads, *src)
    g.expand(g.cpy(g.view_1d(out, size, n_out * 4), g.view_1d(state, size)))
    return g.view_1d(out, n_out)


def _normed_heads(g: Builder, il: int, cur: Tensor, head: int) -> Tensor:
    """Layer norm per head, where the file has one."""
    w, n_embd, n_tokens = g.opt(il, "time_mix_ln"), g.n_embd, g.n_tokens
    if w is None:
        return g.reshape(cur, n_embd, n_tokens)
    cur = g.layer_norm(g.reshape(cur, head, n_embd // head, n_tokens))
    cur = g.mul(g.reshape(cur, n_embd, n_tokens), w)
    return g.add(cur, g.named(f"blk.{il}.time_mix_ln.bias"))


def _mixed_6(g: Builder, il: int, cur: Tensor, previous: Tensor) -> list[Tensor]:
    """What decay, key, value, receptance and gate see, in that order."""
    n_embd, n_tokens = g.n_embd, g.n_tokens
    change = g.reshape(g.sub(previous, cur), n_embd, n_tokens)
    cur = g.reshape(cur, n_embd, n_tokens)
    mix = g.add(g.mul(change, g.w(il, "time_mix_lerp_x")), cur)
    w1, w2 = g.w(il, "time_mix_w1"), g.w(il, "time_mix_w2")
    mix = g.reshape(g.unary("tanh", g.mul_mat(w1, mix)), w1.ne[1] // 5, 1, 5, n_tokens)
    mix = g.cont(g.permute(mix, 0, 1, 3, 2))
    mix = g.mul_mat(g.reshape(w2, w2.ne[0], w2.ne[1], 1, 5), mix)
    fused = g.opt(il, "time_mix_lerp_fused")
    row, size = n_embd * 4, n_embd * n_tokens * 4
    if fused is not None:
        change = g.reshape(change, n_embd, 1, n_tokens)
        cur = g.reshape(cur, n_embd, 1, n_tokens)
        mix = g.add(g.mul(g.add(mix, fused), change), cur)
        return [g.view_2d(mix, n_embd, n_tokens, row, i * size) for i in range(5)]
    parts = []
    for i, name in enumerate("wkvrg"):
        part = g.add(g.view_2d(mix, n_embd, n_tokens, row, i * size), g.w(il, f"time_mix_lerp_{name}"))
        parts.append(g.add(g.mul(part, change), cur))
    return parts


def _time_mix_6(g: Builder, rs: RsInput, il: int, cur: Tensor, previous: Tensor) -> Tensor:
    """Source: src/models/rwkv6-base.cpp, `build_rwkv6_time_mix`."""
    n_embd, n_tokens, head = g.n_embd, g.n_tokens, g.model.number("wkv.head_size")
    n_head, n_kv = n_embd // head, g.model.n_head_kv[il]
    first = g.opt(il, "time_mix_first")
    xw, xk, xv, xr, xg = _mixed_6(g, il, cur, previous)
    r, k, v = (
        _with_bias(g, il, f"time_mix_{name}", x)
        for name, x in (("receptance", xr), ("key", xk), ("value", xv))
    )
    gate = g.unary("sigmoid" if first is None else "silu", g.mul_mat(g.w(il, "time_mix_gate"), xg))
    if n_kv not in (0, n_head):
        k, v = (
            g.repeat(g.reshape(t, head, 1, n_kv, n_tokens), head, n_head // n_kv, n_kv, n_tokens)
            for t in (k, v)
        )
    k, v, r = (g.reshape(t, head, n_head, n_tokens) for t in (k, v, r))
    w = g.mul_mat(g.w(il, "time_mix_decay_w1"), xw)
    w = g.mul_mat(g.w(il, "time_mix_decay_w2"), g.unary("tanh", w))
    w = g.unary("exp", g.add(w, g.w(il, "time_mix_decay")))
    w = g.reshape(g.unary("exp", g.unary("neg", w)), head, n_head, n_tokens)
    if first is None:
        k = g.sub(k, g.mul(k, w))
        out = g.reshape(_scan(g, rs, il, "GATED_LINEAR_ATTN", k, k, v, r, w), n_embd, n_tokens)
    else:
        out = _normed_heads(g, il, _scan(g, rs, il, "RWKV_WKV6", k, k, v, r, first, w), head)
    out = g.mul_mat(g.w(il, "time_mix_output"), g.mul(out, gate))
    return g.reshape(out, n_embd, g.n_seq_tokens, g.n_seqs)


def _with_bias(g: Builder, il: int, name: str, x: Tensor) -> Tensor:
    t, bias = g.mul_mat(g.w(il, name), x), g.b(il, name)
    return t if bias is None else g.add(t, bias)


def _two(g: Builder, il: int, name: str, x: Tensor, between: str = "") -> Tensor:
    """Two narrow matrices, with a function between them."""
    t = g.mul_mat(g.w(il, f"time_mix_{name}1"), x)
    return g.mul_mat(g.w(il, f"time_mix_{name}2"), g.unary(between, t) if between else t)


def _time_mix_7(
    g: Builder, rs: RsInput, il: int, cur: Tensor, previous: Tensor, first_values: list[Tensor]
) -> Tensor:
    """Source: src/models/rwkv7-base.cpp, `build_rwkv7_time_mix`."""
    n_embd, n_tokens, head = g.n_embd, g.n_tokens, g.model.number("wkv.head_size")
    n_head = n_embd // head
    gated = g.opt(il, "time_mix_g1") is not None and g.opt(il, "time_mix_g2") is not None
    n_mixes = 6 if gated else 5
    change = g.repeat(g.sub(previous, cur), n_embd, g.n_seq_tokens, g.n_seqs, n_mixes)
    mix = g.add(g.mul(change, g.w(il, "time_mix_lerp_fused")), cur)
    size = n_embd * n_tokens * 4
    xr, xw, xk, xv, xa, *xg = (g.view_2d(mix, n_embd, n_tokens, n_embd * 4, i * size) for i in range(n_mixes))
    r = g.mul_mat(g.w(il, "time_mix_receptance"), xr)
    w = g.add(_two(g, il, "w", xw, "tanh"), g.w(il, "time_mix_w0"))
    w = g.unary("exp", g.scale(g.unary("sigmoid", w)))
    k = g.mul_mat(g.w(il, "time_mix_key"), xk)
    v = _value_7(g, il, xv, first_values)
    a = g.unary("sigmoid", g.add(_two(g, il, "a", xa), g.w(il, "time_mix_a0")))
    kk = g.l2_norm(g.reshape(g.mul(k, g.w(il, "time_mix_k_k")), head, n_head, n_tokens))
    ka = g.mul(k, g.w(il, "time_mix_k_a"))
    k = g.add(k, g.sub(g.mul(a, ka), ka))
    r, w, k, v, a = (g.reshape(t, head, n_head, n_tokens) for t in (r, w, k, v, a))
    out = _scan(g, rs, il, "RWKV_WKV7", k, r, w, k, v, g.unary("neg", kk), g.mul(kk, a))
    out = _normed_heads(g, il, out, head)
    rk = g.mul(g.mul(k, r), g.reshape(g.w(il, "time_mix_r_k"), head, n_head))
    out = g.add(out, g.reshape(g.mul(v, g.sum_rows(rk)), n_embd, n_tokens))
    if gated:
        out = g.mul(out, _two(g, il, "g", xg[0], "sigmoid"))
    out = g.mul_mat(g.w(il, "time_mix_output"), out)
    return g.reshape(out, n_embd, g.n_seq_tokens, g.n_seqs)


def _value_7(g: Builder, il: int, x: Tensor, first_values: list[Tensor]) -> Tensor:
    """Values of a layer, mixed with those of the first."""
    v = g.mul_mat(g.w(il, "time_mix_value"), x)
    if not first_values:
        first_values.append(v)
        return v
    share = g.unary("sigmoid", g.add(_two(g, il, "v", x), g.w(il, "time_mix_v0")))
    return g.add(v, g.mul(g.sub(first_values[0], v), share))
