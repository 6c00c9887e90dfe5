"""All of one model's memory, added up per buffer and per device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from budget.memory.placement import Placement
from budget.runtime.settings import ContextParams

Basis = Literal["exact", "formula", "estimate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """One llama.cpp buffer type and what it holds."""

    name: str
    """llama.cpp's name: `CUDA0`, `CUDA_Host`, `CPU`, `CPU_Mapped`, `CPU_REPACK`, ..."""
    device: str
    """Device whose memory it takes: `CUDA0`, `CPU`."""
    weights_bytes: int = 0
    context_bytes: int = 0
    compute_bytes: int = 0
    output_bytes: int = 0
    """Logits and embeddings handed to the caller; llama.cpp does not print it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What one model takes, and how each kind of number is known."""

    placement: Placement
    params: ContextParams
    flash_attn: bool
    """Flash attention after `auto` is resolved."""
    buffers: tuple[Buffer, ...]
    weights_basis: Basis
    context_basis: Basis
    compute_basis: Basis
    notes: tuple[str, ...] = ()
    """What is not known, or known to be refused, in sentences."""

    def device_bytes(self, device: str) -> int:
        """Bytes of every buffer on `device`."""
        return sum(
            b.weights_bytes + b.context_bytes + b.compute_bytes + b.output_bytes
            for b in self.buffers
            if b.device == device
        )
