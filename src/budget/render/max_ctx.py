"""The largest context as data."""

from __future__ import annotations

from typing import Any

from budget.planning.ceiling import AutoContext, bound_of_longest, ceiling_of
from budget.planning.fit import Request
from budget.render.screen import Block, Text
from budget.runtime.settings import ContextParams


def max_ctx_object(
    request: Request,
    n_ctx: int | None,
    params: ContextParams,
    *,
    capacity: dict[str, Any],
    chosen: AutoContext | None = None,
    beyond_trained: bool = False,
) -> dict[str, Any]:
    """`budget/max-ctx/v1`: the largest context, what llama.cpp makes of it, and what keeps it from being longer.

    Args:
        request: what is asked.
        n_ctx: the answer, tokens; None where no context fits.
        params: settings as llama.cpp resolves them at `n_ctx`.
        capacity: the window under the policy.
        chosen: how `n_ctx` was chosen, where `--utilization` or the like did.
        beyond_trained: whether it was looked for beyond the trained context.
    """
    ceiling = ceiling_of(request, beyond_trained=beyond_trained)
    return {
        "schema": "budget/max-ctx/v1",
        "max_ctx": n_ctx,
        "n_ctx_seq": None if n_ctx is None else params.n_ctx_seq,
        "n_seq_max": params.n_seq_max,
        "kv_unified": params.kv_unified,
        "n_ctx_train": request.model.n_ctx_train or None,
        "bound_by": bound_of_longest(request, ceiling.limits, chosen=chosen, beyond_trained=beyond_trained),
        "limits": dict(ceiling.limits),
        "capacity": capacity,
    }


def max_ctx_screen(data: dict[str, Any], *, per_slot: bool) -> list[Block]:
    """One integer, or that there is none."""
    n_ctx = data["n_ctx_seq" if per_slot else "max_ctx"]
    return [Text("no context fits" if n_ctx is None else str(n_ctx))]


def max_ctx_rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    """One row: the numbers without what bounds them."""
    return [{key: data[key] for key in ("max_ctx", "n_ctx_seq", "n_seq_max", "kv_unified", "n_ctx_train")}]
