"""Shapes of files that budget reads: the ledger, an inventory of hosts, gates, and budget.toml.

Gates and budget.toml are TOML; their schemas serve editors, such as `#:schema` of Taplo. budget itself checks these
files in its planning package, with the nearest known key in each message.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, create_model

from budget.planning.config import KEYS
from budget.schema.base import Object
from budget.schema.machine import MachineFile

OneOrMore = str | list[str]


class ResidentRow(Object):
    """A model that was admitted and not released."""

    name: str
    usage_bytes: dict[str, NonNegativeInt]
    """Bytes by device name."""
    pid: int | None = None
    model: str | None = None
    n_ctx: int | None = None


class LedgerFile(Object):
    """What `--ledger FILE` reads and `--admit` writes."""

    schema_: Literal["budget/ledger/v1"] = Field(alias="schema")
    residents: list[ResidentRow] = Field(default_factory=list)


class InventoryNode(Object):
    """One host."""

    name: str
    machine: MachineFile


class InventoryFile(Object):
    """Hosts with their machines, for `--inventory FILE`."""

    schema_: Literal["budget/inventory/v1"] = Field(alias="schema")
    nodes: list[InventoryNode]


class GateMachine(Object):
    """A machine that a gate describes."""

    gpu: OneOrMore | None = None
    """As `--gpu`: a size or a name of the catalogue."""
    ram: str | None = None
    """As `--ram`; left away, that of the machine of the catalogue, or of this machine."""
    no_gpu: bool = False
    """The CPU alone."""
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
    """As `--budget`."""
    overhead: str | None = None
    """As `--overhead`."""
    reserve: str | None = None
    """As `--reserve`."""
    assume: str | None = None
    """As `--assume`: the architecture whose rules hold for models that budget does not know."""
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
    """`GATE.toml`, which `budget check` reads."""

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
    __doc__="`budget.toml`, options that hold where neither a flag nor the environment says otherwise.",
    **_CONFIG_FIELDS,
)
