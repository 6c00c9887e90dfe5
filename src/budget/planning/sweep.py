"""One question asked over a grid of settings: contexts, K/V types, offloaded layers, slots, micro-batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, product
from typing import Literal

from budget.errors import UnknownAnswerError, UsageError
from budget.memory.place import place
from budget.memory.placement import Placement
from budget.planning.fit import (
    Plan,
    Request,
    context_limit,
    context_step,
    headroom_bytes,
    max_context,
    plan,
    with_context,
)
from budget.runtime.settings import CACHE_TYPES, N_GPU_LAYERS_ALL, N_GPU_LAYERS_AUTO
from budget.units import parse_count

NUMERIC = ("ctx", "ngl", "np", "ub")
"""Axes that can lie along a plot, the first given one does."""
TYPES = ("kv", "ctk", "ctv")
"""Axes that are a line each; `kv` sets K and V together."""
FIELDS: Mapping[str, tuple[str, ...]] = {
    "ctx": ("n_ctx",), "ngl": ("n_gpu_layers",), "np": ("n_parallel",), "ub": ("n_ubatch",),
    "kv": ("type_k", "type_v"), "ctk": ("type_k",), "ctv": ("type_v",),
}  # fmt: skip
"""Axis to the settings that it changes."""
_DOUBLING = frozenset({"ctx", "np", "ub"})
_LADDER_FIRST = 4096
_LADDER_LAST_UNKNOWN = 131072
"""Last context of the ladder where no trained context is known, tokens."""
_MAX_VALUES = 64
"""Values of one axis."""
_MAX_POINTS = 2048
"""Every point is a whole plan."""
_MAX_SERIES = 64
"""Every line along contexts is a search, of some ten plans."""
_STEPS = 12
"""About as many values has a range of layers without a step."""
_INT_MAX = 2**31 - 1
_MOST: Mapping[str, int] = {"ctx": _INT_MAX, "ngl": _INT_MAX, "ub": _INT_MAX, "np": 256}
"""What llama.cpp reads at most (common/arg.cpp; `LLAMA_MAX_SEQ` for slots)."""
_DIGITS = 30
"""A longer number is no count of anything, and Python refuses to read one of thousands."""

Value = int | str
Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One plan of the grid."""

    values: Values
    """Axis to value."""
    plan: Plan | None
    """None where llama.cpp refuses the settings or the answer is not known."""
    problem: str | None = None
    """Why there is no plan."""

    @property
    def verdict(self) -> str:
        """That of the plan; without one, `unknown`."""
        return "unknown" if self.plan is None else self.plan.verdict

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
    at_max: Plan | None = None
    """The plan at `max_ctx`."""
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
        verdicts = {p.plan.verdict for p in self.points if p.plan is not None}
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
    def plans(self) -> list[Plan]:
        """Every plan there is."""
        return [p.plan for s in self.series for p in s.points if p.plan is not None]


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

    series = tuple(
        _series(request, axis, axes[axis], dict(zip(others, fixed, strict=True)), step)
        for fixed in product(*others.values())
    )
    return Sweep(axis=axis, axes=axes, series=series)


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


def context_ladder(n_ctx_train: int) -> tuple[int, ...]:
    """4096, 8192, ... up to the trained context, which is the last even where it is no power of two."""
    last = n_ctx_train or _LADDER_LAST_UNKNOWN
    return tuple(_Doubled(min(_LADDER_FIRST, last), last))


def parse_axis(axis: str, text: str) -> tuple[Value, ...]:
    """Values of one axis: `4k,8k`, `4k..128k` (doubling), `8k..64k:8k` (steps); types and `all` by name.

    Raises:
        UsageError: anything else, quoted whole.
    """
    parts = [part.strip() for part in text.split(",")]
    found = [_type(axis, part, text) if axis in TYPES else _numbers(axis, part, text) for part in parts]
    counts = [len(values) if isinstance(values, tuple) else values.n_values for values in found]
    if max(counts) > _MAX_VALUES:
        _refuse_count(axis, text, sum(counts))
    values = tuple(dict.fromkeys(value for part in found for value in part))
    if len(values) > _MAX_VALUES:
        _refuse_count(axis, text, len(values))
    largest = max((value for value in values if isinstance(value, int)), default=0)
    if axis in _MOST and largest > _MOST[axis]:
        raise UsageError(
            f"--{axis} {text!r}: {largest:,} is out of range", hint=f"llama.cpp reads at most {_MOST[axis]:,}"
        )
    return values


def _refuse_count(axis: str, text: str, n_values: int) -> None:
    raise UsageError(
        f"--{axis} {text!r}: {n_values:,} values, at most {_MAX_VALUES}",
        hint="give fewer values or larger steps",
    )


