"""Context ceilings: which limit binds, and a context chosen by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from budget.errors import UsageError
from budget.planning.budget import Budget, Cap
from budget.planning.curve import Curve
from budget.planning.fit import Request, plan
from budget.planning.longest import N_CTX_MOST, context_limit, context_step, max_context, with_context
from budget.units import round_up

Limit = Literal["model", "requested", "runtime", "hardware", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextCeiling:
    """The largest context that every limit allows, in tokens."""

    n_ctx: int | None
    """None where no limit is known."""
    bound_by: Limit
    """The limit that binds: the first of the smallest, in the order model, requested, runtime, hardware."""
    limits: Mapping[Limit, int | None]
    """Every limit by name; None where it is not known or not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoContext:
    """A context chosen to use memory well."""

    n_ctx: int
    """Tokens; where `fits` is false, what was tried at least."""
    fits: bool
    """False where not even this context fits the whole budget: it is an answer of `does not fit`."""
    chosen_by: Literal["utilization", "ceiling", "floor"]
    """What set it."""
    n_ctx_memory: int
    """The largest context inside the utilisation, tokens; 0 where none is."""


def context_ceiling(
    *,
    model: int | None = None,
    requested: int | None = None,
    runtime: int | None = None,
    hardware: int | None = None,
) -> ContextCeiling:
    """The smallest of the limits given, and which one it is; 0 is a limit, None is none.

    Args:
        model: trained context, tokens.
        requested: what the user asked for (`-c`).
        runtime: what the backend can do at most.
        hardware: what fits in memory.

    Raises:
        UsageError: a negative limit.
    """
    limits: dict[Limit, int | None] = {
        "model": model,
        "requested": requested,
        "runtime": runtime,
        "hardware": hardware,
    }
    for name, n in limits.items():
        if n is not None and n < 0:
            raise UsageError(f"the {name} limit is {n}: a context cannot be negative")
    known = [(n, name) for name, n in limits.items() if n is not None]
    if not known:
        return ContextCeiling(n_ctx=None, bound_by="none", limits=limits)
    n_ctx, bound_by = min(known, key=lambda limit: limit[0])
    return ContextCeiling(n_ctx=n_ctx, bound_by=bound_by, limits=limits)


def ceiling_of(request: Request, *, beyond_trained: bool = False) -> ContextCeiling:
    """The ceilings of a real request: its model's trained context, `-c`, and what fits.

    Args:
        request: what is asked.
        beyond_trained: look for what fits as far as `-c` goes, not only up to the trained context or `-c`.

    Raises:
        UnknownAnswerError: what the answer needs is not known.
    """
    asked = request.settings.n_ctx or None
    limit = context_limit(request)
    trained = limit if request.described is None or request.model.n_ctx_train else None
    # llama.cpp pads a context up to a whole step: memory must hold that one for the other limit to bind
    last = N_CTX_MOST if beyond_trained else round_up(max(asked or 0, limit), context_step(request))
    fitting = max_context(request, limit=min(last, N_CTX_MOST))
    return context_ceiling(model=trained, requested=asked, hardware=fitting or 0)


def bound_of_longest(
    request: Request,
    limits: Mapping[Limit, int | None],
    *,
    chosen: AutoContext | None = None,
    beyond_trained: bool = False,
) -> Limit:
    """Which limit keeps the largest context of `request` from being larger; `none` where only the range of `-c` does.

    What `-c` says is a limit only of a context that is chosen: the largest that fits is looked for beyond it.

    Args:
        request: what is asked.
        limits: those of `ceiling_of`.
        chosen: the context, where it was chosen by `auto_context`.
        beyond_trained: whether the largest context was looked for beyond the trained one.
    """
    step = context_step(request)
    if chosen is not None:
        asked = context_ceiling(model=limits["model"], requested=limits["requested"])
        is_met = asked.n_ctx is not None and chosen.n_ctx_memory >= asked.n_ctx // step * step
        return asked.bound_by if is_met else "hardware"
    hardware = limits["hardware"]
    if hardware is not None and hardware + step > N_CTX_MOST:
        hardware = None
    return context_ceiling(model=None if beyond_trained else limits["model"], hardware=hardware).bound_by


