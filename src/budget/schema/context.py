"""The shape of `budget max-ctx --json`."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt

from budget.schema.base import SCHEMA_KEY, Object, Verdict


class WindowFacts(Object):
    """The window that can be served under the policy; every context is in tokens."""

    n_ctx_model: int | None
    """Trained context, once for each slot that has a cache of its own; null where it is not known."""
    n_ctx_requested: int | None
    """The context that was asked for (`-c`); null asks for all there is."""
    n_ctx_memory: int | None
    """What memory holds, looked for up to the larger of the two above; 0 where not even the smallest context fits."""
    n_ctx: int
    """What can be served: the smallest of the limits."""
    n_ctx_hot: int
    """Tokens in the cache; equal to `n_ctx`."""
    n_ctx_cold: int
    """Tokens whose K/V fit in the RAM set aside for it (`host_cold` of budget.toml)."""
    n_ctx_planner: int
    """Hot and cold together, inside the trained and the requested context."""
    usable_bytes: int | None
    """What may be used, reserve aside, bytes, on the device that is tightest, or of the one pool; null where nothing
    limits it."""
    required_bytes: NonNegativeInt
    """What the requested context takes there, bytes, or what `n_ctx` takes where none was asked for."""
    clamped: bool
    """Whether `n_ctx` is less than was asked for, than the trained context where nothing was, or than the smallest
    useful one (`min_hot_context`)."""
    reason: (
        Literal[
            "max_resident", "reserve", "memory", "model_limit", "weights", "min_hot_context", "kv_unknown"
        ]
        | None
    )
    """Stable code of what bound it: the trained context is `model_limit`, an option of budget.toml goes by its name.
    null where nothing did."""
    sentence: str
    """The reason for people."""
    verdict: Verdict
    """`does_not_fit` where the requested context, or the smallest useful one, is not met."""


class Limits(Object):
    """Every limit on the context, tokens; null where it is not given or not known. `max_ctx` may be larger than
    `requested`, and with `--beyond-trained` than `model`: those bind only where `bound_by` says so.
    """

    model: int | None
    """Trained context, once for each slot that has a cache of its own; null where it is not known."""
    requested: int | None
    """What was asked for (`-c`); null where nothing was. Only a context that `--utilization`, `--align` or `--floor`
    chooses keeps to it."""
    runtime: int | None
    """What a backend can do at most; null: llama.cpp has no such limit."""
    hardware: int | None
    """What fits in memory, in whole steps, looked for up to the larger of the trained and the requested context, or
    as far as `-c` goes with `--beyond-trained` or no trained context; of the whole budget, whatever `--utilization`
    says. 0 where nothing fits."""


class MaxCtx(Object):
    """What `budget max-ctx MODEL --json` prints: the largest context that fits, and what keeps it from being longer."""

    schema_: Literal["budget/max-ctx/v1"] = SCHEMA_KEY
    max_ctx: int | None
    """Largest total context (`-c`) that fits, tokens, in whole steps, whatever `-c` was given; where `--utilization`,
    `--align` or `--floor` is used, the one they choose, at most `-c`. null where none fits or memory is not known."""
    n_ctx_seq: int | None
    """Context of one slot at that total, tokens; `--per-slot` prints it."""
    n_seq_max: int
    """Sequences that are served at once: llama-server's slots (`-np`)."""
    kv_unified: bool
    """Whether all slots share one cache (`-kvu`), so that each may use the whole context."""
    n_ctx_train: int | None
    """Trained context, tokens; null where the model is described by numbers that do not give it."""
    bound_by: Literal["model", "requested", "runtime", "hardware", "none"]
    """The limit that keeps `max_ctx` from being larger, the first in this order where several are equal: `hardware` is
    memory, or the share of it that `--utilization` leaves; `model` the trained context, unless `--beyond-trained`;
    `requested` is `-c`, only where `--utilization`, `--align` or `--floor` chose. `none` where memory holds all that
    `-c` takes. What limits the context that `-c` asks for is in `capacity`."""
    limits: Limits
    """Every limit by name."""
    capacity: WindowFacts
    """The window under the policy of budget.toml, the environment and the flags, held against `-c`."""
