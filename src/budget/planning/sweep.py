"""One question asked over a grid of settings: contexts, K/V types, offloaded layers, slots, micro-batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import count, product

from budget.errors import UnknownAnswerError, UsageError
from budget.memory.placement import Placement
from budget.planning.axes import FIELDS, NUMERIC, Value, Values, along, check_axes
from budget.planning.axis_values import context_ladder
from budget.planning.fit import Plan, Request, headroom_bytes, placement_of, plan
from budget.planning.grid import Point, Series, Sweep
from budget.planning.longest import context_limit, context_step, max_context, regain_bytes, with_context
from budget.runtime.settings import N_GPU_LAYERS_ALL, N_GPU_LAYERS_AUTO

_LAYERS: Mapping[Value, int] = {"all": N_GPU_LAYERS_ALL, "auto": N_GPU_LAYERS_AUTO}
"""Values of `ngl` that have names."""


def sweep(
    request: Request,
    axes: Mapping[str, tuple[Value, ...]],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Plan `request` at every point of the grid.

    Args:
        axes: axis to its values; without any numeric axis, contexts from 4096 to the trained one are added.
        progress: told how many points of how many are planned.

    Raises:
        UsageError: as `check_axes`.
    """
    if not any(name in axes for name in NUMERIC):
        axes = {"ctx": context_ladder(request.model.n_ctx_train), **axes}
    check_axes(axes)
    axis = along(axes)
    others = {name: values for name, values in axes.items() if name != axis}
    total = math.prod(map(len, axes.values()))
    done = count(1)

    def step() -> None:
        if progress is not None:
            progress(next(done), total)

    @cache
    def placed(ngl: Value | None) -> Placement | None:
        """Where the model lies: `place` reads of all that an axis changes only the offloaded layers."""
        return placement_of(request if ngl is None else _at(request, {"ngl": ngl}))

    series = tuple(
        _series(request, axis, axes[axis], dict(zip(others, fixed, strict=True)), placed, step)
        for fixed in product(*others.values())
    )
    return Sweep(axis=axis, axes=axes, series=series)


def _series(
    request: Request,
    axis: str,
    along_axis: Sequence[Value],
    fixed: Values,
    placed: Callable[[Value | None], Placement | None],
    step: Callable[[], None],
) -> Series:
    base = _at(request, fixed)
    refusal = _refusal(fixed, placed) if axis == "ctx" else None

    @cache
    def plan_at(value: Value) -> Plan:
        ngl = {axis: value, **fixed}.get("ngl")
        return plan(_at(base, {axis: value}), placement=placed(ngl))

    points = []
    for value in along_axis:
        values = {axis: value, **fixed}
        if refusal is None:
            points.append(_point(values, value, plan_at))
        else:
            points.append(Point(values=values, plan=None, problem=refusal, is_refused=True))
        step()
    found = Series(values=fixed, points=tuple(points))
    if axis != "ctx":
        return replace(found, nearest=_nearest(found))
    return found if refusal is not None else _searched(base, found, plan_at)


def _refusal(fixed: Values, placed: Callable[[Value | None], Placement | None]) -> str | None:
    """Why llama.cpp refuses to place the model, at any context."""
    try:
        placed(fixed.get("ngl"))
    except UsageError as e:
        return e.message
    return None


def _point(values: Values, value: Value, plan_at: Callable[[Value], Plan]) -> Point:
    try:
        return Point(values=values, plan=plan_at(value))
    except (UsageError, UnknownAnswerError) as e:
        return Point(values=values, plan=None, problem=e.message, is_refused=isinstance(e, UsageError))


def _searched(base: Request, found: Series, plan_at: Callable[[int], Plan]) -> Series:
    """With the largest context; where there is none, with the smallest."""
    try:
        low, high = _around(base, found)
        longest = max_context(base, low=low, limit=high, plan_at=plan_at)
        answer = plan_at(longest or context_step(base))
    except (UsageError, UnknownAnswerError):
        return found
    if longest is None:
        return replace(found, nearest=answer if answer.verdict == "does_not_fit" else None)
    is_trained = bool(base.model.n_ctx_train) and longest + context_step(base) > context_limit(base)
    best = Point(values={**found.values, "ctx": longest}, plan=answer)
    return replace(found, max_ctx=longest, best=best, max_is_trained=is_trained)


def _around(base: Request, found: Series) -> tuple[int | None, int]:
    """Between which contexts the largest one lies, by the points: one that fits, and one far too large or the limit."""
    step, limit = context_step(base), context_limit(base)
    plans = {
        n: p.plan
        for p in found.points
        if p.plan is not None and isinstance(n := p.values["ctx"], int) and n % step == 0 and n <= limit
    }
    low = max((n for n, answer in plans.items() if headroom_bytes(answer) >= 0), default=None)
    beyond = (n for n, answer in plans.items() if headroom_bytes(answer) < -regain_bytes(answer))
    return low, min((n for n in beyond if n > (low or 0)), default=limit)


def _nearest(found: Series) -> Plan | None:
    """Of points of which none fits, the one that falls short by least."""
    plans = [p.plan for p in found.points if p.plan is not None and p.verdict == "does_not_fit"]
    return max(plans, key=headroom_bytes) if plans and found.outcome == "does_not_fit" else None


def _at(request: Request, values: Values) -> Request:
    """The request with the settings of one point."""
    for axis, value in values.items():
        if axis == "ctx":
            request = with_context(request, int(value))
        else:
            changes = dict.fromkeys(FIELDS[axis], _LAYERS.get(value, value))
            request = replace(request, settings=replace(request.settings, **changes))  # type: ignore[arg-type]
    return request
