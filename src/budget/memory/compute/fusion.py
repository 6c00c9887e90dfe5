"""Tensors that ggml-cuda keeps alive so that it can fuse mixture-of-experts operations.

Source: ggml-cuda/ggml-cuda.cu, `ggml_backend_cuda_graph_optimize`, `ggml_cuda_match_moe_weighted_reduction`,
`ggml_cuda_topk_moe_fusion`; ggml.c, `ggml_can_fuse_subgraph_ext`.
"""

from __future__ import annotations

from collections.abc import Sequence

from budget.memory.compute.tensor import Tensor, is_contiguous, strides

MAX_REDUCED_EXPERTS = 15
"""MOE_WEIGHTED_REDUCTION_MAX_EXPERTS."""
_EXTRA_EXPERT_COUNTS = frozenset({288, 576})
"""Expert counts that are no power of two and still have a top-k kernel (topk-moe.cu)."""
_STARTS = frozenset({"MUL", "SOFT_MAX", "UNARY", "ARGSORT"})
"""Operations that a fusion starts with."""

Deps = dict[int, tuple[Tensor, list[Tensor]]]
"""By id of the node until which they live: that node, and the tensors kept."""


def alloc_deps(nodes: list[Tensor], start: int, end: int, deps: Deps) -> None:
    """Add the dependencies of one split, nodes `start` to `end` of the graph."""
    i = start
    while i < end:
        fused = _fused(nodes, i, end) if nodes[i].op in _STARTS else None
        if fused is not None:
            kept, until, i = fused
            for t in kept:
                _keep(deps, t, until)
        i += 1


def _fused(nodes: list[Tensor], start: int, end: int) -> tuple[Sequence[Tensor], Tensor, int] | None:
    """What a fusion that starts there keeps, the node until which, and its last index; None where nothing fuses."""
    if nodes[start].op == "MUL":
        match = _weighted_reduction(nodes, start, end)
        return None if match is None else (match[0], nodes[match[1]], match[1])
    count = _top_k(nodes, start, end)
    if not count or start + count >= len(nodes):
        return None
    kept = [t for node in nodes[start : start + count] for t in (node, *node.src)]
    return kept, nodes[start + count], start + count - 1


def _keep(deps: Deps, t: Tensor, until: Tensor) -> None:
    _, kept = deps.setdefault(id(until), (until, []))
    if not any(k is t for k in kept):
        kept.append(t)


def _can_fuse(nodes: list[Tensor], start: int, count: int, outputs: Sequence[int], end: int) -> bool:
    """Whether nothing outside needs what the fused nodes make between them."""
    if start + count > end:
        return False
    group = nodes[start : start + count]
    for i, node in enumerate(group):
        if start + i in outputs:
            continue
        if node.is_output:
            return False
        uses = sum(1 for other in group[i + 1 :] for s in other.src if s is node)
        if uses != node.uses:
            return False
        root = node.view_src
        if root is not None and not root.is_weight and not any(n is root for n in group):
            return False
    return True


def _split_mul(mul: Tensor) -> tuple[Tensor, Tensor] | None:
    """(experts, one weight per expert and token) of a product, in either order."""
    a, b = mul.src
    for full, broadcast in ((a, b), (b, a)):
        if (
            full.ne == mul.ne
            and broadcast.ne[0] == 1
            and broadcast.ne[1:] == mul.ne[1:]
            and full.type.name == "f32"
            and broadcast.type.name == "f32"
            and is_contiguous(full)
            and is_contiguous(broadcast)
        ):
            return full, broadcast
    return None


def _weighted_reduction(nodes: list[Tensor], i: int, end: int) -> tuple[list[Tensor], int] | None:
    """The tensors that a weighted sum of experts keeps, and the number of its last node."""
    first = weighted = nodes[i]
    if first.ne[2] == 1 and first.ne[1] < 2:
        return None
    n_muls = 1
    kept: list[Tensor] = []
    if i + 1 < end and nodes[i + 1].op == "MUL":
        routed = _split_mul(nodes[i + 1])
        scaled = _split_mul(first)
        if routed is not None and routed[0] is first and scaled is not None:
            weighted, n_muls = nodes[i + 1], 2
            kept = [scaled[0], routed[1], scaled[1]]
    if not kept:
        parts = _split_mul(first)
        if parts is None:
            return None
        kept = [parts[0], parts[1]]
    n_used = weighted.ne[1]
    n_tokens = weighted.ne[2] * weighted.ne[3]
    if not 2 <= n_used <= MAX_REDUCED_EXPERTS or n_tokens <= 0:
        return None
    count = 2 * n_used + n_muls - 1
    if i + count > end or not _is_sum(nodes[i + n_muls : i + count], weighted, n_used, n_tokens):
        return None
    last = i + count - 1
    return (kept, last) if _can_fuse(nodes, i, count, (last,), end) else None


