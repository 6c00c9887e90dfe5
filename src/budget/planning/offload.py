"""Which weights go on GPUs when not all fit: layers to devices, experts and single tensors to the host.

The sizes of layers and tensors are known before any plan is made; what is not is how the compute buffers answer.
So a packing is solved with the compute buffers of the last plan, planned exactly, and solved again with what the
plan says, until it fits; then what a plan leaves free is filled. Every result is a full plan that fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from budget.memory.layout import HOST, Layout
from budget.planning.exchange import exchange
from budget.planning.fit import Plan, Request, plan
from budget.planning.movable import Sizes, item_sizes
from budget.planning.packed_settings import packed_settings
from budget.planning.packing import ORDERS, Order, Packing, pack

MAX_SETTLING = 3
"""Plans until a packing fits: compute buffers settle after one or two."""
MAX_FILLING = 3
"""Plans that try to fill what is left."""
MORE_ON_HOST = (3, 6)
"""Further layers that are tried on the host whole: their K/V leaves the GPU and makes room for weights."""
HOST_SHARE = 8
"""At most one layer in so many is tried on the host beyond those that must be."""


def offload(request: Request, pinned: frozenset[str] = frozenset()) -> Plan | None:
    """The plan that puts most weights on GPUs within the budget; None if none fits.

    Args:
        request: its context, K/V types, batches and slots stay as they are.
        pinned: names of settings that must not change (`n_gpu_layers`, `tensor_split`, `tensor_buft_overrides`).
    """
    found = offloads(request, pinned)
    return max(found, key=lambda p: gpu_weight_bytes(p.layout)) if found else None


def offloads(
    request: Request, pinned: frozenset[str] = frozenset(), *, quick: bool = False, first: Plan | None = None
) -> list[Plan]:
    """Plans that fit, differing in what they leave on the host; empty if none does.

    The first one keeps as many whole layers on GPUs as possible; all after it hold more weights there.

    Args:
        request: as for `offload`.
        pinned: as for `offload`.
        quick: look at one order of hosting only, that of `-ncmoe`.
        first: the plan of `request`, or of one that differs in its context and K/V types only.
    """
    first = first or plan(request)
    if first.fits and first.request == request:
        return [first]
    placement = first.layout.placement
    fixed = {"n_gpu_layers", "tensor_split", "tensor_buft_overrides"} <= pinned
    if not placement.devices or placement.meta_devices or fixed or request.described is not None:
        return []
    search = _Search(request, first, pinned)
    search.run(quick=quick)
    if not search.found and "n_gpu_layers" not in pinned:
        return _on_host(request)
    return search.frontier()


def _on_host(request: Request) -> list[Plan]:
    """Everything on the host, which no packing tries where caches alone are too large for the devices."""
    answer = plan(replace(request, settings=replace(request.settings, n_gpu_layers=0, tensor_split=())))
    return [answer] if answer.fits else []


class _Search:
    """Packings of one request, each planned exactly."""

    def __init__(self, request: Request, first: Plan, pinned: frozenset[str]) -> None:
        self.request = request
        self.pinned = pinned
        self.sizes = item_sizes(request, first.layout)
        self.first = first
        self.found: list[tuple[Plan, Packing]] = []
        self.plans: dict[Packing, Plan] = {}

    def run(self, *, quick: bool) -> None:
        """Every order of hosting, then more layers on the host in the best of them."""
        movable = "tensor_buft_overrides" not in self.pinned and any(self.sizes.experts)
        orders: Sequence[Order] = _orders(self.sizes) if movable and not quick else ORDERS[:1]
        last = self.first, Packing(counts=(0,) * len(self.first.layout.placement.devices), hosted=frozenset())
        best: tuple[int, Order, tuple[Plan, Packing]] | None = None
        for order in orders:
            settled = self.settle(order, last, 0)
            if settled is None:
                continue
            last = settled
            size = gpu_weight_bytes(last[0].layout)
            if best is None or size > best[0]:
                best = (size, order, settled)
        if best is None or "n_gpu_layers" in self.pinned or not movable or quick:
            return
        _, order, last = best
        n_layers = len(self.sizes.fixed)
        start = n_layers - sum(last[1].counts)
        for more in MORE_ON_HOST:
            if more * HOST_SHARE > n_layers:
                break
            self.settle(order, last, start + more)

    def settle(self, order: Order, last: tuple[Plan, Packing], at_least: int) -> tuple[Plan, Packing] | None:
        """Pack and plan until the compute buffers that the packing counted are those that the plan has."""
        around, copied = _around(last[0]), last[1].largest_hosted
        for _ in range(MAX_SETTLING):
            packing = self.pack(order, last[0], around, at_least)
            if packing is not None and packing.largest_hosted != copied:
                # the first device copies the largest tensor of the host (ggml-backend.cpp, `op_offload`)
                around[0] += packing.largest_hosted - copied
                copied = packing.largest_hosted
                packing = self.pack(order, last[0], around, at_least) or packing
            if packing is None:
                return None
            known = packing in self.plans
            answer = self.plan(packing)
            if answer.fits:
                settled = self.fill(answer, packing)
                self.found.append(settled)
                return settled
            copied = packing.largest_hosted
            around = [
                n if n > a and not known else a + max(0, -(r or 0))
                for n, a, r in zip(_around(answer), around, _headroom(answer), strict=True)
            ]
        return None

    def pack(self, order: Order, last: Plan, around: Sequence[int], at_least: int) -> Packing | None:
        """The packing that leaves `around` bytes per device to compute buffers and overhead."""
        rooms = self.rooms(last, around)
        return pack(self.request, self.sizes, rooms, order, self.pinned, at_least=at_least)

    def fill(self, answer: Plan, packing: Packing) -> tuple[Plan, Packing]:
        """Give back to each device what its free bytes hold, then let some tensors change places."""
        if "tensor_buft_overrides" in self.pinned:
            return answer, packing
        margins = [0] * len(packing.counts)
        seen: set[Packing] = set()
        for _ in range(MAX_FILLING):
            rooms = [(r or 0) - m for r, m in zip(_headroom(answer), margins, strict=True)]
            tried = exchange(self.sizes, packing, rooms)
            if tried == packing or tried in seen:
                break
            seen.add(tried)
            next_answer = self.plan(tried)
            if next_answer.fits:
                answer, packing, margins = next_answer, tried, [0] * len(margins)
                continue
            # the compute buffers grew: ask for less
            grown = zip(_around(next_answer), _around(answer), strict=True)
            margins = [max(m, new - old, 0) for m, (new, old) in zip(margins, grown, strict=True)]
        return answer, packing

    def plan(self, packing: Packing) -> Plan:
        """The exact plan of a packing."""
        if packing not in self.plans:
            settings = packed_settings(self.request, packing, self.sizes.experts, self.pinned)
            self.plans[packing] = plan(replace(self.request, settings=settings))
        return self.plans[packing]

    def rooms(self, last: Plan, around: Sequence[int]) -> list[int]:
        """Bytes per device for weights and caches: the cap less reserve, and compute buffers with overhead."""
        rooms = []
        for device, n in zip(last.layout.placement.devices, around, strict=True):
            row = next(d for d in last.devices if d.name == device.name)
            cap = row.available_bytes
            if cap is None:
                cap = device.total_bytes if device.total_bytes is not None else 1 << 62
            rooms.append(cap - n - row.reserve_bytes - row.extras_bytes)
        pool = self.request.budget.combined_bytes
        if pool is not None:
            host = next(d for d in last.devices if d.name == HOST)
            rooms = [min(room, pool - host.compute_bytes - host.output_bytes) for room in rooms]
        return rooms

    def frontier(self) -> list[Plan]:
        """Most layers on devices first; of the others only those with more weights on devices than all before."""
        n_layers = len(self.sizes.fixed)
        ordered = sorted(
            self.found, key=lambda f: (n_layers - sum(f[1].counts), -gpu_weight_bytes(f[0].layout))
        )
        result: list[Plan] = []
        for answer, _ in ordered:
            if not result or gpu_weight_bytes(answer.layout) > gpu_weight_bytes(result[-1].layout):
                result.append(answer)
        return result


def _orders(sizes: Sizes) -> Sequence[Order]:
    """The orders worth trying: with tensors of one size, the smallest first is any order."""
    different = len({item.largest for items in sizes.experts for item in items}) > 1
    return ORDERS if different else ORDERS[:1]


def _around(answer: Plan) -> list[int]:
    """What each device of the placement holds beside weights and caches: compute buffers and overhead, bytes."""
    by_name = {d.name: d.compute_bytes + d.overhead_bytes for d in answer.devices}
    return [by_name[d.name] for d in answer.layout.placement.devices]


def _headroom(answer: Plan) -> list[int | None]:
    by_name = {d.name: d.headroom_bytes for d in answer.devices}
    return [by_name[d.name] for d in answer.layout.placement.devices]


def gpu_weight_bytes(layout: Layout) -> int:
    """Bytes of weights that are not in host memory."""
    return sum(b.weights_bytes for b in layout.buffers if b.device != HOST)
