"""A plan against what a real llama.cpp says: its log, its memory table, or `llama-fit-params --fit-print on`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from budget.errors import UnknownAnswerError, UsageError
from budget.memory.layout import HOST
from budget.planning.fit import Plan, Request
from budget.units import MiB, parse_size

Scope = Literal["main", "draft", "projector", "lora"]
Kind = Literal["weights", "context", "compute", "output"]

_LOG_LINE = re.compile(
    r"(?P<function>\w+): +(?P<buffer>\S+) +(?P<what>model|KV|RS|DSV4 \w+ state|output|compute|LoRA) buffer size ="
    r" +(?P<mib>[0-9.]+) MiB"
)
_TABLE_LINE = re.compile(
    r"\|   - (?P<name>\S+)[^|]*\|[^|=]*(?:= +-?\d+ \+ \(\s*)?\d+ = +(?P<model>\d+) \+ +(?P<context>\d+) \+ +"
    r"(?P<compute>\d+)"
)
_FIT_LINE = re.compile(r"^(?P<name>\S+) (?P<model>\d+) (?P<context>\d+) (?P<compute>\d+)\s*$", re.MULTILINE)
_KIND: dict[str, Kind] = {"model": "weights", "LoRA": "weights", "compute": "compute", "output": "output"}
"""Word of the log to column; every other word is a cache or a state."""
_COLUMNS: tuple[tuple[str, Kind], ...] = (
    ("model", "weights"),
    ("context", "context"),
    ("compute", "compute"),
)
_LOG_STEP_BYTES = MiB // 100
"""Log lines have two decimals, rounded."""
_TABLE_STEP_BYTES = MiB
"""Tables have whole MiB, cut off."""
_CLIP_FUNCTIONS = ("reserve_compute_meta", "alloc_compute_meta")
HOST_ROW = "Host"
"""Name under which tables add up every host buffer but the repacked one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One size that llama.cpp printed; the real size is from `low_bytes` to `high_bytes`."""

    scope: Scope
    buffer: str
    kind: Kind
    low_bytes: int
    high_bytes: int
    is_device_row: bool = False
    """A row of a table, which adds up the buffers of a device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What may differ beyond llama.cpp's own rounding: the larger of the two."""

    size_bytes: int = 0
    fraction: float = 0.0

    def of(self, size_bytes: int) -> int:
        """Bytes that a size may be off."""
        return max(self.size_bytes, int(size_bytes * self.fraction))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One buffer and column: planned, and printed."""

    scope: Scope
    buffer: str
    kind: Kind
    planned_bytes: int
    printed_bytes: int
    """As printed: between two steps of llama.cpp's rounding."""
    agrees: bool

    @property
    def difference_bytes(self) -> int:
        """Planned less printed."""
        return self.planned_bytes - self.printed_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Every buffer that the plan or llama.cpp names."""

    rows: tuple[Comparison, ...]

    @property
    def agrees(self) -> bool:
        """True when every row does."""
        return all(row.agrees for row in self.rows)


def parse_tolerance(text: str) -> Tolerance:
    """`1MiB` or `2%`.

    Raises:
        UsageError: anything else.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*", text)
    if match:
        return Tolerance(fraction=float(match[1]) / 100)
    try:
        return Tolerance(size_bytes=parse_size(text))
    except UsageError as e:
        raise UsageError(
            f"--tolerance: {e.message}", hint="write a size such as 1MiB, or a share such as 2%"
        ) from e


def read_log(text: str) -> tuple[Reading, ...]:
    """The sizes in a log of llama-server or llama-cli; of its table, where it has no lines about buffers.

    Raises:
        UnknownAnswerError: there are none.

    Source: the `buffer size =` lines of llama-model.cpp, llama-kv-cache.cpp, llama-memory-recurrent.cpp,
    llama-context.cpp, llama-adapter.cpp and clip.cpp; fit.cpp, `common_memory_breakdown_print`.
    """
    readings = _read_lines(text) or _read_table(_TABLE_LINE.finditer(text))
    if not readings:
        raise UnknownAnswerError(
            "the log says nothing about buffers",
            hint="pass the whole log of a load; `llama-server -lv 4` prints every buffer",
        )
    return readings


def read_fit_print(text: str) -> tuple[Reading, ...]:
    """The rows of `llama-fit-params --fit-print on`: device, model, context and compute in whole MiB.

    Raises:
        UnknownAnswerError: there are none.
    """
    readings = _read_table(_FIT_LINE.finditer(text))
    if not readings:
        raise UnknownAnswerError(
            "llama-fit-params printed no memory table", hint="it takes a llama.cpp with --fit-print"
        )
    return readings


def fit_print_request(request: Request) -> Request:
    """`request` as `llama-fit-params` measures it: without loading, one sequence unless asked, nothing mapped."""
    settings = replace(request.settings, tool="llama-cli", load_mode="none")
    return replace(request, settings=settings, accounting="fit", companions=())


