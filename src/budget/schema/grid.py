"""Answers about several plans at once: sweeps, differences and gates."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeInt

from budget.schema.base import Object, Verdict
from budget.schema.plan import DeviceRow, Engine, ModelFacts


class SweepSeries(Object):
    """One line of the plot."""

    settings: dict[str, int | str]
    """Axes that are fixed along it; empty for the only one."""
    max_ctx: NonNegativeInt | None
    """Largest total context that fits, tokens; null where none does, it is not known, or the axis is another."""


class SweepPoint(Object):
    settings: dict[str, int | str]
    """Axis to value."""
    n_ctx: NonNegativeInt | None
    """Total context after padding, tokens; null where llama.cpp refuses the settings."""
    verdict: Verdict
    problem: str | None
    """Why the verdict is unknown."""
    devices: list[DeviceRow]


class Sweep(Object):
    """`budget sweep --json`."""

    schema_: Literal["budget/sweep/v1"] = Field(alias="schema")
    engine: Engine
    model: ModelFacts
    axis: Literal["ctx", "ngl", "np", "ub"]
    """The axis along the plot."""
    axes: dict[str, list[int | str]]
    """Every axis with its values: `ctx ngl np ub kv ctk ctv`."""
    series: list[SweepSeries]
    points: list[SweepPoint]


class DiffSide(Object):
    name: str
    verdict: Verdict
    max_ctx: NonNegativeInt | None


class FactRow(Object):
    name: str
    """A setting or a fact of the model."""
    a: Any
    b: Any


class PartRow(Object):
    device: str
    part: Literal["weights", "context", "compute", "output", "extras", "overhead", "reserve", "required"]
    a_bytes: NonNegativeInt | None
    """null where A has no such device."""
    b_bytes: NonNegativeInt | None
    difference_bytes: int
    """What B takes more."""


class Diff(Object):
    """`budget diff --json`."""

    schema_: Literal["budget/diff/v1"] = Field(alias="schema")
    a: DiffSide
    b: DiffSide
    facts: list[FactRow]
    """What is not the same on both sides."""
    parts: list[PartRow]
    """Every part that either side has, the sum of a device last."""


class ExpectationRow(Object):
    text: str
    status: Literal["passed", "failed", "unknown"]
    actual: str
    """What it is, for people."""


class CaseError(Object):
    message: str
    hint: str | None
    exit_code: int


class CaseRow(Object):
    """One model on one machine with one set of settings."""

    name: str
    line: int
    """Line of its `[[gate]]`."""
    model: str
    machine: str
    settings: str
    status: Literal["passed", "failed", "unknown", "error"]
    verdict: Verdict | None
    """null where there is no plan."""
    expectations: list[ExpectationRow]
    error: CaseError | None
    max_ctx: NonNegativeInt | None
    """null unless an expectation asked for it."""
    devices: list[DeviceRow]


class GateFile(Object):
    file: str
    cases: list[CaseRow]


class Check(Object):
    """`budget check --json`."""

    schema_: Literal["budget/check/v1"] = Field(alias="schema")
    engine: Engine
    passed: bool
    exit_code: int
    """What the command ends with."""
    gates: list[GateFile]
