"""The window that can be served: hot in the cache, cold in RAM, and what bound it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from budget.errors import UsageError
from budget.planning.curve import Curve
from budget.planning.fit import Plan, Request, Verdict, plan
from budget.planning.longest import N_CTX_MOST, context_limit, context_step, max_context, with_context
from budget.planning.policy import Policy, apply_policy, host_cold_bytes
from budget.units import format_size, round_up

Reason = Literal[
    "max_resident", "reserve", "memory", "model_limit", "weights", "min_hot_context", "kv_unknown",
]  # fmt: skip
"""Stable codes: what bound the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The context that can be served; every context is in tokens."""

    n_ctx_model: int | None
    """Trained context; None where it is not known."""
    n_ctx_requested: int | None
    """What was asked for; None asks for all there is."""
    n_ctx_memory: int | None
    """What memory holds; None where it is not known or nothing bounds it."""
    n_ctx: int
    """The effective context: what can be served from the cache."""
    n_ctx_hot: int
    """Tokens in the cache."""
    n_ctx_cold: int
    """Tokens whose K/V fit in the RAM set aside for it."""
    n_ctx_planner: int
    """Hot and cold together, inside the model's and the requested limit."""
    usable_bytes: int | None
    """What may be used; None where it is not known or not limited."""
    required_bytes: int
    """What the requested (else the effective) context takes."""
    clamped: bool
    """Whether less is served than was asked for, or than the model could."""
    reason: Reason | None
    """What bound it; None where nothing did."""
    sentence: str
    """The reason for people."""
    verdict: Verdict
    """`does_not_fit` where the request, or the smallest useful context, is not met."""


def resolve_capacity(
    *,
    usable_bytes: int,
    weights_bytes: int = 0,
    overhead_bytes: int = 0,
    kv: Curve | None = None,
    n_ctx_model: int | None = None,
    n_ctx_requested: int | None = None,
    host_cold_bytes: int = 0,
    min_hot_context: int = 0,
    max_resident_bytes: int | None = None,
    reserve_is_short: bool = False,
) -> Capacity:
    """The window for a model given by numbers on one device.

    Args:
        usable_bytes: what models may use (`policy.usable_bytes`).
        weights_bytes: weights on the device.
        overhead_bytes: buffers that do not grow with the context.
        kv: K/V bytes against context; None where it is not known.
        n_ctx_model: trained context, tokens.
        n_ctx_requested: wanted context, tokens; None wants all.
        host_cold_bytes: RAM for cold K/V.
        min_hot_context: smallest useful context, tokens.
        max_resident_bytes: the user's limit, for the reason.
        reserve_is_short: the device's free memory does not even cover what is to be left free.

    Raises:
        UsageError: a negative size or context.
    """
    _check_signs(usable_bytes, weights_bytes, overhead_bytes, n_ctx_model, n_ctx_requested, host_cold_bytes)
    base = weights_bytes + overhead_bytes
    memory = None if kv is None else kv.largest(max(usable_bytes - base, 0), limit=None)
    if kv is not None and (base > usable_bytes or (memory is None and kv.bounded())):
        memory = 0
    unbounded = N_CTX_MOST if kv is not None and memory is None else None
    effective = _effective(memory, n_ctx_model, n_ctx_requested, unbounded)
    if kv is None and base > usable_bytes:
        effective = 0
    required = base + (kv.bytes_at(n_ctx_requested or effective) if kv is not None else 0)
    cold = 0
    if kv is not None and host_cold_bytes > 0 and kv.slope_at(1) > 0:
        cold = int(host_cold_bytes / kv.slope_at(1))
    reason = _reason(
        effective, memory, n_ctx_model, n_ctx_requested,
        over_resident=max_resident_bytes is not None and required > max_resident_bytes,
        reserve_is_short=reserve_is_short, weights_short=kv is None and base > usable_bytes,
    )  # fmt: skip
    clamped = reason is not None
    hot_is_short = effective < min(min_hot_context, n_ctx_model or min_hot_context)
    if reason is None and kv is None:
        reason = "kv_unknown"
    if hot_is_short and reason in (None, "memory"):
        reason = "min_hot_context"
    figures = {"usable": usable_bytes, "required": required, "base": base}
    return Capacity(
        n_ctx_model=n_ctx_model,
        n_ctx_requested=n_ctx_requested,
        n_ctx_memory=memory,
        n_ctx=effective,
        n_ctx_hot=effective,
        n_ctx_cold=cold,
        n_ctx_planner=_planner(effective, cold, n_ctx_model, n_ctx_requested),
        usable_bytes=usable_bytes,
        required_bytes=required,
        clamped=clamped or hot_is_short,
        reason=reason,
        sentence=_sentence(reason, effective, n_ctx_model, n_ctx_requested, min_hot_context, figures),
        verdict=_verdict(effective, n_ctx_requested, base > usable_bytes or hot_is_short, kv is not None),
    )


def _check_signs(*numbers: int | None) -> None:
    for n in numbers:
        if n is not None and n < 0:
            raise UsageError(f"{n}: sizes and contexts cannot be negative")


def _effective(*limits: int | None) -> int:
    """The smallest of what is known; 0 where nothing is."""
    known = [n for n in limits if n is not None]
    return min(known, default=0)


def _planner(hot: int, cold: int, model: int | None, requested: int | None) -> int:
    return max(min(n for n in (hot + cold, model, requested) if n is not None), hot)


