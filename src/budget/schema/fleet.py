"""Shapes of what is said about several models, a request, a profile, and options."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeInt

from budget.schema.base import Basis, Object, Verdict
from budget.schema.plan import DeviceRow, Engine, FailureRow


class FleetModel(Object):
    path: str
    verdict: Verdict
    devices: list[DeviceRow]


class UsageRow(Object):
    device: str
    required_bytes: NonNegativeInt


class Fleet(Object):
    """`budget fit A B --json`."""

    schema_: Literal["budget/fleet/v1"] = Field(alias="schema")
    verdict: Verdict
    """Of all together."""
    engine: Engine
    models: list[FleetModel]
    """Each beside those before it."""
    usage: list[UsageRow]
    """Sum of models and residents, per device."""
    failures: list[FailureRow]
    reasons: list[str]


class ResidentRow(Object):
    name: str
    usage: dict[str, NonNegativeInt]
    """Bytes per device; `CPU` is RAM."""
    model: str | None
    n_ctx: int | None


class Admission(Object):
    """`budget fit MODEL --admit --json`."""

    schema_: Literal["budget/admission/v1"] = Field(alias="schema")
    name: str
    admitted: bool
    verdict: Verdict
    devices: list[DeviceRow]
    failures: list[FailureRow]
    """Every device on which all together fall short."""
    unknown: list[str]
    """What is not known and was needed."""
    residents: list[ResidentRow]
    """The ledger afterwards."""


class Evict(Object):
    """`budget fit MODEL --evict --json`."""

    schema_: Literal["budget/evict/v1"] = Field(alias="schema")
    possible: bool
    evict: list[ResidentRow]
    """The smallest set to unload; empty where it fits as it is, or where nothing helps."""
    freed_bytes: NonNegativeInt


class Request(Object):
    """`budget request --json`."""

    schema_: Literal["budget/request/v1"] = Field(alias="schema")
    fits: bool
    """Whether the prompt fits with at least one completion token."""
    n_used: NonNegativeInt
    n_completion_wanted: NonNegativeInt
    n_capacity: NonNegativeInt
    n_remaining: NonNegativeInt
    n_completion: NonNegativeInt
    """Tokens that may be generated."""
    n_ctx_target: NonNegativeInt
    """Context that the request needs."""
    clamped: bool
    n_short: NonNegativeInt
    """Tokens by which the prompt is too long."""
    finish_reason: str
    sentence: str


class Range(Object):
    """A straight line: `fixed_bytes + bytes_per_token * n_ctx` at every context of the range."""

    first_n_ctx: int
    last_n_ctx: int | None
    fixed_bytes: int | float
    bytes_per_token: int | float


class Curve(Object):
    fixed_bytes: int
    """What is taken whatever the context."""
    step: int
    """llama.cpp rounds contexts up to it, tokens."""
    ranges: list[Range]


class DeviceCurve(Curve):
    name: str
    weights_bytes: NonNegativeInt


class Profile(Object):
    """`budget inspect --profile --json`."""

    schema_: Literal["budget/profile/v1"] = Field(alias="schema")
    basis: Basis
    device_local: Curve
    """All GPUs together."""
    host_visible: Curve
    """RAM, pinned buffers included."""
    unified: Curve
    """Both, where they are one memory."""
    devices: list[DeviceCurve]


class OptionRow(Object):
    name: str
    value: Any
    origin: Literal["flag", "environment", "file", "default"]
    where: str
    """The flag, the variable, or the file and its key."""


class Config(Object):
    """`budget config --json`."""

    schema_: Literal["budget/config/v1"] = Field(alias="schema")
    settings: list[OptionRow]