def choose_context(
    n_ctx_memory: int, *, ceiling: int, align: int, floor: int, fits: Callable[[int], bool]
) -> AutoContext:
    """The largest aligned context inside the utilisation, but at least the floor where the whole budget holds it.

    Args:
        n_ctx_memory: the largest context inside the utilisation, tokens; 0 where none is.
        ceiling: never more than this.
        align: multiples of this, unless the ceiling or floor itself is the answer.
        floor: at least this, if it fits the whole budget.
        fits: whether a context fits the whole budget.
    """
    for name, n, least in (("--align", align, 1), ("--floor", floor, 0), ("the ceiling", ceiling, 0)):
        if n < least:
            raise UsageError(f"{name} {n}: must be at least {least}")
    aligned = min(n_ctx_memory, ceiling) // align * align
    least_wanted = min(floor, ceiling)
    n_ctx = max(aligned, least_wanted)
    by: Literal["utilization", "ceiling", "floor"] = "floor" if n_ctx > aligned else "utilization"
    if by == "utilization" and n_ctx_memory >= ceiling:
        by = "ceiling"
    return AutoContext(
        n_ctx=n_ctx,
        fits=n_ctx > 0 and (n_ctx <= n_ctx_memory or fits(n_ctx)),
        chosen_by=by,
        n_ctx_memory=n_ctx_memory,
    )


def utilization(text: str | float | Fraction) -> Fraction:
    """A share of the budget above 0 and at most 1, such as `0.85` or `85%`.

    Raises:
        UsageError: anything else.
    """
    shown = str(text).strip()
    try:
        share = Fraction(shown.removesuffix("%")) / (100 if shown.endswith("%") else 1)
    except (ValueError, ZeroDivisionError) as e:
        raise UsageError(f"{text}: not a share", hint="such as 0.85 or 85%") from e
    if not 0 < share <= 1:
        raise UsageError(f"{text}: must be above 0 and at most 1", hint="such as 0.85 or 85%")
    return share


def auto_context_of_curve(
    curve: Curve, budget_bytes: int, *, ceiling: int, share: Fraction, align: int = 256, floor: int = 4096
) -> AutoContext:
    """A context chosen for a profile and one budget.

    Args:
        curve: bytes against context, weights included.
        budget_bytes: all that may be used.
        ceiling: largest context allowed, tokens.
        share: of the budget that the choice fills; the floor may go beyond it, up to the budget.
        align: multiples of this, tokens.
        floor: smallest useful context, tokens.
    """
    inside = curve.largest(int(budget_bytes * share), limit=ceiling) or 0
    return choose_context(
        inside, ceiling=ceiling, align=align, floor=floor, fits=lambda n: curve.bytes_at(n) <= budget_bytes
    )


def auto_context(
    request: Request, *, share: Fraction = Fraction(1), align: int = 256, floor: int = 4096
) -> AutoContext:
    """A context chosen for `request` within its budget: every candidate is a full plan.

    Args:
        request: its context, where given, is the ceiling; else the trained context.
        share: of each cap that the choice fills; the floor may go beyond it, up to the cap.
        align: multiples of this, rounded up to llama.cpp's own step, tokens.
        floor: smallest useful context, tokens.

    Raises:
        UnknownAnswerError: what the answer needs is not known.
    """
    ceiling = min(request.settings.n_ctx or context_limit(request), context_limit(request))
    inside = max_context(replace(request, budget=share_of(request.budget, share)), limit=ceiling) or 0
    return choose_context(
        inside,
        ceiling=ceiling,
        align=round_up(align, context_step(request)) if align > 0 else align,
        floor=floor,
        fits=lambda n: plan(with_context(request, n)).fits,
    )


def share_of(budget: Budget, share: Fraction) -> Budget:
    """`budget` with every cap multiplied by `share`, a fraction of a byte dropped."""

    def part(cap: Cap) -> Cap:
        return int(cap * share) if isinstance(cap, int) else cap

    pool = budget.combined_bytes
    return replace(
        budget,
        caps={name: part(cap) for name, cap in budget.caps.items()},
        combined_bytes=None if pool is None else int(pool * share),
    )
