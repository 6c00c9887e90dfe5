"""Attention blocks: projections, cache writes, flash attention and its plain form.

Source: llama-graph.cpp, `build_qkv`, `build_attn*`, `build_attn_mha`; llama-kv-cache.cpp, `cpy_k`, `get_k`, ...
"""

from __future__ import annotations

from budget.gguf.types import F16, F32
from budget.memory.compute.attention_inputs import AttentionInputs, AttnInput, KvInput
from budget.memory.compute.tensor import Tensor, nelements, row_size, strides


class Attention(AttentionInputs):
    """A graph with attention."""

    # --- query, key, value

    def qkv(
        self,
        il: int,
        cur: Tensor,
        *,
        head: int | None = None,
        head_v: int | None = None,
        head_k: int | None = None,
        n_head: int | None = None,
        n_head_kv: int | None = None,
        reshape: bool = True,
        clamp: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Projections of `cur`, fused or separate, with biases and scales where the file has them.

        Args:
            head: head size of Q, and of K and V where `head_k` and `head_v` are not given.
            reshape: heads become a dimension; False leaves rows (architectures that normalise whole rows).
            clamp: the architecture limits values (`attention.clamp_kqv`).

        Source: llama-graph.cpp, `build_qkv`.
        """
        hq = head if head is not None else self.n_embd_head_v
        hk = head_k if head_k is not None else hq
        hv = head_v if head_v is not None else hq
        nq = n_head if n_head is not None else self.model.n_head[il]
        nk = n_head_kv if n_head_kv is not None else self.model.n_head_kv[il]
        wqkv = self.opt(il, "attn_qkv")
        if wqkv is not None:
            return self._fused_qkv(il, cur, wqkv, (hq, hk, hv, nq, nk), reshape=reshape, clamp=clamp)
        out = []
        for name in ("attn_q", "attn_k", "attn_v"):
            t = self.mm(il, name, cur)
            bias = self.b(il, name)
            if bias is not None:
                t = self.add(t, bias)
            out.append(self.clamp(t) if reshape and clamp else t)
        q, k, v = out
        if reshape:
            n_tokens = self.n_tokens
            q = self.reshape(q, hq, nq, n_tokens)
            k = self.reshape(k, hk, nk, n_tokens)
            v = self.reshape(v, hv, nk, n_tokens)
        return q, k, v

    def _fused_qkv(
        self,
        il: int,
        cur: Tensor,
        wqkv: Tensor,
        sizes: tuple[int, int, int, int, int],
        *,
        reshape: bool,
        clamp: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        hq, hk, hv, nq, nk = sizes
        n_tokens = self.n_tokens
        qkv = self.lora_mm(wqkv, cur, self.s(il, "attn_qkv"), "attn_qkv")
        bias = self.b(il, "attn_qkv")
        if bias is None:
            bq, bk, bv = self.b(il, "attn_q"), self.b(il, "attn_k"), self.b(il, "attn_v")
            if bq is not None and bk is not None and bv is not None:
                bias = self.concat(self.concat(bq, bk, 0), bv, 0)
        if bias is not None:
            qkv = self.add(qkv, bias)
        if reshape and clamp:
            qkv = self.clamp(qkv)
        nb1 = strides(qkv)[1]
        k_offset, v_offset = 4 * hq * nq, 4 * (hq * nq + hk * nk)
        if reshape:
            return (
                self.view_3d(qkv, hq, nq, n_tokens, 4 * hq, nb1, 0),
                self.view_3d(qkv, hk, nk, n_tokens, 4 * hk, nb1, k_offset),
                self.view_3d(qkv, hv, nk, n_tokens, 4 * hv, nb1, v_offset),
            )
        return (
            self.cont(self.view_2d(qkv, hq * nq, n_tokens, nb1, 0)),
            self.cont(self.view_2d(qkv, hk * nk, n_tokens, nb1, k_offset)),
            self.cont(self.view_2d(qkv, hv * nk, n_tokens, nb1, v_offset)),
        )

    # --- cache

    def cpy_k(self, k_cur: Tensor, idxs: Tensor, cache: Tensor) -> Tensor:
        head, n_head, n_tokens, _ = k_cur.ne
        k_cur = self.view_2d(k_cur, head * n_head, n_tokens, strides(k_cur)[2])
        if cache.ne[2] > 1:
            cache = self.reshape(cache, head * n_head, cache.ne[1] * cache.ne[2])
        return self.set_rows(cache, k_cur, idxs)

    def cpy_v(self, v_cur: Tensor, idxs: Tensor, cache: Tensor) -> Tensor:
        head, n_head, n_tokens, _ = v_cur.ne
        width = head * n_head
        if not self.params.v_trans:
            v_cur = self.view_2d(v_cur, width, n_tokens, strides(v_cur)[2])
            if cache.ne[2] > 1:
                cache = self.reshape(cache, width, cache.ne[1] * cache.ne[2])
            return self.set_rows(cache, v_cur, idxs)
        if row_size(v_cur.type, width) == strides(v_cur)[2]:
            v_cur = self.reshape(v_cur, width, n_tokens)
        else:
            v_cur = self.cont(v_cur, width, n_tokens)
        if width < cache.ne[0]:
            v_cur = self.pad(v_cur, cache.ne[0] - width)
        view = self.reshape(cache, 1, nelements(cache))
        v_cur = self.reshape(v_cur, 1, nelements(v_cur))
        return self.set_rows(view, v_cur, idxs)

    def get_k(self, cache: Tensor, head: int, n_head: int, n_kv: int) -> Tensor:
        type_, (width, cells, n_stream, _) = cache.type, cache.ne
        row = row_size(type_, width)
        return self.view_4d(cache, head, n_head, n_kv, n_stream, row_size(type_, head), row, row * cells)

    def get_v(self, cache: Tensor, head: int, n_head: int, n_kv: int) -> Tensor:
        if not self.params.v_trans:
            return self.get_k(cache, head, n_head, n_kv)
        type_, (width, cells, n_stream, _) = cache.type, cache.ne
        return self.view_4d(
            cache, n_kv, n_head, head, n_stream,
            row_size(type_, cells * head), row_size(type_, cells), row_size(type_, cells * width),
        )  # fmt: skip

    # --- attention

    def attn(
        self,
        inp: AttnInput,
        il: int,
        q: Tensor,
        k: Tensor | None,
        v: Tensor | None,
        *,
        wo: Tensor | None = None,
        wo_name: str = "attn_output",
        wo_bias: bool = True,
        sinks: Tensor | None = None,
        kq_b: Tensor | None = None,
        v_mla: Tensor | None = None,
        cache_layer: int | None = None,
    ) -> Tensor:
        """One attention block with its output projection.

        Args:
            k, v: None where the layer reads the cache of another one (`cache_layer`).
            wo_name: weight of the output projection in block `il`; empty for none.
            wo_bias: whether the builder passes the bias.
            v_mla: the matrix that decompresses V after attention (MLA).

        Source: llama-graph.cpp, the overloads of `build_attn`.
        """
        is_swa = inp.swa is not None and self.model.is_swa[il]
        kv = inp.swa if is_swa and inp.swa is not None else inp.base
        cache_il = il if cache_layer is None else cache_layer
        if inp.kind == "none":
            for t in (q, k, v):
                if t is not None:
                    self.expand(t)
            cur = self.attn_mha(q, _present(k), _present(v), kv.mask, il, sinks=sinks, kq_b=kq_b, v_mla=v_mla)
        else:
            cur = self._attn_cached(inp, kv, il, cache_il, q, k, v, sinks=sinks, kq_b=kq_b, v_mla=v_mla)
        weight = wo if wo is not None else (self.opt(il, wo_name) if wo_name else None)
        if weight is not None:
            cur = self.lora_mm(weight, cur, self.s(il, wo_name) if wo_name else None, wo_name)
        bias = self.b(il, wo_name) if wo_name and wo_bias else None
        return cur if bias is None else self.add(cur, bias)

    def _attn_cached(
        self,
        inp: AttnInput,
        kv: KvInput,
        il: int,
        cache_il: int,
        q: Tensor,
        k: Tensor | None,
        v: Tensor | None,
        *,
        sinks: Tensor | None,
        kq_b: Tensor | None,
        v_mla: Tensor | None,
    ) -> Tensor:
        if kv.k_rot is not None:
            q = self.mul_mat_hadamard(q, kv.k_rot)
            k = None if k is None else self.mul_mat_hadamard(k, kv.k_rot)
        if kv.v_rot is not None and v is not None:
            v = self.mul_mat_hadamard(v, kv.v_rot)
        order = (q, k, v) if inp.kind in ("iswa", "k_iswa") else (q, v, k)
        for t in order:
            if t is not None:
                self.expand(t)
        k_cache = self.cache(f"cache_k_l{cache_il}")
        if k is not None:
            self.expand(self.cpy_k(k, kv.k_idxs, k_cache))
        head_k, head_v = self._head_sizes(il)
        n_head_kv = self.model.n_head_kv[cache_il]
        k_all = self.get_k(k_cache, head_k, n_head_kv, kv.n_kv)
        if inp.kind in ("k", "k_iswa"):
            ne, nb = k_all.ne, strides(k_all)
            v_all = self.view_4d(k_all, _present(v).ne[0], ne[1], ne[2], ne[3], nb[1], nb[2], nb[3])
        else:
            v_cache = self.cache(f"cache_v_l{cache_il}")
            if v is not None:
                self.expand(self.cpy_v(v, _present(kv.v_idxs), v_cache))
            v_all = self.get_v(v_cache, head_v, n_head_kv, kv.n_kv)
        cur = self.attn_mha(q, k_all, v_all, kv.mask, il, sinks=sinks, kq_b=kq_b, v_mla=v_mla)
        rot = kv.k_rot if inp.kind == "k_iswa" else kv.v_rot
        return cur if rot is None else self.mul_mat_hadamard(cur, rot)

    def _head_sizes(self, il: int) -> tuple[int, int]:
        m = self.model
        return (
            (m.n_embd_head_k_swa, m.n_embd_head_v_swa) if m.is_swa[il] else (m.n_embd_head_k, m.n_embd_head_v)
        )

    def attn_mha(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        il: int,
        *,
        sinks: Tensor | None = None,
        kq_b: Tensor | None = None,
        v_mla: Tensor | None = None,
    ) -> Tensor:
        """Source: llama-graph.cpp, `build_attn_mha`."""
        v_nb = strides(v)
        v_trans = v_nb[1] > v_nb[2]
        n_stream = k.ne[3]
        q_nb, q_ne = strides(q), q.ne
        per_stream = q_ne[2] // n_stream
        q = self.view_4d(q, q_ne[0], q_ne[1], per_stream, n_stream, q_nb[1], q_nb[2], q_nb[2] * per_stream)
        q = self.permute(q, 0, 2, 1, 3)
        k = self.permute(k, 0, 2, 1, 3)
        v = self.permute(v, 0, 2, 1, 3)
        if self.flash_attn and kq_b is None:
            cur = self._fattn(q, k, v, mask, il, sinks=sinks, v_mla=v_mla, v_trans=v_trans)
        else:
            cur = self._kqv(q, k, v, mask, sinks=sinks, kq_b=kq_b, v_mla=v_mla, v_trans=v_trans)
        return self.expand(cur)

    def _fattn(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, il: int, *,
        sinks: Tensor | None, v_mla: Tensor | None, v_trans: bool,
    ) -> Tensor:  # fmt: skip
        if v_trans:
            v = self.transpose(v)
        if k.type is F32:
            k = self.cast(k, F16)
        if v.type is F32:
            v = self.cast(v, F16)
        cur = self.flash_attn_ext(q, k, v, mask, sinks)
        self.fattn.append((cur, il))
        if v_mla is not None:
            cur = self.permute(cur, 0, 2, 1, 3)
            cur = self.mul_mat(v_mla, cur, "fattn_mla")
            cur = self.cont(self.permute(cur, 0, 2, 1, 3))
        return self.reshape(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3])

    def flash_attn_ext(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, sinks: Tensor | None
    ) -> Tensor:
        src = [s for s in (q, k, v, mask, sinks) if s is not None]
        t = Tensor("FLASH_ATTN_EXT", F32, (v.ne[0], q.ne[2], q.ne[1], q.ne[3]), src, "fattn")
        t.param = ("mask " if mask is not None else "") + ("alibi" if self.alibi else "")
        return t

    def _kqv(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *,
        sinks: Tensor | None, kq_b: Tensor | None, v_mla: Tensor | None, v_trans: bool,
    ) -> Tensor:  # fmt: skip
        kq = self.mul_mat(k, q, "kq")
        if self.arch == "grok":
            kq = self.scale(self.unary("tanh", self.scale(kq)))
        if self.attn_soft_cap:
            kq = self.scale(self.unary("tanh", self.scale(kq)))
        if kq_b is not None:
            kq = self.add(kq, kq_b)
        kq = self.soft_max(kq, mask, sinks, "kq_soft_max")
        if not v_trans:
            v = self.cont(self.transpose(v), name="v_cont")
        kqv = self.mul_mat(v, kq, "kqv")
        if v_mla is not None:
            kqv = self.mul_mat(v_mla, kqv, "kqv_mla")
        cur = self.permute(kqv, 0, 2, 1, 3)
        cur = self.cont(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3], name="kqv_merged")
        if not self.params.offload_kqv and self.shared.pin_norms:
            cur.backend = self.shared.n_backends - 1
        return cur


def _present(t: Tensor | None) -> Tensor:
    if t is None:
        raise ValueError("this kind of attention needs K and V")
    return t
