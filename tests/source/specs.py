"""A model small enough to be written and served whole."""

from __future__ import annotations

import ghost

SPEC = {
    "metadata": {"general.architecture": ["str", "llama"], "llama.block_count": ["u32", 1]},
    "tensors": [["token_embd.weight", [256, 64], "Q4_K"], ["output_norm.weight", [256], "F32"]],
}
MODEL = ghost.header_bytes(SPEC) + bytes(ghost.data_bytes(SPEC))
"""The file: header and data."""
BIG = ghost.header_bytes(SPEC, vocab=60_000) + bytes(ghost.data_bytes(SPEC))
"""With a vocabulary: a header of 2.4 MB."""


def part(*names, **metadata):
    """A spec with these tensors."""
    return {
        "metadata": SPEC["metadata"] | metadata,
        "tensors": [[name, [256], "F32"] for name in names],
    }
