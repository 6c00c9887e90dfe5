"""ggml's graph allocator, replayed on sizes alone.

Source: ggml-alloc.c, `ggml_dyn_tallocr_*` (free blocks inside chunks) and `ggml_gallocr_alloc_graph_impl` (which
tensor lives when).
"""

from __future__ import annotations

from collections.abc import Callable

from budget.memory.compute.tensor import Tensor

UNLIMITED = (1 << 63) - 1
"""SIZE_MAX / 2 of a 64-bit build: a buffer type without a largest allocation."""
MAX_CHUNKS = 16
"""ggml-alloc.c, GGML_VBUFFER_MAX_CHUNKS; the last one has no limit."""
IN_PLACE_OPS = frozenset(
    "FILL SCALE DIAG_MASK_ZERO DIAG_MASK_INF ADD ADD_ID ADD1 SUB MUL DIV SQR SQRT LOG UNARY ROPE ROPE_BACK SILU_BACK "
    "RMS_NORM RMS_NORM_BACK CLAMP SOFT_MAX SOFT_MAX_BACK".split()
)
"""Operations that may write over a source (ggml-alloc.c, `ggml_op_can_inplace`)."""


class Chunk:
    """One buffer: its free blocks in address order, and how far it was ever used."""

    __slots__ = ("high_water", "offsets", "sizes")

    def __init__(self, size: int) -> None:
        self.offsets = [0]
        self.sizes = [size]
        self.high_water = 0


class DynAllocator:
    """The dynamic allocator of one buffer type. Sizes are multiples of the alignment."""

    __slots__ = ("alignment", "alloc_size", "chunks", "clock", "max_chunk", "peak_at")

    def __init__(
        self, alignment: int, alloc_size: Callable[[Tensor], int], max_chunk: int | None = None
    ) -> None:
        self.alignment = alignment
        self.alloc_size = alloc_size
        """Bytes of a tensor in this buffer type, before alignment."""
        self.max_chunk = UNLIMITED if max_chunk is None else min(max_chunk, UNLIMITED)
        self.chunks: list[Chunk] = []
        self.clock = 0
        """Step of the replay, set by the caller that wants to know the peak."""
        self.peak_at = -1
        """Step at which the high-water mark last grew."""

    def total(self) -> int:
        """Bytes of the whole buffer."""
        return sum(c.high_water for c in self.chunks)

    def alloc(self, size: int) -> tuple[int, int]:
        """Place `size` bytes; (chunk, offset).

        The smallest sufficient hole wins, the later one on a tie, and a hole in a later chunk over one in an earlier
        chunk; the last free block of a chunk, which grows it, only when no hole is large enough.
        """
        chunks = self.chunks
        found_chunk = found = -1
        for c, chunk in enumerate(chunks):
            best = UNLIMITED * 2
            sizes = chunk.sizes
            for i in range(len(sizes) - 1):
                if size <= sizes[i] <= best:
                    found_chunk, found, best = c, i, sizes[i]
        if found < 0:
            found_chunk, found = self._last_block(size)
        chunk = chunks[found_chunk]
        offset = chunk.offsets[found]
        if chunk.sizes[found] == size:
            del chunk.offsets[found], chunk.sizes[found]
        else:
            chunk.offsets[found] = offset + size
            chunk.sizes[found] -= size
        if offset + size > chunk.high_water:
            chunk.high_water = offset + size
            self.peak_at = self.clock
        return found_chunk, offset

    def _last_block(self, size: int) -> tuple[int, int]:
        """The last block of the chunk that grows least, or fits tightest; else a new chunk."""
        found_chunk = found = -1
        best_reuse: int | None = None
        for c, chunk in enumerate(self.chunks):
            if not chunk.sizes:
                continue
            last = len(chunk.sizes) - 1
            reuse = chunk.high_water - chunk.offsets[last] - size
            if best_reuse is None or best_reuse < 0:
                better = best_reuse is None or reuse > best_reuse
            else:
                better = 0 <= reuse < best_reuse
            if chunk.sizes[last] >= size and better:
                found_chunk, found, best_reuse = c, last, reuse
        if found >= 0:
            return found_chunk, found
        if len(self.chunks) == MAX_CHUNKS - 1:
            self.chunks.append(Chunk(UNLIMITED))
        else:
            self.chunks.append(Chunk(max(size, self.max_chunk)))
        return len(self.chunks) - 1, 0

    def free(self, chunk_index: int, offset: int, size: int) -> None:
        """Give `size` bytes back, merged with a free neighbour."""
        chunk = self.chunks[chunk_index]
        offsets, sizes = chunk.offsets, chunk.sizes
        end = offset + size
        n = len(offsets)
        for i in range(n):
            block = offsets[i]
            if block + sizes[i] == offset:
                sizes[i] += size
                if i + 1 < n and block + sizes[i] == offsets[i + 1]:
                    sizes[i] += sizes[i + 1]
                    del offsets[i + 1], sizes[i + 1]
                return
            if end == block:
                offsets[i] = offset
                sizes[i] += size
                if i > 0 and offsets[i - 1] + sizes[i - 1] == offset:
                    sizes[i - 1] += sizes[i]
                    del offsets[i], sizes[i]
                return
        at = 0
        while at < n and offsets[at] < offset:
            at += 1
        offsets.insert(at, offset)
        sizes.insert(at, size)


