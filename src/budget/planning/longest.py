"""The largest context with which a request fits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from budget.planning.fit import Plan, Request, headroom_bytes, placement_of, plan
from budget.planning.search import largest
from budget.record import replace
from budget.runtime.settings import N_CTX_PADDING, slots

N_CTX_MOST = (1 << 31) - 1
"""Most tokens that `-c` takes: llama.cpp reads it into an int32."""


def with_context(request: Request, n_ctx: int) -> Request:
    """The same request at another total context, tokens."""
    return replace(request, settings=replace(request.settings, n_ctx=n_ctx, kv_unified_per_slot=0))


def context_step(request: Request) -> int:
    """Tokens by which the total context can change: llama.cpp pads each stream to 256 cells."""
    return N_CTX_PADDING * _n_stream(request)


def context_limit(request: Request) -> int:
    """Largest total context worth asking for, tokens: the trained context for every stream.

    Where no trained context is known (a described model), it is the most that llama.cpp reads.
    """
    return min((request.model.n_ctx_train or N_CTX_MOST) * _n_stream(request), N_CTX_MOST)


def _n_stream(request: Request) -> int:
    """Streams of the K/V cache: one that all slots share, or one for each."""
    n_parallel, kv_unified = slots(request.settings)
    return 1 if kv_unified else n_parallel


def max_context(
    request: Request,
    *,
    limit: int | None = None,
    low: int | None = None,
    plan_at: Callable[[int], Plan] | None = None,
) -> int | None:
    """The largest total context (`-c`) with which `request` fits, in whole steps; None if none does.

    Every candidate is a full plan; the search never assumes a straight line.

    Args:
        limit: do not look beyond this many tokens; the trained context by default.
        low: a multiple of the step that is known to fit, tokens; one step by default.
        plan_at: plans `request` at a context; one that remembers its plans saves making them again.

    Raises:
        UnknownAnswerError: what the answer needs is not known.
    """
    step = context_step(request)
    limit = max(limit or context_limit(request), step)
    at = cache(plan_at or _planner(request))

    def room(n_ctx: int) -> int:
        answer = at(n_ctx)
        if answer.reasons:
            from budget.planning.summary import unknown_answer

            raise unknown_answer(answer)
        return headroom_bytes(answer)

    return largest(room, low=low or step, high=limit, step=step, regain=lambda n: regain_bytes(at(n)))


def regain_bytes(answer: Plan) -> int:
    """Most bytes by which any longer context needs less than `answer`'s; 0 where none is looked for.

    Weights stay, and a cache takes more with every step: only compute buffers can shrink, by no more than all they are.
    They do where a layer is computed on a device while its cache or weights lie in RAM: what ggml's allocator loses
    between its tensors differs from context to context, and no cache on that device grows in its place.
    """
    layout = answer.layout
    placement = layout.placement
    is_shared = (
        None in placement.layer_device[:-1] or placement.has_overrides or not layout.params.offload_kqv
    )
    return sum(d.compute_bytes for d in answer.devices) if placement.devices and is_shared else 0


def _planner(request: Request) -> Callable[[int], Plan]:
    """Plans `request` at any context, placed once."""
    placement = placement_of(request)
    return lambda n_ctx: plan(with_context(request, n_ctx), placement=placement)
