"""Shapes of what is said about machines, the catalogue, and the models found on disk or in a repository."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt

from budget.schema.base import Object, Verdict
from budget.schema.plan import DeviceRow


class HardwareRow(Object):
    id: str
    """Name for `--gpu` or `--machine`."""
    kind: str
    name: str
    memory_bytes: NonNegativeInt | None
    ram_bytes: NonNegativeInt | None
    bandwidth_bytes_per_second: int | None
    confidence: str
    """`high`, `medium` or `low`."""
    notes: str
    required_bytes: dict[str, NonNegativeInt] | None
    """What the model takes there, by device; null where none was asked about."""


class Hardware(Object):
    """`budget hardware --json`."""

    schema_: Literal["budget/hardware/v1"] = Field(alias="schema")
    hardware: list[HardwareRow]


class Judged(Object):
    """The verdict on one model, in short."""

    architecture: str
    tensor_bytes: NonNegativeInt
    n_ctx_train: int
    n_ctx: int
    verdict: Verdict
    required_bytes: NonNegativeInt
    max_ctx: int | None
    reason: str


class ScanRow(Object):
    name: str
    spec: str
    """The model as other commands take it."""
    store: str
    kind: str
    """`model`, `mmproj`, `lora` and the like."""
    file_bytes: NonNegativeInt | None
    result: Judged | None
    error: str | None
    hint: str | None


class Scan(Object):
    """`budget scan --json`."""

    schema_: Literal["budget/scan/v1"] = Field(alias="schema")
    models: list[ScanRow]


class QuantRow(Object):
    quant: str
    path: str
    result: Judged | None
    error: str | None


class Quants(Object):
    """`budget fit hf://user/repo --json`."""

    schema_: Literal["budget/quants/v1"] = Field(alias="schema")
    repository: str
    quants: list[QuantRow]
    mmproj: list[str]
    """Projectors in the repository."""


class NodeRow(Object):
    name: str
    verdict: Literal["fits", "does_not_fit", "unknown", "unavailable"]
    reason: str
    devices: list[DeviceRow]


class FitInventory(Object):
    """`budget fit MODEL --inventory FILE --json`."""

    schema_: Literal["budget/fit-inventory/v1"] = Field(alias="schema")
    nodes: list[NodeRow]


class Cache(Object):
    """`budget cache --json`."""

    schema_: Literal["budget/cache/v1"] = Field(alias="schema")
    folder: str
    n_entries: NonNegativeInt
    total_bytes: NonNegativeInt
    n_removed: NonNegativeInt


class SchemaName(Object):
    """One schema."""

    name: str
    """What `budget schema NAME` takes."""
    description: str


class Schemas(Object):
    """`budget schema --json`."""

    schema_: Literal["budget/schemas/v1"] = Field(alias="schema")
    schemas: list[SchemaName]


class HostFacts(Object):
    """The host's memory."""

    ram_total_bytes: NonNegativeInt | None = None
    """Physical RAM, or the tightest limit around the process."""
    ram_available_bytes: NonNegativeInt | None = None
    """What can be used without swapping, inside every limit."""
    cpu_features: list[str] = Field(default_factory=list)
    sources: dict[str, str] = Field(default_factory=dict)
    """Where each number comes from."""


class DeviceFacts(Object):
    """One memory device, as llama.cpp would list it."""

    name: str
    kind: Literal["gpu", "igpu", "accel", "cpu"] = "gpu"
    backend: str = "cuda"
    description: str = ""
    compute_capability: str | None = None
    total_bytes: NonNegativeInt | None = None
    free_bytes: NonNegativeInt | None = None
    uuid: str | None = None
    pci_id: str | None = None
    bandwidth_bytes_per_second: int | None = None
    unified: bool = False
    """Whether its memory is the host's RAM."""
    alignment_bytes: int | None = None
    max_buffer_bytes: int | None = None
    remote_backend: str | None = None
    context_in_use: bool = False
    """Whether free memory was read with the driver's context already there."""
    sources: dict[str, str] = Field(default_factory=dict)
    problem: str | None = None
    """Why it cannot be used or read."""


class MachineFile(Object):
    """`budget devices --json`, and what `--machine FILE` reads."""

    schema_: Literal["budget/machine/v1"] = Field(alias="schema")
    host: HostFacts
    devices: list[DeviceFacts] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
