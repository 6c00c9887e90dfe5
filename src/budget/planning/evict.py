"""Which residents to unload so that a new model fits: the fewest, then the least bytes, then by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from budget.planning.fit import Plan, Request, plan
from budget.planning.residents import Live, Resident, beside, is_measured
from budget.planning.summary import unknown_answer
from budget.planning.usage import TOTAL, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """The smallest set of residents to unload."""

    residents: tuple[Resident, ...]
    """In the order they were given; empty where the model fits as it is."""
    plan: Plan
    """The new model once they are gone."""

    @property
    def freed_bytes(self) -> int:
        """What they claim together."""
        return sum(r.total_bytes for r in self.residents)


def evict(
    request: Request, residents: Sequence[Resident], *, live: Live | None = None, keep: Sequence[str] = ()
) -> Eviction | None:
    """The smallest set of `residents` without which `request` fits: fewest, then least bytes, then first by name.

    None where it does not fit even alone.

    Args:
        request: the new model, residents not counted in it.
        residents: what is loaded.
        live: what processes hold now.
        keep: residents that stay, by name.

    Raises:
        UnknownAnswerError: it is not known whether it fits alone.
    """
    candidates = sorted((r for r in residents if r.name not in keep), key=lambda r: r.name)
    answer = plan(beside(request, residents, live=live))
    if answer.fits:
        return Eviction(residents=(), plan=answer)
    alone = plan(beside(request, residents, live=live, without=[r.name for r in candidates]))
    if alone.verdict == "unknown":
        raise unknown_answer(alone)
    if not alone.fits:
        return None
    for names in _sets(request, answer, candidates, live):
        answer = plan(beside(request, residents, live=live, without=names))
        if answer.fits:
            gone = set(names)
            return Eviction(residents=tuple(r for r in residents if r.name in gone), plan=answer)
    return None


def _sets(
    request: Request, answer: Plan, candidates: Sequence[Resident], live: Live | None
) -> Iterator[tuple[str, ...]]:
    """Sets worth a plan, best first."""
    shared = any(d.unified for d in answer.layout.devices)  # one pool with RAM: a claim on either side counts
    if not shared and not _split_moves(answer):
        best = smallest_set(_deficits(answer), [_gain(request, r, live) for r in candidates])
        if best is not None:
            yield tuple(candidates[i].name for i in best)
        return
    for n in range(1, len(candidates) + 1):
        for some in sorted(combinations(candidates, n), key=lambda s: sum(r.total_bytes for r in s)):
            yield tuple(r.name for r in some)


def _split_moves(answer: Plan) -> bool:
    """Whether free memory decides which device holds what, so that unloading moves the new model's layers."""
    settings = answer.request.settings
    given = settings.tensor_split or settings.split_mode == "none"
    return len(answer.layout.devices) > 1 and not given


def _deficits(answer: Plan) -> dict[str, int]:
    """Bytes that each device still lacks, residents counted in full."""
    request = answer.request
    required = {d.name: d.required_bytes for d in answer.devices}
    pool = request.budget.combined_bytes
    if request.budget.mode == "combined" and pool is not None:
        free = pool - sum(request.used.values()) + sum(request.reclaim.values())
        return {TOTAL: sum(required.values()) - free}
    deficits = {}
    for device, need in required.items():
        cap = request.budget.cap(device)
        if isinstance(cap, int):
            deficits[device] = need - cap + request.used.get(device, 0) - request.reclaim.get(device, 0)
    return {device: lack for device, lack in deficits.items() if lack > 0 and required[device]}


def _gain(request: Request, resident: Resident, live: Live | None) -> dict[str, int]:
    """Bytes that unloading `resident` adds to each device."""
    if request.budget.mode == "combined":
        return {TOTAL: resident.total_bytes}
    held = (live or {}).get(resident.pid, {}) if resident.pid is not None else {}
    return {
        device: max(resident.usage.get(device, 0), held.get(device, 0))
        if is_measured(request.budget, device)
        else resident.usage.get(device, 0)
        for device in {*resident.usage, *held}
    }


def smallest_set(deficits: Usage, gains: Sequence[Usage]) -> tuple[int, ...] | None:
    """Indices of the fewest `gains` that cover every deficit; of those the least bytes, then the first indices.

    None where all together do not. Exact: branch and bound over sets of one size after the other.
    """
    if any(sum(g.get(d, 0) for g in gains) < lack for d, lack in deficits.items()):
        return None
    for n in range(len(gains) + 1):
        best = _best_of_size(n, dict(deficits), gains)
        if best is not None:
            return best
    return None


def _best_of_size(n: int, deficits: dict[str, int], gains: Sequence[Usage]) -> tuple[int, ...] | None:
    """Depth-first over increasing indices, dropping what cannot cover a deficit or beat the best so far."""
    totals = [sum(g.values()) for g in gains]
    devices = list(deficits)
    # reach[i][k][d]: the most that k of the gains from i on can add to device d
    reach = []
    for i in range(len(gains) + 1):
        tops = [sorted((g.get(d, 0) for g in gains[i:]), reverse=True)[:n] for d in devices]
        reach.append([[sum(top[:k]) for top in tops] for k in range(n + 1)])
    best: list[tuple[int, tuple[int, ...]]] = []

    def search(i: int, chosen: tuple[int, ...], size: int, lack: list[int]) -> None:
        left = n - len(chosen)
        if best and size + max(0, *lack) >= best[0][0]:
            return
        if left == 0:
            if all(x <= 0 for x in lack):
                best[:] = [(size, chosen)]
            return
        if len(gains) - i < left or any(x > r for x, r in zip(lack, reach[i][left], strict=True)):
            return
        gained = [x - gains[i].get(d, 0) for x, d in zip(lack, devices, strict=True)]
        search(i + 1, (*chosen, i), size + totals[i], gained)
        search(i + 1, chosen, size, lack)

    search(0, (), 0, [deficits[d] for d in devices])
    return best[0][1] if best else None
