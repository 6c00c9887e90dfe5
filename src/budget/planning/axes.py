"""The axes of a grid: which there are, which of them lies along the plot, how large a grid may be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from budget.errors import UsageError

NUMERIC = ("ctx", "ngl", "np", "ub")
"""Axes that can lie along a plot, the first given one does."""
TYPES = ("kv", "ctk", "ctv")
"""Axes that are a line each; `kv` sets K and V together."""
FIELDS: Mapping[str, tuple[str, ...]] = {
    "ctx": ("n_ctx",), "ngl": ("n_gpu_layers",), "np": ("n_parallel",), "ub": ("n_ubatch",),
    "kv": ("type_k", "type_v"), "ctk": ("type_k",), "ctv": ("type_v",),
}  # fmt: skip
"""Axis to the settings that it changes."""
_MAX_POINTS = 2048
"""Every point is a whole plan."""
_MAX_SERIES = 64
"""Every line along contexts is a search, of some ten plans."""

Value = int | str
Values = Mapping[str, Value]
"""Axis to value."""


def check_axes(axes: Mapping[str, Sequence[Value]]) -> None:
    """Refuse a grid that cannot be asked for, before anything is planned.

    Raises:
        UsageError: `kv` beside `ctk` or `ctv`, more than 2048 points, or more than 64 lines.
    """
    for name in ("ctk", "ctv"):
        if "kv" in axes and name in axes:
            raise UsageError(
                f"--kv sets both K and V types, so --{name} has nothing to set beside it",
                hint="for pairs of types, give --ctk and --ctv and leave --kv away",
            )
    n_points, n_lines = math.prod(map(len, axes.values())), n_series(axes)
    product_of = " x ".join(f"{len(values)} of --{name}" for name, values in axes.items())
    if n_points > _MAX_POINTS:
        raise UsageError(
            f"{n_points:,} points ({product_of}), at most {_MAX_POINTS:,}",
            hint="give fewer values or larger steps",
        )
    if n_lines > _MAX_SERIES:
        raise UsageError(
            f"{n_lines:,} lines ({product_of}), at most {_MAX_SERIES}",
            hint="give fewer values of what does not lie along the plot",
        )


def along(axes: Mapping[str, Sequence[Value]]) -> str:
    """The axis along the plot."""
    return next((name for name in NUMERIC if name in axes), NUMERIC[0])


def n_series(axes: Mapping[str, Sequence[Value]]) -> int:
    """How many lines the grid has."""
    axis = along(axes)
    return math.prod(len(values) for name, values in axes.items() if name != axis)
