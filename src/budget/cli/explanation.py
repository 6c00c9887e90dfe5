"""What keeps the largest context from being longer, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from budget.planning.fit import Request, plan
from budget.planning.longest import N_CTX_MOST, context_limit, context_step, with_context
from budget.planning.summary import required_on
from budget.units import format_count, format_size

if TYPE_CHECKING:
    from fractions import Fraction

    from budget.planning.ceiling import AutoContext


def explain_longest(request: Request, n_ctx: int) -> str:
    """Why no more than `n_ctx` tokens fit, the largest context of `request`."""
    step = context_step(request)
    if n_ctx + step > N_CTX_MOST:
        return f"{format_count(n_ctx)} tokens are the most that -c takes; memory would allow more"
    if plan(with_context(request, n_ctx + step)).fits:
        return f"{_trained(request, n_ctx)}; memory would allow more (--beyond-trained)"
    return _memory(request, n_ctx)


def explain_chosen(request: Request, chosen: AutoContext, *, share: Fraction, align: str) -> str:
    """Why `chosen` is no longer.

    Args:
        request: what was asked, with its whole budget.
        chosen: its context, which fits.
        share: `--utilization`.
        align: `--align` as it was given.
    """
    from budget.planning.ceiling import share_of
    from budget.record import replace

    inside, of = chosen.n_ctx_memory, f" (--utilization {float(share):g})" if share != 1 else ""
    if chosen.chosen_by == "floor":
        fitting = format_count(inside) if inside else "none"
        return f"{format_count(chosen.n_ctx)} tokens are what --floor asks for; {fitting} would fit otherwise{of}"
    trained, step = context_limit(request), context_step(request)
    ceiling = min(request.settings.n_ctx or trained, trained)
    if inside < ceiling // step * step:
        reached = inside
        text = _memory(replace(request, budget=share_of(request.budget, share)), reached) + of
    else:
        reached = ceiling
        is_asked = ceiling < trained
        text = (
            f"{format_count(ceiling)} tokens are what -c asks for" if is_asked else _trained(request, ceiling)
        )
    if chosen.n_ctx == reached:
        return text
    return f"{text}; {format_count(chosen.n_ctx)} is the largest multiple of {align} below (--align)"


def _trained(request: Request, n_ctx: int) -> str:
    if not request.model.n_ctx_train:
        return f"{format_count(n_ctx)} tokens are the most that -c takes"
    each = format_count(request.model.n_ctx_train)
    return f"{format_count(n_ctx)} tokens are what the model was trained with ({each} for each stream)"


def _memory(request: Request, n_ctx: int) -> str:
    """Which device has no room for one step more than `n_ctx` tokens."""
    step = context_step(request)
    more = plan(with_context(request, n_ctx + step))
    worst = max(more.failures, key=lambda f: f.short_bytes)
    required = required_on(plan(with_context(request, n_ctx)), worst.device)
    return (
        f"{worst.device} binds: {format_size(required)} of {format_size(worst.available_bytes)} at "
        f"{format_count(n_ctx)} tokens; {format_count(step)} tokens more are short by "
        f"{format_size(worst.short_bytes)}"
    )
