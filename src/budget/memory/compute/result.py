"""What the compute replay answers."""

from __future__ import annotations

from typing import Literal

from budget.record import record


@record
class LiveTensor:
    """A tensor that is alive at the peak of a buffer."""

    name: str
    op: str
    ne: tuple[int, ...]
    size_bytes: int


@record
class ComputeBuffers:
    """Compute buffer of each buffer type."""

    bytes_by_buffer: dict[str, int]
    """Buffer type name (`CUDA0`, `CUDA_Host`, `CPU`) to bytes."""
    flash_attn: bool
    """Flash attention after `auto` is resolved."""
    basis: Literal["exact", "formula", "estimate"]
    n_copies: int = 1
    live_at_peak: dict[str, tuple[LiveTensor, ...]] | None = None
    """Filled only when asked for."""
    note: str | None = None
    """Why the basis is not `exact`."""