def allocate(
    nodes: list[Tensor], leafs: list[Tensor], allocators: list[DynAllocator], *, stop_at: int | None = None
) -> None:
    """Replay the allocation of a split graph.

    Args:
        nodes: in execution order, with `backend` set; dependency nodes (op `NONE`, a view, with sources) included.
        leafs: allocated first, in order.
        allocators: one per backend; backends with the same buffer type share one.
        stop_at: end before the sources of node number `stop_at` are released, to see what is alive there.

    Source: ggml-alloc.c, `ggml_gallocr_alloc_graph_impl`.
    """
    if any(t.owned or t.n_children for t in leafs):
        _reset(nodes, leafs)
    for leaf in leafs:
        if not leaf.owned and leaf.buft < 0 and leaf.view_src is None:
            _place(leaf, allocators[leaf.backend])
    for node in nodes:
        root = node.view_src
        if root is not None and node.op != "NONE":
            root.n_views += 1
        for s in node.src:
            s.n_children += 1
    in_place_ops = IN_PLACE_OPS
    watch = stop_at is not None or any(a.clock for a in allocators)
    for number, node in enumerate(nodes):
        if watch:
            for a in allocators:
                a.clock = number
        if node.view_src is None and not node.owned and node.buft < 0:
            if node.op in in_place_ops:
                _place_node(node, allocators)
            else:
                _place(node, allocators[node.backend])
        if number == stop_at:
            return
        for s in node.src:
            s.n_children -= 1
            if s.n_children == 0 and s.n_views == 0:
                root = s.view_src
                if root is not None:
                    root.n_views -= 1
                    if root.n_views == 0 and root.n_children == 0 and root.owned and not root.is_output:
                        root.alloc.free(root.chunk, root.addr, root.size)
                        root.owned = False
                elif s.owned and not s.is_output:
                    s.alloc.free(s.chunk, s.addr, s.size)
                    s.owned = False


def _reset(nodes: list[Tensor], leafs: list[Tensor]) -> None:
    for t in leafs:
        t.n_children = t.n_views = 0
        t.owned = False
    for t in nodes:
        t.n_children = t.n_views = 0
        t.owned = False
        root = t.view_src
        if root is not None:
            root.n_children = root.n_views = 0
            root.owned = False
        for s in t.src:
            s.n_children = s.n_views = 0
            s.owned = False


def _place(t: Tensor, allocator: DynAllocator) -> None:
    alignment = allocator.alignment
    size = (allocator.alloc_size(t) + alignment - 1) // alignment * alignment
    t.chunk, t.addr = allocator.alloc(size)
    t.size = size
    t.alloc = allocator
    t.owned = True


def _place_node(node: Tensor, allocators: list[DynAllocator]) -> None:
    """In the place of a source that dies here, or in a place of its own.

    Source: ggml-alloc.c, `ggml_gallocr_allocate_node`, `ggml_gallocr_free_extra_space`.
    """
    type_, ne, nb = node.type, node.ne, node.nb
    for parent in node.src:
        if (
            parent.owned
            and parent.n_children == 1
            and parent.n_views == 0
            and parent.ne == ne
            and parent.type is type_
            and parent.nb == nb
            and not parent.is_output
        ):
            node.alloc = allocator = parent.alloc
            node.chunk, node.addr = parent.chunk, parent.addr
            alignment = allocator.alignment
            size = (allocator.alloc_size(node) + alignment - 1) // alignment * alignment
            node.size = size
            node.owned = True
            parent.owned = False
            if parent.size > size:
                allocator.free(parent.chunk, parent.addr + size, parent.size - size)
            return
    _place(node, allocators[node.backend])
