"""How the values of one axis are written: lists, doublings, steps, and types by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from budget.errors import UsageError
from budget.nearest import one_of
from budget.planning.axes import TYPES, Value
from budget.runtime.settings import CACHE_TYPES
from budget.units import parse_count

_DOUBLING = frozenset({"ctx", "np", "ub"})
_LADDER_FIRST = 4096
_LADDER_LAST_UNKNOWN = 131072
"""Last context of the ladder where no trained context is known, tokens."""
_MAX_VALUES = 64
"""Of one axis."""
_STEPS = 12
"""About as many values has a range of layers without a step."""
_INT_MAX = 2**31 - 1
_MOST: Mapping[str, int] = {"ctx": _INT_MAX, "ngl": _INT_MAX, "ub": _INT_MAX, "np": 256}
"""What llama.cpp reads at most (common/arg.cpp; `LLAMA_MAX_SEQ` for slots)."""
_DIGITS = 30
"""A longer number is no count of anything, and Python refuses to read one of thousands."""
_FORMS: Mapping[str, str] = {
    "ctx": "write 4k,8k or 4k..128k (doubling) or 8k..64k:8k (steps)",
    "ngl": "write 0,16,all or 0..33 (about 12 steps) or 0..33:4 (steps)",
    "np": "write 1,2,4 or 1..16 (doubling) or 1..16:1 (steps)",
    "ub": "write 256,512 or 256..2048 (doubling) or 256..1024:256 (steps)",
}
"""How values of a numeric axis are written."""


def context_ladder(n_ctx_train: int) -> tuple[int, ...]:
    """4096, 8192, ... up to the trained context, which is the last even where it is no power of two."""
    last = n_ctx_train or _LADDER_LAST_UNKNOWN
    return _doubled(min(_LADDER_FIRST, last), last)


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
    raise UsageError(
        f"--{axis} {text!r}: {part!r} is no type of a K/V cache",
        hint=one_of(part, CACHE_TYPES, "types"),
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
    if axis in _DOUBLING:
        return _doubled(low, high)
    return _Stepped(low, high, max(1, (high - low) // _STEPS))


def _count(axis: str, part: str, text: str, *, least: int | None = None) -> int:
    try:
        n = parse_count(part if len(part) < _DIGITS else f"{part[:_DIGITS]}...")
    except UsageError as e:
        raise UsageError(f"--{axis} {text!r}: {e.message}", hint=_FORMS[axis]) from e
    least = least if least is not None else 0 if axis == "ngl" else 1
    if n < least:
        raise UsageError(f"--{axis} {text!r}: {n} is too few, at least {least}", hint=_FORMS[axis])
    return n


def _doubled(low: int, high: int) -> tuple[int, ...]:
    """`low`, twice as much, and so on up to `high`, which is included."""
    values = []
    while low < high:
        values.append(low)
        low *= 2
    return (*values, high)


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


_Found = tuple[Value, ...] | _Stepped
