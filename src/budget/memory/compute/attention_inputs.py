"""Inputs of attention: where a batch is written to in each cache, what it may see there, and rotations.

Source: llama-graph.cpp, `build_attn_inp_*`; llama-kv-cache.cpp, `build_input_*`.
"""

from __future__ import annotations

from budget.gguf.types import F16, F32, I64
from budget.memory.compute.graph import Graph
from budget.memory.compute.tensor import Tensor
from budget.record import record


@record(frozen=False, kw_only=False)
class KvInput:
    """Inputs of one K/V cache."""

    k_idxs: Tensor
    v_idxs: Tensor | None
    """None for caches that keep only K."""
    mask: Tensor
    n_kv: int
    """Cells that attention reads: when a graph is reserved the cache counts as full."""
    k_rot: Tensor | None = None
    v_rot: Tensor | None = None


@record(frozen=False, kw_only=False)
class AttnInput:
    """Inputs of attention: the base cache, and the sliding-window cache where there is one."""

    base: KvInput
    swa: KvInput | None = None
    kind: str = "kv"
    """`kv iswa k k_iswa none`: which overload of build_attn it is for."""


class AttentionInputs(Graph):
    """A graph with inputs of attention."""

    def attn_inp_kv(self) -> AttnInput:
        return AttnInput(self._kv_input(self.n_kv("base")), kind="kv")

    def attn_inp_k(self) -> AttnInput:
        """A cache that keeps only K (MLA)."""
        return AttnInput(KvInput(self.k_idxs(), None, self.kq_mask(n := self.n_kv("base")), n), kind="k")

    def attn_inp_kv_iswa(self, *, rotate: bool = True) -> AttnInput:
        """Both caches; `rotate=False` for hybrid memories, which never rotate quantised heads."""
        base = self._kv_input(self.n_kv("base"), rotate=False)
        swa = self._kv_input(self.n_kv("swa"), rotate=False)
        if rotate:
            base.k_rot, base.v_rot = self.k_rot(), self.v_rot()
            swa.k_rot, swa.v_rot = self.k_rot(swa=True), self.v_rot(swa=True)
        return AttnInput(base, swa, kind="iswa")

    def attn_inp_kv_auto(self) -> AttnInput:
        """The kind of cache that the model has: for builders with a template over `iswa`."""
        return self.attn_inp_kv() if self.model.swa_type == "none" else self.attn_inp_kv_iswa()

    def attn_inp_no_cache(self) -> AttnInput:
        """No cache: the batch attends to itself."""
        n = self.n_tokens
        base = KvInput(self._no_tensor(), None, self._square_mask(), n)
        swa = None if self.model.swa_type == "none" else KvInput(base.k_idxs, None, self._square_mask(), n)
        return AttnInput(base, swa, kind="none")

    def _no_tensor(self) -> Tensor:
        return self.new(F32, 0)

    def _square_mask(self) -> Tensor:
        return self.input(F16 if self.flash_attn else F32, self.n_tokens, self.n_tokens, name="self_kq_mask")

    def n_kv(self, cache: str) -> int:
        """Cells per stream of the cache `base` or `swa`."""
        return self.shared.n_kv_swa if cache == "swa" else self.shared.n_kv

    def _kv_input(self, n_kv: int, *, rotate: bool = True) -> KvInput:
        k_idxs, v_idxs, mask = self.k_idxs(), self.v_idxs(), self.kq_mask(n_kv)
        return KvInput(
            k_idxs, v_idxs, mask, n_kv, self.k_rot() if rotate else None, self.v_rot() if rotate else None
        )

    def v_idxs(self) -> Tensor:
        n = self.n_tokens
        if self.params.v_trans:
            m = self.model
            heads = (m.n_embd_head_v_swa if swa else m.n_embd_head_v for swa in m.is_swa)
            n *= max(h * kv for h, kv in zip(heads, m.n_head_kv, strict=True))
        return self.input(I64, n, name="attn_inp_v_idxs")

    def k_rot(self, *, swa: bool = False, always: bool = False) -> Tensor | None:
        """The matrix that rotates heads before they are quantised.

        Source: llama-kv-cache.cpp, constructor (`attn_rot_k`) and `build_input_k_rot`.
        """
        m = self.model
        head = self._cached_head(m.n_embd_head_k_swa if swa else m.n_embd_head_k, swa=swa)
        first = m.n_embd_head_k_swa if m.is_swa[0] else m.n_embd_head_k
        rotates = head > 0 and self.params.type_k.quantized and first % 64 == 0
        if not (rotates or always):
            return None
        n = 128
        while head and head % n == 0:
            n *= 2
        return self.input(F32, n // 2, n // 2, name="attn_inp_k_rot")

    def v_rot(self, *, swa: bool = False) -> Tensor | None:
        m = self.model
        head = self._cached_head(m.n_embd_head_v_swa if swa else m.n_embd_head_v, swa=swa)
        first = m.n_embd_head_v_swa if m.is_swa[0] else m.n_embd_head_v
        if head > 0 and self.params.type_v.quantized and first % 64 == 0:
            return self.input(F32, 64, 64, name="attn_inp_v_rot")
        return None

    def _cached_head(self, head: int, *, swa: bool) -> int:
        """`head`, or 0 for a cache without layers."""
        layers = range(self.model.n_layer_all)
        return head if any(self.model.is_swa[il] == swa for il in layers) else 0
