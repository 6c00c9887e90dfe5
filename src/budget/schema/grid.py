"""Answers about several plans at once: sweeps, differences and gates."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import NonNegativeInt

from budget.schema.base import SCHEMA_KEY, DeviceName, Object, Verdict
from budget.schema.plan import DeviceRow, Engine, ModelFacts


class SweepSeries(Object):
    """One line of the plot."""

    settings: dict[str, int | str]
    """Axes that are fixed along it, with their values; empty for the only line."""
    max_ctx: NonNegativeInt | None
    """Largest total context that fits, tokens; null where none does, it is not known, or the axis is another."""


class SweepPoint(Object):
    """One plan of the grid."""

    settings: dict[str, int | str]
    """Value of every axis at this point."""
    n_ctx: NonNegativeInt | None
    """Total context after padding, tokens; null where there is no plan."""
    verdict: Verdict
    """`unknown` also where there is no plan."""
    problem: str | None
    """Why the verdict is unknown, such as settings that llama.cpp refuses; null where it is known."""
    devices: list[DeviceRow]
    """A row for each device; empty where there is no plan."""


class Sweep(Object):
    """What `budget sweep MODEL --json` prints: a plan at every point of a grid of settings."""

    schema_: Literal["budget/sweep/v1"] = SCHEMA_KEY
    engine: Engine
    """The llama.cpp whose memory is planned."""
    model: ModelFacts
    """The model that was asked about."""
    axis: Literal["ctx", "ngl", "np", "ub"]
    """The axis along the plot: total context, layers offloaded, slots, or physical batch."""
    axes: dict[str, list[int | str]]
    """Every axis with its values: those above, and the K/V types `ctk`, `ctv`, or `kv` for both."""
    series: list[SweepSeries]
    """The lines of the plot, one for each combination of the other axes."""
    points: list[SweepPoint]
    """Every point, line after line."""


class DiffSide(Object):
    """One of the two answers that are compared."""

    name: str
    """The model with its own flags, the llama.cpp line, or the file that it comes from."""
    verdict: Verdict
    """The verdict on it alone."""
    max_ctx: NonNegativeInt | None
    """Largest total context that fits, tokens; null where none does or it is not known."""


class FactRow(Object):
    """A setting, or a fact of the model or the budget, that is not the same on both sides."""

    name: str
    """As in `model` and `settings` of `budget fit --json`, or `budget` for what may be used."""
    a: Any
    """Its value in A; null where A does not know it."""
    b: Any
    """Its value in B; null where B does not know it."""


class PartRow(Object):
    """One part of one device on both sides."""

    device: DeviceName
    part: Literal["weights", "context", "compute", "output", "extras", "overhead", "reserve", "required"]
    """What it holds; `required` is the sum of the others."""
    a_bytes: NonNegativeInt | None
    """What it takes in A, bytes; null where A has no such device."""
    b_bytes: NonNegativeInt | None
    """What it takes in B, bytes; null where B has no such device."""
    difference_bytes: int
    """What B takes more than A, bytes, a missing device taking nothing."""


class Diff(Object):
    """What `budget diff A B --json` prints: two answers side by side, part by part."""

    schema_: Literal["budget/diff/v1"] = SCHEMA_KEY
    a: DiffSide
    """The first."""
    b: DiffSide
    """The second."""
    facts: list[FactRow]
    """What is not the same on both sides."""
    parts: list[PartRow]
    """Every part that either side has, the sum of a device last."""


class ExpectationRow(Object):
    """What became of one condition of a gate."""

    text: str
    """The condition, such as `max_ctx >= 32768`."""
    status: Literal["passed", "failed", "unknown"]
    """`unknown` where a number that decides is not known."""
    actual: str
    """What it is instead, for people."""


class CaseError(Object):
    """Why there is no plan."""

    message: str
    """What is wrong, in one sentence."""
    hint: str | None
    """What to do about it; null where there is nothing to say."""
    exit_code: int
    """What `budget` would end with if this were its only answer."""


class CaseRow(Object):
    """One model on one machine with one set of settings."""

    name: str
    """The gate's name, and what tells this case from its others."""
    line: int
    """Line of its `[[gate]]` in the file, from 1."""
    model: str
    """Path or address, a name of `[models]` replaced by what it stands for."""
    machine: str
    """A name of `[machines]` or of the catalogue, a machine file, `here`, or the sizes that describe it."""
    settings: str
    """llama.cpp's flags, a name of `[settings]` replaced by what it stands for."""
    status: Literal["passed", "failed", "unknown", "error"]
    """The worst of its expectations; `error` where there is no plan."""
    verdict: Verdict | None
    """Whether it fits, expected or not; null where there is no plan."""
    expectations: list[ExpectationRow]
    """One for each condition; empty where there is no plan."""
    error: CaseError | None
    """Why there is no plan; null where there is one."""
    max_ctx: NonNegativeInt | None
    """Largest total context that fits, tokens; null where none does, or no condition asked for it."""
    devices: list[DeviceRow]
    """A row for each device; empty where there is no plan."""


class GateFile(Object):
    """What became of one gate file."""

    file: str
    """Its path as it was given."""
    cases: list[CaseRow]
    """Every model on every machine with every settings of its gates, in its order."""


class Check(Object):
    """What `budget check GATE.toml --json` prints: every case of the gates, and which expectation is not met."""

    schema_: Literal["budget/check/v1"] = SCHEMA_KEY
    engine: Engine
    """The llama.cpp whose memory is planned."""
    passed: bool
    """Whether every case passed."""
    exit_code: int
    """What the command ends with: 3 where an expectation is not met, else that of the first error, else 7 where
    something is not known, else 0."""
    gates: list[GateFile]
    """One for each file."""