def _read_lines(text: str) -> tuple[Reading, ...]:
    """Buffer lines, added up by name; compute and output buffers are printed again when they are made anew."""
    sums: dict[tuple[Scope, str, Kind], list[float]] = {}
    scope: Scope = "main"
    seen_compute = False
    for match in _LOG_LINE.finditer(text):
        kind: Kind = _KIND.get(match["what"], "context")
        if seen_compute and (match["what"] == "model" or kind == "context"):
            scope, seen_compute = "draft", False  # a second model or context begins
        where: Scope = scope
        if match["function"] in _CLIP_FUNCTIONS:
            where = "projector"
        elif match["what"] == "LoRA":
            where = "lora"
        elif kind == "compute":
            seen_compute = True
        key = (where, match["buffer"], kind)
        if kind in ("compute", "output"):
            sums[key] = [float(match["mib"])]
        else:
            sums.setdefault(key, []).append(float(match["mib"]))
    return tuple(
        Reading(
            scope=where,
            buffer=buffer,
            kind=kind,
            low_bytes=max(0, int(sum(mib) * MiB) - len(mib) * (_LOG_STEP_BYTES // 2 + 1)),
            high_bytes=int(sum(mib) * MiB) + len(mib) * (_LOG_STEP_BYTES // 2 + 1),
        )
        for (where, buffer, kind), mib in sums.items()
    )


def _read_table(rows: Iterable[re.Match[str]]) -> tuple[Reading, ...]:
    return tuple(
        Reading(
            scope="main",
            buffer=row["name"],
            kind=kind,
            low_bytes=int(row[column]) * MiB,
            high_bytes=(int(row[column]) + 1) * _TABLE_STEP_BYTES - 1,
            is_device_row=True,
        )
        for row in rows
        for column, kind in _COLUMNS
    )


def verify(plan: Plan, readings: tuple[Reading, ...], tolerance: Tolerance) -> Verification:
    """Hold `plan` against `readings`, buffer by buffer.

    A buffer that only one of them names is compared with nothing, for the scopes and columns that were read; what
    was not read (a draft model missing from the log) is not judged.
    """
    by_device = any(r.is_device_row for r in readings)
    planned = _planned_rows(plan) if by_device else _planned_buffers(plan)
    read = {(r.scope, r.buffer, r.kind): r for r in readings}
    columns = {(scope, kind) for scope, _, kind in read}
    keys = [*read, *(k for k in planned if k not in read and (k[0], k[2]) in columns)]
    rows = []
    for key in keys:
        reading, size = read.get(key), planned.get(key, 0)
        if key[0] != "main" and not any(k[0] == key[0] for k in planned):
            continue  # a second model that the plan was not asked about
        low, high = (reading.low_bytes, reading.high_bytes) if reading else (0, _LOG_STEP_BYTES // 2)
        room = tolerance.of(high)
        if not size and not low:
            continue
        rows.append(
            Comparison(
                scope=key[0],
                buffer=key[1],
                kind=key[2],
                planned_bytes=size,
                printed_bytes=(low if by_device else (low + high) // 2) if reading else 0,
                agrees=low - room <= size <= high + room,
            )
        )
    return Verification(rows=tuple(rows))


def _planned_buffers(plan: Plan) -> dict[tuple[Scope, str, Kind], int]:
    """The plan by llama.cpp's buffer names."""
    result: dict[tuple[Scope, str, Kind], int] = {}

    def add(scope: Scope, buffer: str, kind: Kind, size: int) -> None:
        if size:
            result[scope, buffer, kind] = result.get((scope, buffer, kind), 0) + size

    for b in plan.layout.buffers:
        add("main", b.name, "weights", b.weights_bytes)
        add("main", b.name, "context", b.context_bytes)
        add("main", b.name, "compute", b.compute_bytes)
        add("main", b.name, "output", b.output_bytes)
    for e in plan.extras:
        at_load = e.size_bytes if e.at_load_bytes is None else e.at_load_bytes
        if e.part in ("draft", "mtp") and e.kind != "overhead":
            add("draft", e.buffer, e.kind, at_load)
        elif e.part == "projector" and e.kind == "compute":
            add("projector", e.buffer, "compute", at_load)
        elif e.part == "lora":
            add("lora", e.buffer, "weights", at_load)
    return result


def _planned_rows(plan: Plan) -> dict[tuple[Scope, str, Kind], int]:
    """The plan as llama.cpp's tables add it up: a row per device, and one for host buffers, the repacked one aside.

    Source: fit.cpp, `common_memory_breakdown_print`.
    """
    result: dict[tuple[Scope, str, Kind], int] = {}
    for b in plan.layout.buffers:
        if b.name == "CPU_REPACK":
            continue
        row = HOST_ROW if b.device == HOST else b.device
        for kind, size in (
            ("weights", b.weights_bytes),
            ("context", b.context_bytes),
            ("compute", b.compute_bytes),
        ):
            key: tuple[Scope, str, Kind] = ("main", row, kind)  # type: ignore[assignment]
            result[key] = result.get(key, 0) + size
    return result
