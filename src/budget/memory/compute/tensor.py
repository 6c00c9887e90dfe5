"""A tensor of a compute graph: shape, type, operation, sources; and ggml's rules about strides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from budget.gguf.types import GGMLType

if TYPE_CHECKING:
    from budget.memory.compute.allocator import DynAllocator

Shape = tuple[int, int, int, int]
Strides = tuple[int, int, int, int]

VIEW_OPS = frozenset({"VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE"})
"""Operations that own no memory and are never scheduled (ggml-backend.cpp, `ggml_is_view_op`)."""


class Tensor:
    """One tensor. Plain slots, since a graph has thousands and is built inside searches."""

    __slots__ = (
        "addr", "alloc", "backend", "buft", "chunk", "is_input", "is_output", "is_weight", "n_children", "n_views",
        "name", "nb", "ne", "op", "owned", "param", "size", "src", "type", "uses", "view_offs", "view_src",
        "visited",
    )  # fmt: skip

    alloc: DynAllocator
    """Who placed it; with `chunk`, `addr` and `size` only meaningful while it is owned or was."""
    chunk: int
    addr: int
    size: int
    """Bytes, alignment included."""

    def __init__(self, op: str, type_: GGMLType, ne: Shape, src: list[Tensor], name: str = "") -> None:
        self.op = op
        """ggml op; `NONE` for leaves."""
        self.type = type_
        self.ne = ne
        self.nb: Strides | None = None
        """Bytes per dimension; None while the tensor is contiguous."""
        self.src = src
        self.name = name
        self.view_src: Tensor | None = None
        """The root tensor this one is a view of, never a view itself."""
        self.view_offs = 0
        self.buft = -1
        """Buffer type of a tensor that is allocated before the graph (weight, cache), or -1."""
        self.is_weight = False
        self.is_input = False
        self.is_output = False
        self.backend = -1
        """Index of the backend that runs it; -1 while unassigned."""
        self.param: str | int = ""
        """The operation's own argument where a rule depends on it, such as the name of a unary function."""
        self.visited = False
        self.uses = 0
        """How often nodes of the graph have it as a source."""
        self.owned = False
        """The allocator holds memory for it now."""
        self.n_children = 0
        self.n_views = 0

    def __repr__(self) -> str:
        return f"{self.op}({self.name} {self.type.name} {self.ne})"


def strides(t: Tensor) -> Strides:
    """Bytes to the next element of each dimension."""
    if t.nb is not None:
        return t.nb
    ne, type_ = t.ne, t.type
    nb1 = type_.block_bytes * (ne[0] // type_.block_elems)
    nb2 = nb1 * ne[1]
    return (type_.block_bytes, nb1, nb2, nb2 * ne[2])


def nbytes(t: Tensor) -> int:
    """Bytes that `t` spans.

    Source: ggml.c, `ggml_nbytes`.
    """
    ne, nb = t.ne, t.nb
    if ne[0] <= 0 or ne[1] <= 0 or ne[2] <= 0 or ne[3] <= 0:
        return 0
    type_ = t.type
    if nb is None:
        return type_.block_bytes * (ne[0] // type_.block_elems) * ne[1] * ne[2] * ne[3]
    rest = (ne[1] - 1) * nb[1] + (ne[2] - 1) * nb[2] + (ne[3] - 1) * nb[3]
    if type_.block_elems == 1:
        return type_.block_bytes + (ne[0] - 1) * nb[0] + rest
    return ne[0] * nb[0] // type_.block_elems + rest


def nelements(t: Tensor) -> int:
    ne = t.ne
    return ne[0] * ne[1] * ne[2] * ne[3]


def row_size(type_: GGMLType, n: int) -> int:
    """Bytes of `n` elements in a row, cut down to whole blocks as ggml_row_size does."""
    return type_.block_bytes * n // type_.block_elems


def is_contiguous(t: Tensor, from_dim: int = 0) -> bool:
    """Whether the dimensions above `from_dim` follow each other without gaps.

    Source: ggml.c, `ggml_is_contiguous_n`; 0 is ggml_is_contiguous, 1 is ggml_is_contiguous_1.
    """
    nb = t.nb
    if nb is None:
        return True
    ne, type_ = t.ne, t.type
    step = type_.block_bytes
    if ne[0] != type_.block_elems and nb[0] != step:
        return False
    step *= ne[0] // type_.block_elems
    for i in (1, 2, 3):
        if ne[i] == 1:
            continue
        if i > from_dim:
            if nb[i] != step:
                return False
            step *= ne[i]
        else:
            step = ne[i] * nb[i]
    return True


def is_contiguous_rows(t: Tensor) -> bool:
    """Source: ggml.c, `ggml_is_contiguous_rows`."""
    return t.nb is None or t.ne[0] == t.type.block_elems or t.nb[0] == t.type.block_bytes
