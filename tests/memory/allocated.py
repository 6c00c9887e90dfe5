"""A layout in the form in which llama.cpp's own print is recorded."""

from __future__ import annotations


def allocated(layout):
    """Bytes of weights, context and compute by buffer; n_ctx, n_ctx_seq, n_batch and n_ubatch; and every basis."""
    sums = {}
    for b in layout.buffers:
        sizes = (b.weights_bytes, b.context_bytes, b.compute_bytes)
        if any(sizes):
            sums[b.name] = [x + y for x, y in zip(sizes, sums.get(b.name, (0, 0, 0)), strict=True)]
    p = layout.params
    bases = {layout.weights_basis, layout.context_basis, layout.compute.basis}
    return sums, [p.n_ctx, p.n_ctx_seq, p.n_batch, p.n_ubatch], bases