def _type(axis: str, part: str, text: str) -> _Found:
    if part in CACHE_TYPES:
        return (part,)
    from difflib import get_close_matches

    near = get_close_matches(part, CACHE_TYPES, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise UsageError(
        f"--{axis} {text!r}: {part!r} is no type of a K/V cache",
        hint=f"{meant}types: {', '.join(CACHE_TYPES)}",
    )


def _numbers(axis: str, part: str, text: str) -> _Found:
    if axis == "ngl" and part in ("all", "auto"):
        return (part,)
    span, colon, step = part.partition(":")
    first, dots, last = span.partition("..")
    if not dots:
        return (_count(axis, part, text),)
    low, high = _count(axis, first, text), _count(axis, last, text)
    if low > high:
        raise UsageError(
            f"--{axis} {text!r}: {first} is more than {last}", hint="write the smaller one first"
        )
    if colon:
        return _Stepped(low, high, _count(axis, step, text, least=1))
    return _Doubled(low, high) if axis in _DOUBLING else _Stepped(low, high, max(1, (high - low) // _STEPS))


def _count(axis: str, part: str, text: str, *, least: int | None = None) -> int:
    try:
        n = parse_count(part if len(part) < _DIGITS else f"{part[:_DIGITS]}...")
    except UsageError as e:
        raise UsageError(f"--{axis} {text!r}: {e.message}", hint=forms(axis)) from e
    least = least if least is not None else 0 if axis == "ngl" else 1
    if n < least:
        raise UsageError(f"--{axis} {text!r}: {n} is too few, at least {least}", hint=forms(axis))
    return n


def forms(axis: str) -> str:
    """How values of a numeric axis are written."""
    return f"write {_FORMS[axis]}"


_FORMS: Mapping[str, str] = {
    "ctx": "4k,8k or 4k..128k (doubling) or 8k..64k:8k (steps)",
    "ngl": "0,16,all or 0..33 (about 12 steps) or 0..33:4 (steps)",
    "np": "1,2,4 or 1..16 (doubling) or 1..16:1 (steps)",
    "ub": "256,512 or 256..2048 (doubling) or 256..1024:256 (steps)",
}


@dataclass(frozen=True, slots=True)
class _Stepped:
    """From `low` to `high` in steps, `high` included; counted before it is built."""

    low: int
    high: int
    step: int

    @property
    def n_values(self) -> int:
        """Of any size: `len` ends at a machine word."""
        return -(-(self.high - self.low) // self.step) + 1

    def __iter__(self) -> Iterator[int]:
        yield from range(self.low, self.high, self.step)
        yield self.high


@dataclass(frozen=True, slots=True)
class _Doubled:
    """`low`, twice as much, and so on up to `high`, which is included."""

    low: int
    high: int

    @property
    def n_values(self) -> int:
        """How many there are."""
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[int]:
        value = self.low
        while value < self.high:
            yield value
            value *= 2
        yield self.high


_Found = tuple[Value, ...] | _Stepped | _Doubled


def _series(
    request: Request, axis: str, along_axis: Sequence[Value], fixed: Values, step: Callable[[], None]
) -> Series:
    base = _at(request, fixed)
    placement = None
    if axis == "ctx" and base.described is None:
        try:
            placement = place(base.model, base.settings, base.machine)
        except UsageError as e:
            problem = e.message
            for _ in along_axis:
                step()
            return Series(
                values=fixed,
                points=tuple(
                    Point(values={axis: v, **fixed}, plan=None, problem=problem) for v in along_axis
                ),
            )
    points = []
    for value in along_axis:
        values = {axis: value, **fixed}
        try:
            points.append(Point(values=values, plan=plan(_at(base, {axis: value}), placement=placement)))
        except (UsageError, UnknownAnswerError) as e:
            points.append(Point(values=values, plan=None, problem=e.message))
        step()
    found = Series(values=fixed, points=tuple(points))
    return _searched(base, found, placement) if axis == "ctx" else replace(found, nearest=_nearest(found))


def _searched(base: Request, found: Series, placement: Placement | None) -> Series:
    """With the largest context; where there is none, with the smallest."""
    try:
        longest = max_context(base)
        at = with_context(base, longest or context_step(base))
        answer = plan(at, placement=placement)
        trained = bool(base.model.n_ctx_train) and longest is not None
        trained = trained and (longest or 0) + context_step(base) > context_limit(base)
    except (UsageError, UnknownAnswerError):
        return found
    if longest is None:
        return replace(found, nearest=answer if answer.verdict == "does_not_fit" else None)
    return replace(found, max_ctx=longest, at_max=answer, max_is_trained=trained)


def _nearest(found: Series) -> Plan | None:
    """Of points of which none fits, the one that falls short by least."""
    plans = [p.plan for p in found.points if p.plan is not None and p.verdict == "does_not_fit"]
    return max(plans, key=headroom_bytes) if plans and found.outcome == "does_not_fit" else None


def _at(request: Request, values: Values) -> Request:
    """The request with the settings of one point."""
    settings = request.settings
    for axis, value in values.items():
        if axis == "ctx":
            settings = with_context(replace(request, settings=settings), int(value)).settings
        else:
            named = {"all": N_GPU_LAYERS_ALL, "auto": N_GPU_LAYERS_AUTO}
            number = named.get(str(value), value) if axis == "ngl" else value
            settings = replace(settings, **dict.fromkeys(FIELDS[axis], number))  # type: ignore[arg-type]
    return replace(request, settings=settings)
