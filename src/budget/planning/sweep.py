"""One question asked over a grid of settings: contexts, K/V types, offloaded layers, slots, micro-batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from budget.errors import UnknownAnswerError, UsageError
from budget.memory.place import place
from budget.planning.fit import Plan, Request, max_context, plan, with_context
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
_STEPS = 12
"""About as many values has a range of layers without a step."""

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

    @property
    def name(self) -> str:
        """`ctk q8_0, np 4`; empty for the only series."""
        return ", ".join(f"{axis} {value}" for axis, value in self.values.items())


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


def sweep(request: Request, axes: Mapping[str, tuple[Value, ...]]) -> Sweep:
    """Plan `request` at every point of the grid.

    Args:
        axes: axis to its values; without any numeric axis, contexts from 4096 to the trained one are added.

    Raises:
        UsageError: `kv` beside `ctk` or `ctv`, or more than 2048 points.
    """
    if "kv" in axes and ("ctk" in axes or "ctv" in axes):
        raise UsageError("--kv sets both K and V types", hint="leave --ctk and --ctv away, or give both")
    if not any(name in axes for name in NUMERIC):
        axes = {"ctx": context_ladder(request.model.n_ctx_train), **axes}
    n_points = 1
    for values in axes.values():
        n_points *= len(values)
    if n_points > _MAX_POINTS:
        raise UsageError(
            f"{n_points} points, at most {_MAX_POINTS}", hint="give fewer values or larger steps"
        )
    axis = next(name for name in NUMERIC if name in axes)
    others = {name: values for name, values in axes.items() if name != axis}
    series = tuple(
        _series(request, axis, axes[axis], dict(zip(others, fixed, strict=True)))
        for fixed in product(*others.values())
    )
    return Sweep(axis=axis, axes=axes, series=series)


def context_ladder(n_ctx_train: int) -> tuple[int, ...]:
    """4096, 8192, ... up to the trained context, which is the last even where it is no power of two."""
    last = n_ctx_train or _LADDER_LAST_UNKNOWN
    return tuple(_doubled(min(_LADDER_FIRST, last), last))


def parse_axis(axis: str, text: str) -> tuple[Value, ...]:
    """Values of one axis: `4k,8k`, `4k..128k` (doubling), `8k..64k:8k` (steps); types and `all` by name.

    Raises:
        UsageError: anything else, quoted whole.
    """
    values: list[Value] = []
    for part in text.split(","):
        found = [_type(axis, part.strip(), text)] if axis in TYPES else _numbers(axis, part.strip(), text)
        values += [v for v in found if v not in values]
    if len(values) > _MAX_VALUES:
        raise UsageError(
            f"--{axis} {text!r}: {len(values)} values, at most {_MAX_VALUES}", hint="give larger steps"
        )
    return tuple(values)


def _type(axis: str, part: str, text: str) -> Value:
    if part in CACHE_TYPES:
        return part
    from difflib import get_close_matches

    near = get_close_matches(part, CACHE_TYPES, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise UsageError(
        f"--{axis} {text!r}: {part!r} is no type of a K/V cache",
        hint=f"{meant}types: {', '.join(CACHE_TYPES)}",
    )


def _numbers(axis: str, part: str, text: str) -> Sequence[Value]:
    if axis == "ngl" and part in ("all", "auto"):
        return [part]
    span, colon, step = part.partition(":")
    first, dots, last = span.partition("..")
    if not dots:
        return [_count(axis, part, text)]
    low, high = _count(axis, first, text), _count(axis, last, text)
    if low > high:
        raise UsageError(
            f"--{axis} {text!r}: {first} is more than {last}", hint="write the smaller one first"
        )
    if colon:
        return _stepped(low, high, _count(axis, step, text, least=1))
    return _doubled(low, high) if axis in _DOUBLING else _stepped(low, high, max(1, (high - low) // _STEPS))


def _count(axis: str, part: str, text: str, *, least: int | None = None) -> int:
    try:
        n = parse_count(part)
    except UsageError as e:
        raise UsageError(f"--{axis} {text!r}: {e.message}", hint=_FORMS) from e
    if n < (least if least is not None else 0 if axis == "ngl" else 1):
        raise UsageError(f"--{axis} {text!r}: {n} is too few", hint=_FORMS)
    return n


_FORMS = "write 4k,8k or 4k..128k (doubling) or 8k..64k:8k (steps)"


def _stepped(low: int, high: int, step: int) -> list[int]:
    values = list(range(low, high + 1, step))[: _MAX_VALUES + 1]
    return values if values[-1] == high else [*values, high]


def _doubled(low: int, high: int) -> list[int]:
    values = [low]
    while values[-1] * 2 <= high:
        values.append(values[-1] * 2)
    return values if values[-1] == high else [*values, high]


def _series(request: Request, axis: str, along: Sequence[Value], fixed: Values) -> Series:
    base = _at(request, fixed)
    placement = None
    if axis == "ctx" and base.described is None:
        try:
            placement = place(base.model, base.settings, base.machine)
        except UsageError as e:
            problem = e.message
            return Series(
                values=fixed,
                points=tuple(Point(values={axis: v, **fixed}, plan=None, problem=problem) for v in along),
            )
    points = []
    for value in along:
        values = {axis: value, **fixed}
        try:
            points.append(Point(values=values, plan=plan(_at(base, {axis: value}), placement=placement)))
        except (UsageError, UnknownAnswerError) as e:
            points.append(Point(values=values, plan=None, problem=e.message))
    longest = _max_context(base) if axis == "ctx" else None
    at_max = plan(with_context(base, longest), placement=placement) if longest else None
    return Series(values=fixed, points=tuple(points), max_ctx=longest, at_max=at_max)


def _max_context(request: Request) -> int | None:
    try:
        return max_context(request)
    except (UsageError, UnknownAnswerError):
        return None


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
