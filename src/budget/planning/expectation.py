"""What is expected of a plan: conditions read from text, and held against a plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from budget.errors import MachineError, UsageError
from budget.nearest import one_of
from budget.planning.budget import HOST, HOST_NAMES
from budget.planning.fit import Plan
from budget.planning.parts import Row, rows_of
from budget.planning.usage import TOTAL
from budget.units import MiB, format_size, parse_count, parse_size

Value = bool | int | str
Status = Literal["passed", "failed", "unknown", "error"]
NUMBERS = ("max_ctx", "n_ctx")
"""Expectations in tokens."""
PARTS = (
    "needs",
    "weights",
    "context",
    "compute",
    "output",
    "extras",
    "overhead",
    "reserve",
    "left",
    "available",
)
"""What can be expected of a device: `CUDA0.context <= 4GiB`; without a part it is `needs`."""
_EXPECTATION = re.compile(
    r"\s*(?P<left>[A-Za-z_][\w.\[\]:-]*?)\s*(?P<op>>=|<=|==|!=|=|<|>)\s*(?P<right>.+?)\s*\Z"
)
_FORMS = "such as fits = true, max_ctx >= 32768, CUDA0 <= 22GiB or CUDA0.left >= 1GiB"
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One condition on a plan."""

    text: str
    """As it is written: `CUDA0 <= 22GiB`."""
    left: str
    """`fits`, `verdict`, `max_ctx`, `n_ctx`, or a device with or without a part."""
    operator: str
    right: Value
    """Tokens, bytes, true or false, or a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one expectation."""

    expectation: Expectation
    status: Status
    actual: str
    """What it is instead, for people."""


def parse_expectation(text: str) -> Expectation:
    """`fits`, `fits = false`, `max_ctx >= 32k`, `CUDA0 <= 22GiB`, `vram.context < 4GiB`.

    Raises:
        UsageError: a condition of another form; the message quotes it whole.
    """
    if text.strip() in ("fits", "does_not_fit"):
        right = "true" if text.strip() == "fits" else "false"
        return Expectation(text=text.strip(), left="fits", operator="=", right=right == "true")
    match = _EXPECTATION.match(text)
    if match is None:
        raise UsageError(f"not an expectation: {text!r}", hint=_FORMS)
    left, operator, right = match["left"], match["op"], match["right"]
    value: Value
    if left == "fits":
        if right not in ("true", "false") or operator not in ("=", "==", "!="):
            raise UsageError(f"not an expectation: {text!r}", hint="write fits = true or fits = false")
        value = right == "true"
    elif left == "verdict":
        value = right.strip("'\"")
        if value not in ("fits", "does_not_fit", "unknown") or operator not in ("=", "==", "!="):
            raise UsageError(f"not an expectation: {text!r}", hint="verdicts: fits, does_not_fit, unknown")
    else:
        part = _device_and_part(left)[1]
        if part not in PARTS:
            raise UsageError(f"not an expectation: {text!r}", hint=one_of(part, PARTS, "parts of a device"))
        try:
            value = parse_count(right) if left in NUMBERS else _parsed_size(right)
        except UsageError as e:
            raise e.at(f"expectation {text!r}") from e
    return Expectation(text=" ".join(text.split()), left=left, operator=operator, right=value)


def _parsed_size(text: str) -> int:
    """Bytes; a bare number below a MiB has lost its unit."""
    if text.isdecimal() and 0 < int(text) < MiB:
        raise UsageError(f"{text} is that many bytes", hint=f"such as {text}GiB")
    return parse_size(text)


def outcome(expectation: Expectation, answer: Plan, max_ctx: Callable[[], int | None]) -> Outcome:
    """What becomes of `expectation` with `answer`; `unknown` where the plan does not know the value.

    Args:
        max_ctx: the largest context that fits, asked only where the expectation needs it.

    Raises:
        MachineError: the expectation names a device that is not there.
        UnknownAnswerError: as `max_ctx`.
    """
    value, actual = _actual(expectation.left, answer, max_ctx)
    if value is None:
        return Outcome(expectation=expectation, status="unknown", actual=actual)
    met = _OPERATORS[expectation.operator](value, expectation.right)
    return Outcome(expectation=expectation, status="passed" if met else "failed", actual=actual)


def _actual(left: str, answer: Plan, max_ctx: Callable[[], int | None]) -> tuple[Value | None, str]:
    """The value, None where it is not known, and how people read it."""
    reason = "; ".join(answer.reasons)
    if left == "fits":
        known = answer.verdict != "unknown"
        return (answer.fits if known else None), _verdict(answer) if known else f"not known: {reason}"
    if left == "verdict":
        return answer.verdict, answer.verdict
    if left == "n_ctx":
        return answer.layout.params.n_ctx, f"{answer.layout.params.n_ctx}"
    if left == "max_ctx":
        if answer.reasons:
            return None, f"not known: {reason}"
        n_ctx = max_ctx()
        return n_ctx or 0, "no context fits" if n_ctx is None else str(n_ctx)
    size = _size(left, answer)
    incomplete = len(answer.reasons) > sum(d.fits is None and d.required_bytes > 0 for d in answer.devices)
    if size is None or incomplete:
        return None, f"not known: {reason}" if reason else "not known"
    return size, format_size(size)


def _verdict(answer: Plan) -> str:
    if answer.fits:
        return "it fits"
    short = ", ".join(f"{f.device} short by {format_size(f.short_bytes)}" for f in answer.failures)
    return f"it does not fit: {short}"


def _device_and_part(left: str) -> tuple[str, str]:
    """`CUDA0.context` taken apart; a dot in the address of `RPC0[10.0.0.1:50052]` parts nothing."""
    name, dot, part = left.rpartition(".")
    return (name, part) if dot and "]" not in part else (left, "needs")


def _size(left: str, answer: Plan) -> int | None:
    """Bytes of `DEVICE[.part]`; None where they are not known."""
    rows = rows_of(answer)
    name, part = _device_and_part(left)
    low = name.lower()
    if low == "vram":
        chosen = [r for r in rows if r.name not in (HOST, TOTAL)]
    elif low in HOST_NAMES:
        chosen = [r for r in rows if r.name == HOST]
    elif low == TOTAL:
        chosen = [r for r in rows if r.name != TOTAL]
    else:
        chosen = [r for r in rows if r.name.lower() == low]
        if not chosen:
            there = [*(r.name for r in rows), "vram", "ram", TOTAL]
            raise MachineError(f"{left}: no device {name!r}", hint=one_of(name, there, "devices"))
    sizes = [_part(row, part) for row in chosen]
    return None if None in sizes else sum(s for s in sizes if s is not None)


def _part(row: Row, part: str) -> int | None:
    if part == "needs":
        return row.required_bytes
    if part == "left":
        return row.left_bytes
    if part == "available":
        return row.available if isinstance(row.available, int) else None
    return row.parts["kv"] + row.parts["state"] if part == "context" else row.parts[part]
