"""Shapes of files that budget reads: the ledger, an inventory of hosts, gates, and budget.toml.

Gates and budget.toml are TOML; their schemas serve editors, such as `#:schema` of Taplo. budget itself checks these
files in its planning package, with the nearest known key in each message.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, create_model

from budget.planning.config import KEYS
from budget.schema.base import SCHEMA_KEY, Object
from budget.schema.machine import MachineFile

OneOrMore = str | list[str]


class ResidentRow(Object):
    """A model that was admitted and not released."""

    name: str
    """What `--name` called it; no two residents share one."""
    usage_bytes: dict[str, NonNegativeInt]
    """Bytes that it claims, by device; `CPU` is RAM."""
    pid: int | None = None
    """Process that holds it; null where it is not known."""
    model: str | None = None
    """Where the model came from; null where it is not known."""
    n_ctx: int | None = None
    """Total context it was planned with, tokens; null where it is not known."""


class LedgerFile(Object):
    """The file of `--ledger FILE`, which `--admit` writes: models that were admitted and not released."""

    schema_: Literal["budget/ledger/v1"] = SCHEMA_KEY
    residents: list[ResidentRow] = Field(default_factory=list)
    """In order of admission."""


class InventoryNode(Object):
    """One host."""

    name: str
    """What answers call it."""
    machine: MachineFile
    """Its memory, as `budget devices --json` writes it there."""


class InventoryFile(Object):
    """A file for `--inventory FILE` and `--rpc-from FILE`: hosts with their machines."""

    schema_: Literal["budget/inventory/v1"] = SCHEMA_KEY
    nodes: list[InventoryNode]
    """The hosts, in the order of the answers."""


class GateMachine(Object):
    """A machine that a gate describes."""

    gpu: OneOrMore | None = None
    """GPUs as `--gpu` takes them: sizes or names of the catalogue, such as `2x 24GiB`."""
    ram: str | None = None
    """RAM, a size as `--ram` takes it; left away, that of the machine of the catalogue, or of this machine."""
    no_gpu: bool = False
    """Plan for the CPU alone."""
    file: str | None = None
    """A machine file, or a name of the catalogue."""


Machines = str | GateMachine | list[str | GateMachine]


class GateShared(Object):
    """What `[defaults]` and each `[[gate]]` may say."""

    machine: Machines | None = None
    """A name of `[machines]` or of the catalogue, a machine file, `here`, or a table."""
    machines: Machines | None = None
    """The same: each of them is a case."""
    settings: OneOrMore | None = None
    """llama.cpp's flags, or names of `[settings]`."""
    budget: str | None = None
    """What may be used, as `--budget` takes it: `auto`, `unlimited`, a size, or a list such as `vram=24GiB`."""
    overhead: str | None = None
    """What the process takes on each GPU beyond llama.cpp's buffers, as `--overhead` takes it: `auto` or a size."""
    reserve: str | None = None
    """What is to be left free on every device, a size as `--reserve` takes it."""
    assume: str | None = None
    """An architecture as `--assume` takes it, whose rules hold for models that budget does not know."""
    fits: bool | None = None
    """Whether it must fit, or must not."""
    expect: OneOrMore | dict[str, bool | int | str] | None = None
    """Conditions, such as `max_ctx >= 32768` or `CUDA0 <= 22GiB`; or a table: `{max_ctx = ">= 32768"}`."""


class GateRow(GateShared):
    """Every model on every machine with every settings is one case."""

    name: str | None = None
    """What reports call it."""
    model: OneOrMore | None = None
    """A name of `[models]`, or a model as `budget fit` takes it; paths are meant from the folder of this file."""
    models: OneOrMore | None = None
    """The same: each of them is a case."""


class GateFile(Object):
    """The file that `budget check GATE.toml` reads: models, machines and settings that must meet expectations."""

    models: dict[str, str] = Field(default_factory=dict)
    """Names for models."""
    machines: dict[str, str | GateMachine] = Field(default_factory=dict)
    """Names for machines."""
    settings: dict[str, str] = Field(default_factory=dict)
    """Names for llama.cpp's flags."""
    defaults: GateShared | None = None
    """What holds for every gate that does not say otherwise."""
    gate: Annotated[list[GateRow], Field(min_length=1)]
    """The gates; every model on every machine with every settings of one is a case."""


_CONFIG_FIELDS: dict[str, Any] = {
    key.name: (str | int | float | None, Field(default=None, description=key.help)) for key in KEYS
}
ConfigFile: type[BaseModel] = create_model(
    "ConfigFile",
    __config__=ConfigDict(extra="forbid"),
    __doc__="The file `budget.toml`: options that hold where neither a flag nor the environment says otherwise.",
    **_CONFIG_FIELDS,
)