def _reason(
    effective: int,
    memory: int | None,
    model: int | None,
    requested: int | None,
    *,
    over_resident: bool,
    reserve_is_short: bool,
    weights_short: bool,
) -> Reason | None:
    """What bound the answer: limits that the user set first."""
    if over_resident:
        return "max_resident"
    if reserve_is_short:
        return "reserve"
    if weights_short:
        return "weights"
    wanted = requested if requested is not None else model
    if wanted is None or effective >= wanted:
        return None
    by_model = model is not None and effective == model and (memory is None or memory >= model)
    return "model_limit" if by_model else "memory"


def _verdict(effective: int, requested: int | None, short: bool, kv_known: bool) -> Verdict:
    if short or (requested is not None and effective < requested):
        return "does_not_fit"
    if not kv_known:
        return "unknown"
    return "fits" if effective > 0 else "does_not_fit"


def _sentence(
    reason: Reason | None,
    effective: int,
    model: int | None,
    requested: int | None,
    min_hot: int,
    figures: Mapping[str, int],
) -> str:
    needs, usable = format_size(figures["required"]), format_size(figures["usable"])
    wanted = f"{requested:,} tokens were asked for" if requested else "the whole context was wanted"
    match reason:
        case None:
            return f"{effective:,} tokens take {needs} of {usable}"
        case "max_resident":
            return f"{wanted}; models may hold {usable} here (max_resident), which is {effective:,} tokens"
        case "reserve":
            return "the device has less free than is to be left free (reserve)"
        case "weights":
            return f"weights and fixed buffers take {format_size(figures['base'])}, more than the usable {usable}"
        case "model_limit":
            return f"{wanted}, and the model was trained for {model:,}"
        case "min_hot_context":
            return f"{effective:,} tokens fit in {usable}, below the smallest useful context of {min_hot:,}"
        case "kv_unknown":
            return "what the K/V cache takes is not known, so memory was not compared"
        case _:
            return f"{wanted}; {effective:,} fit in the usable {usable}"


def capacity_of(request: Request, policy: Policy) -> Capacity:
    """The window for a real model: hot is the largest context whose full plan fits under `policy`.

    Usable and required bytes are those of the device that binds, or of the pool.

    Args:
        request: its `-c` is what is asked for; 0 asks for the trained context.
        policy: held against every device.

    Raises:
        UnknownAnswerError: what the answer needs is not known.
    """
    asked = apply_policy(request, policy)
    limit = context_limit(request)
    model = limit if request.described is None or request.model.n_ctx_train else None
    requested = request.settings.n_ctx or None
    # what fits up to the larger of both, so that a request beyond the model's limit is judged by the model's
    last = round_up(max(limit, requested or 0), context_step(request))
    memory = max_context(asked, limit=min(last, N_CTX_MOST)) or 0
    wanted = requested or limit
    effective = min(memory, limit, wanted)
    answer = plan(with_context(asked, wanted))
    required, usable = _binding(answer if requested else plan(with_context(asked, max(effective, 1))))
    cold = _cold(request, policy)
    free_is_short = any(
        d.reserve_bytes and isinstance(d.available, int) and d.available <= d.reserve_bytes
        for d in answer.devices
    )
    by_resident = policy.max_resident is not None and _limited_by_residents(request, policy, memory, wanted)
    reason: Reason | None = None
    if effective < wanted:
        reason = "reserve" if free_is_short else "max_resident" if by_resident else "memory"
        if model is not None and memory >= model:
            reason = "model_limit"
    short = effective < min(policy.min_hot_context, limit)
    if short and reason in (None, "memory"):
        reason = "min_hot_context"
    figures = {"usable": usable or 0, "required": required, "base": 0}
    return Capacity(
        n_ctx_model=model,
        n_ctx_requested=requested,
        n_ctx_memory=memory,
        n_ctx=effective,
        n_ctx_hot=effective,
        n_ctx_cold=cold,
        n_ctx_planner=_planner(effective, cold, model, requested),
        usable_bytes=usable,
        required_bytes=required,
        clamped=effective < wanted or short,
        reason=reason,
        sentence=_sentence(reason, effective, model, requested, policy.min_hot_context, figures),
        verdict=_verdict(effective, requested, short, kv_known=True),
    )


def _binding(answer: Plan) -> tuple[int, int | None]:
    """Required and usable bytes, residents and reserve aside, where memory is tightest."""
    request = answer.request
    pool = request.budget.combined_bytes
    if pool is not None:
        taken = sum(request.used.values()) - sum(request.reclaim.values())
        return sum(answer.usage.values()), max(pool - taken - sum(d.reserve_bytes for d in answer.devices), 0)
    capped = [d for d in answer.devices if d.headroom_bytes is not None and d.required_bytes]
    if not capped:
        return sum(answer.usage.values()), None
    tight = min(capped, key=lambda d: d.headroom_bytes or 0)
    usable = max((tight.available_bytes or 0) - tight.reserve_bytes, 0)
    return tight.required_bytes - tight.reserve_bytes, usable


def _limited_by_residents(request: Request, policy: Policy, memory: int, wanted: int) -> bool:
    """Whether more would fit without the limit of residents."""
    free = apply_policy(request, replace(policy, max_resident=None))
    return (max_context(free, limit=wanted) or 0) > memory


def _cold(request: Request, policy: Policy) -> int:
    """Tokens whose K/V, of all layers, fit in the RAM set aside for it."""
    size = host_cold_bytes(policy, request.machine.host)
    if not size:
        return 0
    step = context_step(request)
    first, second = (_context_bytes(request, n * step) for n in (1, 2))
    return size * step // (second - first) if second > first else 0


def _context_bytes(request: Request, n_ctx: int) -> int:
    return sum(d.context_bytes for d in plan(with_context(request, n_ctx)).devices)
