"""ggml's tensor types as blocks: the size of any tensor follows from this table."""

from __future__ import annotations

from budget.record import record


@record
class GGMLType:
    """One ggml type.

    Source: ggml.c, `type_traits`.
    """

    id: int
    """Number in a GGUF file."""
    name: str
    """Name as llama.cpp prints it, such as `q4_K`."""
    block_elems: int
    """Elements in one block."""
    block_bytes: int
    """Bytes of one block."""
    quantized: bool

    def row_bytes(self, n_elems: int) -> int:
        """Bytes of a row of `n_elems` elements.

        Raises:
            ValueError: the row is not a whole number of blocks.
        """
        n_blocks, rest = divmod(n_elems, self.block_elems)
        if rest:
            raise ValueError(f"{n_elems} elements is not a whole number of {self.name} blocks")
        return n_blocks * self.block_bytes

    def tensor_bytes(self, ne: tuple[int, ...]) -> int:
        """Bytes of a contiguous tensor of shape `ne` (innermost dimension first)."""
        size = self.row_bytes(ne[0])
        for n in ne[1:]:
            size *= n
        return size


_ROWS = (
    (0, "f32", 1, 4), (1, "f16", 1, 2), (2, "q4_0", 32, 18), (3, "q4_1", 32, 20), (6, "q5_0", 32, 22),
    (7, "q5_1", 32, 24), (8, "q8_0", 32, 34), (9, "q8_1", 32, 36), (10, "q2_K", 256, 84),
    (11, "q3_K", 256, 110), (12, "q4_K", 256, 144), (13, "q5_K", 256, 176), (14, "q6_K", 256, 210),
    (15, "q8_K", 256, 292), (16, "iq2_xxs", 256, 66), (17, "iq2_xs", 256, 74), (18, "iq3_xxs", 256, 98),
    (19, "iq1_s", 256, 50), (20, "iq4_nl", 32, 18), (21, "iq3_s", 256, 110), (22, "iq2_s", 256, 82),
    (23, "iq4_xs", 256, 136), (24, "i8", 1, 1), (25, "i16", 1, 2), (26, "i32", 1, 4), (27, "i64", 1, 8),
    (28, "f64", 1, 8), (29, "iq1_m", 256, 56), (30, "bf16", 1, 2), (34, "tq1_0", 256, 54),
    (35, "tq2_0", 256, 66), (39, "mxfp4", 32, 17), (40, "nvfp4", 64, 36), (41, "q1_0", 128, 18),
    (42, "q2_0", 64, 18),
)  # fmt: skip
_PLAIN = frozenset({"f32", "f16", "bf16", "i8", "i16", "i32", "i64", "f64"})

TYPES: dict[int, GGMLType] = {
    i: GGMLType(id=i, name=name, block_elems=elems, block_bytes=size, quantized=name not in _PLAIN)
    for i, name, elems, size in _ROWS
}
"""Every type a GGUF file may hold at the validated commit, by number; removed numbers are absent."""

BY_NAME: dict[str, GGMLType] = {t.name: t for t in TYPES.values()}

F32 = BY_NAME["f32"]
F16 = BY_NAME["f16"]
I32 = BY_NAME["i32"]
I64 = BY_NAME["i64"]
