"""ggml's scheduler, replayed: which backend runs each node, where the graph is split, and what is copied between.

Source: ggml-backend.cpp, `ggml_backend_sched_split_graph`.
"""

from __future__ import annotations

from budget.errors import UsageError
from budget.memory.buffer_types import OFFLOAD_MIN_BATCH
from budget.memory.compute.fusion import Deps, alloc_deps
from budget.memory.compute.profiles import Backend
from budget.memory.compute.tensor import VIEW_OPS, Tensor, strides
from budget.record import record

MAX_SRC = 10
"""ggml.h, GGML_MAX_SRC: a dependency node keeps at most this many tensors alive."""
N_COPIES = 4
"""ggml-backend.cpp, GGML_SCHED_MAX_COPIES: copies of every input with pipeline parallelism."""
_NOT_BY_WEIGHT = frozenset({"ROPE", "FLASH_ATTN_EXT"})
"""Operations whose weights are too small to decide where they run."""


@record(frozen=False, kw_only=False)
class Split:
    """A run of nodes on one backend."""

    backend: int
    start: int
    end: int
    inputs: list[Tensor]


@record(frozen=False, kw_only=False)
class Schedule:
    """A split graph, ready for the allocator."""

    nodes: list[Tensor]
    leafs: list[Tensor]
    splits: list[Split]


