"""Shapes of what is said about several models, a request, a profile, and options."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import NonNegativeInt

from budget.schema.base import SCHEMA_KEY, Basis, DeviceName, Object, Verdict
from budget.schema.plan import DeviceRow, Engine, FailureRow


class FleetModel(Object):
    """One of several models, planned beside those before it."""

    path: str
    """The model as it was named."""
    verdict: Verdict
    """Whether it fits beside those before it."""
    devices: list[DeviceRow]
    """What this model alone must hold; what those before it hold is taken off what may be used."""


class UsageRow(Object):
    """What all models together claim on one device."""

    device: DeviceName
    required_bytes: NonNegativeInt
    """Their sum, bytes, what is left free on purpose not counted."""


class Fleet(Object):
    """What `budget fit A B --json` prints: whether several models fit together, loaded in this order."""

    schema_: Literal["budget/fleet/v1"] = SCHEMA_KEY
    verdict: Verdict
    """Of all together."""
    engine: Engine
    """The llama.cpp whose memory is planned."""
    models: list[FleetModel]
    """Each beside those before it."""
    usage: list[UsageRow]
    """Sum of the models for each device; residents are not counted."""
    failures: list[FailureRow]
    """Every device on which all together fall short."""
    reasons: list[str]
    """Why the verdict is unknown, in sentences."""


class ResidentRow(Object):
    """A model that is loaded already: named with `--resident`, or in the ledger."""

    name: str
    """What `--resident`, `--name` or the ledger calls it."""
    usage: dict[str, NonNegativeInt]
    """Bytes that it claims, by device; `CPU` is RAM."""
    model: str | None
    """Where the model came from; null where it is not known."""
    n_ctx: int | None
    """Total context it was planned with, tokens; null where it is not known."""


class Admission(Object):
    """What `budget fit MODEL --admit --json` prints: whether the model may be loaded beside those of the ledger."""

    schema_: Literal["budget/admission/v1"] = SCHEMA_KEY
    name: str
    """What the ledger calls the model (`--name`)."""
    admitted: bool
    """Whether it was written into the ledger."""
    verdict: Verdict
    """Of the plan beside the ledger's residents."""
    devices: list[DeviceRow]
    """What the model must hold; what residents hold is taken off what may be used."""
    failures: list[FailureRow]
    """Every device on which all together fall short."""
    unknown: list[str]
    """Devices whose memory is not known and is needed, or why else the answer is not known."""
    residents: list[ResidentRow]
    """The ledger afterwards."""


class Evict(Object):
    """What `budget fit MODEL --evict --json` prints: the fewest residents to unload so that the model fits."""

    schema_: Literal["budget/evict/v1"] = SCHEMA_KEY
    possible: bool
    """Whether the model fits once these are unloaded; false also where that is not known."""
    evict: list[ResidentRow]
    """The smallest set to unload; empty where it fits as it is, or where nothing helps."""
    freed_bytes: NonNegativeInt
    """What they claim on all devices together, bytes."""


class Request(Object):
    """What `budget request --json` prints: the completion tokens that one request may have, and the context it needs.

    Every count is of tokens.
    """

    schema_: Literal["budget/request/v1"] = SCHEMA_KEY
    fits: bool
    """False where the prompt alone is longer than the capacity."""
    n_used: NonNegativeInt
    """The prompt, and what the slot holds already (`--used`)."""
    n_completion_wanted: NonNegativeInt
    """Tokens that the request asks for (`--completion`)."""
    n_capacity: NonNegativeInt
    """Context of one slot: `--capacity`, or what the model gets within the budget."""
    n_remaining: NonNegativeInt
    """Tokens left beside the prompt."""
    n_completion: NonNegativeInt
    """Tokens that may be generated."""
    n_ctx_target: NonNegativeInt
    """Context that prompt and completion need, at most the capacity."""
    clamped: bool
    """Whether fewer tokens may be generated than were asked for."""
    n_short: NonNegativeInt
    """Tokens by which the prompt is too long."""
    finish_reason: Literal["stop", "length"]
    """Why a completion ends that uses all it may: `length` where it was clamped, else `stop`."""
    sentence: str
    """The answer for people."""


class Range(Object):
    """A straight line: `fixed_bytes + bytes_per_token * n_ctx` at every context of the range."""

    first_n_ctx: int
    """First context of the range, tokens."""
    last_n_ctx: int | None
    """Last context of the range, tokens; null where nothing ends it."""
    fixed_bytes: int | float
    """Where the line meets a context of 0, bytes: a fraction only where the slope is a fraction."""
    bytes_per_token: int | float
    """What one more token of total context costs, bytes."""


class Curve(Object):
    """Bytes against total context (`-c`), weights and overhead included."""

    fixed_bytes: int
    """What is taken whatever the context, bytes: the first range at a context of 0."""
    step: int
    """Contexts are rounded up to a multiple of it, tokens."""
    ranges: list[Range]
    """Straight lines in order of context."""


class DeviceCurve(Curve):
    """The same for one device."""

    name: DeviceName
    weights_bytes: NonNegativeInt
    """The part of the fixed bytes that is weights."""


class Profile(Object):
    """What `budget inspect MODEL --profile --json` prints: memory as straight lines over the total context."""

    schema_: Literal["budget/profile/v1"] = SCHEMA_KEY
    basis: Basis
    """How the least certain of the numbers is known; `estimate` wherever the overhead is estimated."""
    device_local: Curve
    """All GPUs together."""
    host_visible: Curve
    """RAM, pinned buffers included."""
    unified: Curve
    """Both, where they are one memory."""
    devices: list[DeviceCurve]
    """Each device, and RAM as `CPU`."""


class OptionRow(Object):
    """One option of budget, and who set it."""

    name: str
    """As in budget.toml, such as `max_resident`; `budget schema config-file` has them all."""
    value: Any
    """Its value, a size in bytes unless it is a text such as `auto`; null is no limit, or no file."""
    origin: Literal["flag", "environment", "file", "default"]
    """Who set it; a flag wins over the environment, that over the file, that over the default."""
    where: str
    """The flag, the variable, the path of the file, or `default`."""


class Config(Object):
    """What `budget config --json` prints: every option of budget, its value, and where that comes from."""

    schema_: Literal["budget/config/v1"] = SCHEMA_KEY
    settings: list[OptionRow]
    """Every option that may stand in budget.toml."""
