"""What a sweep finds: points, the lines they make, and the whole grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from budget.planning.axes import Value, Values
from budget.planning.fit import Plan
from budget.planning.parts import Row, rows_of


@dataclass(frozen=True, kw_only=True)
class Point:
    """One plan of the grid."""

    values: Values
    """Axis to value."""
    plan: Plan | None
    """None where llama.cpp refuses the settings or the answer is not known."""
    problem: str | None = None
    """Why there is no plan."""
    is_refused: bool = False
    """Whether llama.cpp refuses the settings, so that there is nothing to know."""

    @property
    def verdict(self) -> str:
        """That of the plan; without one, `unknown`."""
        return "unknown" if self.plan is None else self.plan.verdict

    @cached_property
    def rows(self) -> Mapping[str, Row]:
        """What each device needs, by its name; empty without a plan."""
        return {} if self.plan is None else {row.name: row for row in rows_of(self.plan)}

    def position(self, axis: str) -> int | None:
        """Where it lies along a numeric axis: `all` and more layers than there are lie at the last layer."""
        value = self.values[axis]
        if axis != "ngl" or self.plan is None or self.plan.request.described is not None:
            return value if isinstance(value, int) else None
        n_layers = self.plan.request.model.n_layer_all + 1
        return min(value if isinstance(value, int) else self.plan.layout.placement.n_gpu_layers, n_layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The points along the plot's axis with everything else fixed."""

    values: Values
    """Axes that are fixed."""
    points: tuple[Point, ...]
    max_ctx: int | None = None
    """Largest context that fits, tokens, where the axis is the context; None where none does or it is not known."""
    best: Point | None = None
    """The point at `max_ctx`, which need not be one of `points`."""
    max_is_trained: bool = False
    """Whether `max_ctx` is all that the model was trained with."""
    nearest: Plan | None = None
    """Where nothing fits: the plan that comes closest, at the smallest context or among the points."""

    @property
    def name(self) -> str:
        """`ctk q8_0, np 4`, both types as `K/V f16/q8_0`; empty for the only series."""
        names = {k: str(v) for k, v in self.values.items()}
        if "ctk" in names and "ctv" in names:
            pair = f"{names['ctk']}/{names.pop('ctv')}"
            names = {"K/V" if k == "ctk" else k: pair if k == "ctk" else v for k, v in names.items()}
        return ", ".join(f"{axis} {value}" for axis, value in names.items())

    @property
    def outcome(self) -> Literal["fits", "does_not_fit", "unknown", "refused"]:
        """Of the best point, or of the largest context."""
        verdicts = {p.verdict for p in self.points if not p.is_refused}
        if self.max_ctx is not None or "fits" in verdicts:
            return "fits"
        return "refused" if not verdicts else "unknown" if "unknown" in verdicts else "does_not_fit"

    @property
    def problems(self) -> list[str]:
        """Why points are missing or not known, each reason once."""
        reasons = (
            [p.problem or ""] if p.plan is None else list(p.plan.reasons if p.verdict == "unknown" else ())
            for p in self.points
        )
        return list(dict.fromkeys(text for texts in reasons for text in texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The whole grid."""

    axis: str
    """The axis along the plot, one of `NUMERIC`."""
    axes: Mapping[str, tuple[Value, ...]]
    series: tuple[Series, ...]

    @property
    def points(self) -> list[Point]:
        """Every point, line after line."""
        return [p for s in self.series for p in s.points]

    @property
    def plans(self) -> list[Plan]:
        """Every plan there is."""
        return [p.plan for p in self.points if p.plan is not None]

    @property
    def outcomes(self) -> set[str]:
        """What its lines come to."""
        return {series.outcome for series in self.series}

    @property
    def nearest(self) -> Plan | None:
        """Of all that does not fit, the plan that falls short by least."""
        plans = [s.nearest for s in self.series if s.nearest is not None]
        return min(plans, key=lambda p: sum(f.short_bytes for f in p.failures), default=None)