class Scheduler:
    """Assigns one graph. `buft_backends[b]` are the backends that can use memory of buffer type `b`."""

    def __init__(
        self, backends: tuple[Backend, ...], buft_backends: tuple[tuple[int, ...], ...], *, op_offload: bool
    ) -> None:
        self.backends = backends
        self.buft_backends = buft_backends
        self.cpu = len(backends) - 1
        self.offload_bufts: frozenset[int] = frozenset()
        """Buffer types in host memory whose weights may be copied for one operation."""
        self.op_offload = op_offload and len(backends) > 1

    # --- assignment

    def assign(self, nodes: list[Tensor], leafs: list[Tensor]) -> None:
        """Passes 1 to 4: set `backend` of every tensor."""
        for leaf in leafs:
            if leaf.buft >= 0:
                leaf.backend = self.buft_backends[leaf.buft][0]
            elif leaf.is_input:
                leaf.backend = self.cpu
        work = [t for t in nodes if t.op not in VIEW_OPS]
        if self.cpu == 0:
            for t in nodes:
                t.backend = 0
            for t in leafs:
                t.backend = 0
            return
        self._from_weights(nodes)
        self._spread(work)
        self._most_inputs(work)
        self._rest(nodes)

    def _from_weights(self, nodes: list[Tensor]) -> None:
        """Pass 1: what writes to allocated memory, then what has a weight."""
        buft_backends, backends, cpu = self.buft_backends, self.backends, self.cpu
        for t in nodes:
            if t.backend >= 0:
                continue
            root = t.view_src
            if root is not None and root.buft >= 0:
                t.backend = self._supporting(root.buft, t)
                if t.backend < 0:
                    raise UsageError(f"llama.cpp aborts: {t.op} on {root.name} cannot run where it lies")
                continue
            if t.op in _NOT_BY_WEIGHT:
                continue
            for s in t.src:
                if s.is_weight:
                    able = buft_backends[s.buft]
                    if len(able) == 1:
                        backend = able[0] if backends[able[0]].supports(t) else -1
                    else:
                        backend = self._supporting(s.buft, t)
                    if backend == cpu and self.op_offload and s.buft in self.offload_bufts:
                        backend = self._offloaded(t)
                    t.backend = backend
                    break

    def _supporting(self, buft: int, t: Tensor) -> int:
        for b in self.buft_backends[buft]:
            if self.backends[b].supports(t):
                return b
        return -1

    def _offloaded(self, t: Tensor) -> int:
        """The first device that takes an operation with a host weight, else the CPU."""
        ne = t.ne
        if t.op == "GET_ROWS":
            batch = 0
        elif t.op == "MUL_MAT":
            batch = ne[1]
        elif t.op in ("MUL_MAT_ID", "ROPE"):
            batch = ne[2]
        else:
            batch = ne[1] * ne[2] * ne[3]
        if batch >= OFFLOAD_MIN_BATCH:
            for backend in self.backends[: self.cpu]:
                if backend.offloads and backend.supports(t):
                    return backend.index
        return self.cpu

    def _spread(self, work: list[Tensor]) -> None:
        """Pass 2: neighbours take the backend of their neighbours; devices first, down then up."""
        n_left = sum(1 for t in work if t.backend < 0)
        for down, skip_cpu in ((True, True), (False, True), (True, False), (False, False)):
            if n_left == 0:
                return
            n_left = self._sweep(work if down else work[::-1], skip_cpu=skip_cpu)

    def _sweep(self, work: list[Tensor], *, skip_cpu: bool) -> int:
        cpu, backends = self.cpu, self.backends
        current, n_left = -1, 0
        supports = None
        for t in work:
            backend = t.backend
            if backend >= 0:
                if backend != current:
                    current = -1 if skip_cpu and backend == cpu else backend
                    supports = backends[current].supports if current >= 0 else None
            elif supports is not None and supports(t):
                t.backend = current
            else:
                n_left += 1
        return n_left

    def _most_inputs(self, work: list[Tensor]) -> None:
        """Pass 3: what is left goes where most of its sources can be used."""
        for t in work:
            if t.backend >= 0:
                continue
            best = -1
            for backend in self.backends:
                if not backend.supports(t):
                    continue
                n = sum(1 for s in t.src if self._placed(s) and self.usable(s, backend.index))
                if n > best:
                    best, t.backend = n, backend.index

    def _placed(self, s: Tensor) -> bool:
        return s.backend >= 0 or (s.view_src is not None and s.view_src.backend >= 0)

    def usable(self, t: Tensor, backend: int) -> bool:
        """Whether `backend` can read `t` where it lies.

        Source: ggml-backend.cpp, `ggml_backend_sched_buffer_supported`.
        """
        root = t.view_src
        buft = t.buft if root is None else root.buft
        if buft < 0:
            at = t.backend
            if at < 0 and root is not None:
                at = root.backend
            if at < 0:
                return False
            buft = self.backends[at].buft
        return backend in self.buft_backends[buft]

    def _rest(self, nodes: list[Tensor]) -> None:
        """Pass 4: views follow their root, leaves their first consumer."""
        for t in nodes:
            root = t.view_src
            if t.backend < 0 and root is not None:
                t.backend = root.backend
            for s in t.src:
                if s.backend < 0:
                    s.backend = s.view_src.backend if s.view_src is not None else t.backend
            if t.backend < 0:
                t.backend = next((b.index for b in self.backends if b.supports(t)), self.cpu)

    # --- splits

    def split(self, nodes: list[Tensor], leafs: list[Tensor], n_copies: int) -> Schedule:
        """Passes 5 and 6: splits, copies, and the graph as the allocator sees it."""
        if self.cpu == 0:
            return Schedule(nodes, leafs, [Split(0, 0, len(nodes), [])])
        copies: dict[tuple[int, int], list[Tensor]] = {}
        splits = self._splits(nodes, copies, n_copies)
        deps: Deps = {}
        for split in splits:
            if self.backends[split.backend].topk_deps:
                alloc_deps(nodes, split.start, split.end, deps)
        out = self._merged(nodes, splits, copies, deps)
        first = self._leaf_copies(leafs, splits, copies, n_copies) if n_copies > 1 else []
        return Schedule(out, first + leafs, splits)

    def _splits(
        self, nodes: list[Tensor], copies: dict[tuple[int, int], list[Tensor]], n_copies: int
    ) -> list[Split]:
        current = next((t.backend for t in nodes if t.op not in VIEW_OPS), self.cpu)
        split = Split(current, 0, 0, [])
        splits = [split]
        usable = self.usable
        for i, t in enumerate(nodes):
            if t.op in VIEW_OPS:
                continue
            if t.backend != current or (split.inputs and self._needs_other_weight(t, current)):
                split.end = i
                current = t.backend
                split = Split(current, i, 0, [])
                splits.append(split)
            src = t.src
            for j, s in enumerate(src):
                if s.backend != current and not usable(s, current):
                    key = (id(s), current)
                    made = copies.get(key)
                    if made is None:
                        made = copies[key] = [
                            _copy(s, current, pipeline=n_copies > 1) for _ in range(n_copies)
                        ]
                        split.inputs.append(s)
                    src[j] = made[0]
        split.end = len(nodes)
        return splits

    def _needs_other_weight(self, t: Tensor, current: int) -> bool:
        """A weight that must be copied starts a new split, so that the memory of the one before can be reused."""
        return any(s.is_weight and s.backend != current and not self.usable(s, current) for s in t.src)

    def _merged(
        self,
        nodes: list[Tensor],
        splits: list[Split],
        copies: dict[tuple[int, int], list[Tensor]],
        deps: Deps,
    ) -> list[Tensor]:
        out: list[Tensor] = []
        for split in splits:
            for s in split.inputs:
                out.append(_keeper([s], s.backend))
                out.append(copies[id(s), split.backend][0])
            if not deps:
                out += nodes[split.start : split.end]
                continue
            for t in nodes[split.start : split.end]:
                out.append(t)
                dep = deps.get(id(t))
                if dep is not None:
                    kept = dep[1]
                    out += [
                        _keeper(kept[k : k + MAX_SRC], split.backend) for k in range(0, len(kept), MAX_SRC)
                    ]
        return out

    def _leaf_copies(
        self,
        leafs: list[Tensor],
        splits: list[Split],
        copies: dict[tuple[int, int], list[Tensor]],
        n_copies: int,
    ) -> list[Tensor]:
        """With pipeline parallelism all copies are allocated first, and stay."""
        first: list[Tensor] = []
        for leaf in leafs:
            if leaf.is_input:
                leaf.is_output = True
                first.append(leaf)
                first += [_copy(leaf, leaf.backend, pipeline=True) for _ in range(n_copies - 1)]
        for split in splits:
            for s in split.inputs:
                first += copies[id(s), split.backend]
        return first


def _copy(t: Tensor, backend: int, *, pipeline: bool) -> Tensor:
    copy = Tensor("NONE", t.type, t.ne, [], t.name)
    # the copy of a view without gaps is as good a place for a result as any other tensor
    copy.nb = None if t.nb == strides(copy) else t.nb
    copy.backend = backend
    copy.is_input = copy.is_output = pipeline
    return copy


def _keeper(kept: list[Tensor], backend: int) -> Tensor:
    """A node that does nothing but keep its sources alive up to its place."""
    first = kept[0]
    t = Tensor("NONE", first.type, first.ne, list(kept), "")
    t.view_src = first.view_src or first
    t.backend = backend
    return t