def _is_sum(group: list[Tensor], weighted: Tensor, n_used: int, n_tokens: int) -> bool:
    """One view per expert, and the additions that fold them from the first on."""
    nb = strides(weighted)
    views: list[Tensor] = []
    total: Tensor | None = None
    n_adds = 0
    for node in group:
        if node.op == "VIEW":
            n = len(views)
            if (
                n >= n_used
                or node.src[0] is not weighted
                or node.ne != (weighted.ne[0], n_tokens, 1, 1)
                or strides(node)[1] != nb[2]
                or node.view_offs != n * nb[1]
            ):
                return False
            views.append(node)
            continue
        if node.op != "ADD" or n_adds + 1 >= len(views):
            return False
        left = views[0] if total is None else total
        if node.src[0] is not left or node.src[1] is not views[n_adds + 1]:
            return False
        total = node
        n_adds += 1
    return len(views) == n_used and n_adds == n_used - 1


def _chain(nodes: list[Tensor], i: int, end: int, ops: Sequence[str]) -> bool:
    """Whether nodes from `i` on have these operations, each on the result of the one before."""
    if i + len(ops) > end:
        return False
    return all(nodes[i + k].op == op and nodes[i + k].src[0] is nodes[i + k - 1] for k, op in enumerate(ops))


def _top_k(nodes: list[Tensor], i: int, end: int) -> int:
    """Number of nodes of a fused choice of experts that starts at `i`, or 0."""
    gate = nodes[i]
    at = i
    if gate.op == "UNARY":
        if gate.param == "softplus" and _chain(nodes, i + 1, end, ("SQRT",)):
            at += 1
        elif gate.param != "sigmoid":
            return 0
    elif gate.op == "ARGSORT":
        return 0  # softmax after the choice is matched, but gets no dependencies
    elif gate.param != "plain" or not is_contiguous(gate.src[0]):
        return 0
    probs = nodes[at]
    at += 1
    if not _chain(nodes, at, end, ("RESHAPE",)):
        return 0
    reshaped = nodes[at]
    at += 1
    choice = probs
    if at < end and nodes[at].op == "ADD" and nodes[at].src[0] is probs:
        choice = nodes[at]
        at += 1
    if at >= end or nodes[at].op != "ARGSORT" or nodes[at].src[0] is not choice:
        return 0
    at += 1
    if not _chain(nodes, at, end, ("VIEW",)):
        return 0
    ids_at = at
    at += 1
    if (
        at >= end
        or nodes[at].op != "GET_ROWS"
        or nodes[at].src[0] is not reshaped
        or nodes[at].src[1] is not nodes[ids_at]
    ):
        return 0
    at += 1
    at = _norm_and_scale(nodes, at, end)
    ids = nodes[ids_at]
    nb = strides(ids)
    n_expert = nb[1] // nb[0]
    if (n_expert & (n_expert - 1) or n_expert > 512) and n_expert not in _EXTRA_EXPERT_COUNTS:
        return 0
    count = at - i
    return count if _can_fuse(nodes, i, count, (ids_at, at - 1), end) else 0


def _norm_and_scale(nodes: list[Tensor], at: int, end: int) -> int:
    """Position after the optional normalisation and scale of the weights."""
    if _chain(nodes, at, end, ("RESHAPE", "SUM_ROWS", "CLAMP")) and at + 4 < len(nodes):
        div, last = nodes[at + 3], nodes[at + 4]
        if (
            div.op == "DIV"
            and div.src[1] is nodes[at + 2]
            and div.src[0] is nodes[at]
            and last.op == "RESHAPE"
            and last.src[0] is div
        ):
            at += 5
    if at < len(nodes) and nodes[at].op == "SCALE" and nodes[at].src[0] is nodes[at - 1]:
        at += 1
    return at
